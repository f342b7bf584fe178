// Logins and engines.

import type { EngineEntry, RegistryCommand } from "../../bindings/schema";
import { client } from "../../shared/app";

async function ask(command: RegistryCommand) {
  return (await client.call("logins", { type: "registry", command })).logins;
}

export const registries = {
  list: () => ask({ type: "list" }),
  login: (registry: string, user: string, secret: string) => ask({ type: "login", registry, user, secret }),
  logout: (registry: string) => ask({ type: "logout", registry }),
};

export const engines = {
  add: (entry: EngineEntry) => client.call("engines", { type: "engine", command: { type: "add", entry } }),
  remove: (name: string) => client.call("engines", { type: "engine", command: { type: "remove", name } }),
  choose: (name: string | null) => client.call("engines", { type: "engine", command: { type: "choose", name } }),
  find: async () => (await client.call("engines", { type: "engine", command: { type: "find" } })).engines.others,
};
