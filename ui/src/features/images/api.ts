// What the images page and the library ask the host.

import type { FileSource, FileTarget, ImageCommand, ImageReply } from "../../bindings/schema";
import { client } from "../../shared/app";

type ReplyOf<T extends ImageReply["type"]> = Extract<ImageReply, { type: T }>;

async function ask<T extends ImageReply["type"]>(expected: T, command: ImageCommand): Promise<ReplyOf<T>> {
  const { reply } = await client.call("image", { type: "image", command });
  if (reply.type !== expected) throw new Error(`${command.type} was answered by ${reply.type}`);
  return reply as ReplyOf<T>;
}

export const images = {
  pull: async (name: string) => (await ask("job", { type: "pull", name })).id,
  push: async (name: string) => (await ask("job", { type: "push", name })).id,
  tag: (id: string, name: string) => ask("done", { type: "tag", id, name }),
  untag: async (name: string) => (await ask("removed", { type: "untag", name })).removed,
  bin: (id: string) => ask("done", { type: "bin", id }),
  restore: (id: string) => ask("done", { type: "restore", id }),
  emptyBin: () => ask("done", { type: "empty_bin" }),
  prunePreview: async (all: boolean) => (await ask("prune_preview", { type: "prune_preview", all })).preview,
  prune: async (all: boolean) => (await ask("pruned", { type: "prune", all })).bytes,
  save: async (names: string[], to: FileTarget) => (await ask("job", { type: "save", names, to })).id,
  load: async (from: FileSource) => (await ask("job", { type: "load", from })).id,
  layers: async (id: string) => (await ask("layers", { type: "layers", id })).layers,
  search: async (term: string) => (await ask("found", { type: "search", term })).found,
};
