// What the data page asks the host.

import type { VolumeCommand, VolumeReply } from "../../bindings/schema";
import { client } from "../../shared/app";

type ReplyOf<T extends VolumeReply["type"]> = Extract<VolumeReply, { type: T }>;

async function ask<T extends VolumeReply["type"]>(expected: T, command: VolumeCommand): Promise<ReplyOf<T>> {
  const { reply } = await client.call("volume", { type: "volume", command });
  if (reply.type !== expected) throw new Error(`${command.type} was answered by ${reply.type}`);
  return reply as ReplyOf<T>;
}

export const volumes = {
  create: async (name: string) => (await ask("volume", { type: "create", name, labels: [] })).volume,
  remove: (name: string) => ask("done", { type: "remove", name }),
  bin: (name: string) => ask("done", { type: "bin", name }),
  restore: (name: string) => ask("done", { type: "restore", name }),
  emptyBin: () => ask("done", { type: "empty_bin" }),
  sizes: async () => new Map((await ask("sizes", { type: "sizes" })).sizes.map((size) => [size.name, size.bytes])),
  prunePreview: async (all: boolean) => (await ask("prune_preview", { type: "prune_preview", all })).preview,
  files: async (name: string, path: string) => (await ask("files", { type: "files", name, path })).listing,
  read: async (name: string, path: string) => (await ask("file", { type: "read", name, path })).file,
  save: async (name: string, path: string, to: string | null) => (await ask("saved", { type: "save", name, path, to })).place,
  prune: async (all: boolean) => (await ask("pruned", { type: "prune", all })).bytes,
};
