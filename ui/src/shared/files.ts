// Files that the user picks: the desktop's own dialog gives a path, a browser gives the bytes, which are sent in parts.

import type { FileSource, FileTarget } from "../bindings/schema";
import { client, platform } from "./app";

/** Of a part, before base64. The host takes a little more. */
const PART_BYTES = 768 * 1024;

function ticket(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function base64(bytes: Uint8Array): string {
  let text = "";
  // Why in pieces: an argument list has a limit.
  for (let at = 0; at < bytes.length; at += 32_768) text += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  return btoa(text);
}

/** Undefined when the user changed their mind. `accept` is of the form `.tar,.tar.gz`. */
export async function pickFile(accept: string, onpart?: (share: number) => void): Promise<FileSource | undefined> {
  const picked = await platform.pickFile(accept);
  if (!picked) return undefined;
  if (typeof picked === "string") return { type: "path", path: picked };
  const source = { type: "upload" as const, ticket: ticket() };
  for (let at = 0; at < picked.size; at += PART_BYTES) {
    const part = new Uint8Array(await picked.slice(at, at + PART_BYTES).arrayBuffer());
    await client.call("done", { type: "file_part", ticket: source.ticket, part: base64(part) });
    onpart?.(Math.min(1, (at + PART_BYTES) / picked.size));
  }
  return source;
}

/** Where to save: asked by the desktop, the downloads folder in a browser. */
export async function pickTarget(name: string): Promise<FileTarget | undefined> {
  const picked = await platform.pickTarget(name);
  if (picked === undefined) return undefined;
  return picked === null ? { type: "downloads", name } : { type: "path", path: picked };
}

/** The same as a path alone; null: the downloads, under a name that the host finds. */
export async function pickPath(name: string): Promise<string | null | undefined> {
  return platform.pickTarget(name);
}

/** A folder of this computer; only the desktop can ask for one. */
export const pickFolder = {
  get available(): boolean {
    return platform.desktop !== undefined;
  },
  ask: () => platform.desktop?.pickFolder() ?? Promise.resolve(undefined),
};
