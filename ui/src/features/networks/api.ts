// What the networks page asks the host.

import type { NetworkCommand, NetworkReply } from "../../bindings/schema";
import { client } from "../../shared/app";

type ReplyOf<T extends NetworkReply["type"]> = Extract<NetworkReply, { type: T }>;

async function ask<T extends NetworkReply["type"]>(expected: T, command: NetworkCommand): Promise<ReplyOf<T>> {
  const { reply } = await client.call("network", { type: "network", command });
  if (reply.type !== expected) throw new Error(`${command.type} was answered by ${reply.type}`);
  return reply as ReplyOf<T>;
}

export const networks = {
  create: (name: string, subnet: string | null, internal: boolean, ipv6: boolean) => ask("done", { type: "create", name, subnet, internal, ipv6 }),
  remove: (id: string) => ask("done", { type: "remove", id }),
  connect: (id: string, container: string) => ask("done", { type: "connect", id, container }),
  disconnect: (id: string, container: string) => ask("done", { type: "disconnect", id, container }),
  prunePreview: async () => (await ask("prune_preview", { type: "prune_preview" })).preview,
  prune: async () => (await ask("pruned", { type: "prune" })).names,
};
