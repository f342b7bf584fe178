// Logins, the way to registries, and engines.

import type { EngineEntry, FileSource, Reach, ReachCommand, RegistryCommand } from "../../bindings/schema";
import { client } from "../../shared/app";

async function ask(command: RegistryCommand) {
  return (await client.call("logins", { type: "registry", command })).logins;
}

export const registries = {
  list: () => ask({ type: "list" }),
  login: (registry: string, user: string, secret: string) => ask({ type: "login", registry, user, secret }),
  logout: (registry: string) => ask({ type: "logout", registry }),
};

const tell = async (command: ReachCommand) => {
  const { reach, trusted } = await client.call("reach", { type: "reach", command });
  return { reach, trusted };
};

/** How the engine reaches registries. */
export const reach = {
  show: () => tell({ type: "show" }),
  set: (reach: Reach) => tell({ type: "set", reach }),
  trust: (host: string, from: FileSource) => tell({ type: "trust", host, from }),
  distrust: (host: string) => tell({ type: "distrust", host }),
};

export const engines = {
  add: (entry: EngineEntry) => client.call("engines", { type: "engine", command: { type: "add", entry } }),
  remove: (name: string) => client.call("engines", { type: "engine", command: { type: "remove", name } }),
  choose: (name: string | null) => client.call("engines", { type: "engine", command: { type: "choose", name } }),
  find: async () => (await client.call("engines", { type: "engine", command: { type: "find" } })).engines.others,
};
