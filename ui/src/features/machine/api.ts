// What the machine page asks for beyond starting and stopping.

import type { FileSource, FileTarget, Limits, UpkeepCommand, UpkeepReply } from "../../bindings/schema";
import { client } from "../../shared/app";

type ReplyOf<T extends UpkeepReply["type"]> = Extract<UpkeepReply, { type: T }>;

async function ask<T extends UpkeepReply["type"]>(expected: T, command: UpkeepCommand): Promise<ReplyOf<T>> {
  const { reply } = await client.call("upkeep", { type: "upkeep", command });
  if (reply.type !== expected) throw new Error(`${command.type} was answered by ${reply.type}`);
  return reply as ReplyOf<T>;
}

export const upkeep = {
  settings: async () => (await ask("settings", { type: "settings" })).settings,
  setLimits: async (limits: Limits) => (await ask("settings", { type: "set_limits", limits })).settings,
  setSharedFolders: async (folders: string[] | null) => (await ask("settings", { type: "set_shared_folders", folders })).settings,
  setAutostart: async (on: boolean) => (await ask("settings", { type: "set_autostart", on })).settings,
  examine: async () => (await ask("checks", { type: "examine" })).checks,
  usage: async () => (await ask("usage", { type: "usage" })).usage,
  giveBack: () => ask("gave_back", { type: "give_back" }),
  versions: async () => (await ask("versions", { type: "versions" })).versions,
  exportAll: async (to: FileTarget) => (await ask("job", { type: "export", to })).id,
  importAll: async (from: FileSource) => (await ask("job", { type: "import", from })).id,
  reset: () => ask("done", { type: "reset" }),
  supportBundle: async (to: FileTarget) => (await ask("saved", { type: "support_bundle", to })).place,
};
