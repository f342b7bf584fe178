// The only door between the user interface and whatever runs it.

import type { ClientMessage, HostMessage } from "../bindings/schema";

export interface Listener {
  opened(): void;
  message(message: HostMessage): void;
  /** Terminal output. */
  bytes(stream: number, bytes: Uint8Array): void;
  /** The host went away or could not be reached; the platform keeps trying and calls `opened` when it can. */
  lost(reason: string): void;
}

export interface Platform {
  /** Called once. */
  connect(listener: Listener): void;
  /** Keeps order. Messages sent while the host is away are dropped: `opened` starts everything anew. */
  send(message: ClientMessage): void;
  /** Links open in the user's browser. Undefined where a plain link does that by itself. */
  readonly opensLinks: boolean;
  /** Tells the host that the window shows its first page (for measuring). */
  painted(): void;
}

/** How long to wait before each further attempt to reach the host; the last one repeats. */
export const RETRY_MS = [250, 1000, 2000, 5000];

export function retryAfter(attempts: number): number {
  return RETRY_MS[Math.min(attempts, RETRY_MS.length - 1)] ?? 5000;
}

/** Splits a binary message of the host: stream number (u32, little endian), then bytes. */
export function splitBinary(buffer: ArrayBuffer): { stream: number; bytes: Uint8Array } | undefined {
  if (buffer.byteLength < 4) return undefined;
  return { stream: new DataView(buffer).getUint32(0, true), bytes: new Uint8Array(buffer, 4) };
}
