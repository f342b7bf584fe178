// Puts a file of the user's into a container, part by part: whatever its size, one megabyte of it is in memory.

import { api } from "../../shared/app";

const PART_BYTES = 768 * 1024;
let lastUpload = Math.floor(Math.random() * 1_000_000);

export async function upload(container: string, directory: string, file: File): Promise<void> {
  const number = ++lastUpload;
  let from = 0;
  do {
    const part = new Uint8Array(await file.slice(from, from + PART_BYTES).arrayBuffer());
    from += PART_BYTES;
    await api.putFile(container, directory, file.name, number, base64(part), from >= file.size);
  } while (from < file.size);
}

function base64(bytes: Uint8Array): string {
  let text = "";
  // In slices: all at once would be too many arguments.
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
