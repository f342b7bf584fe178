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

/** What only the desktop app can do. */
export interface Desktop {
  pickFolder(): Promise<string | undefined>;
  /** The few texts that the shell shows itself. */
  setWords(words: Record<string, string>): Promise<void>;
  /** Tells the desktop what happens while the window is away, or not. */
  setNotifies(on: boolean): Promise<void>;
  /** Whether the app starts, without its window, when the user logs in; undefined: this system has no way that is known. */
  atLogin(): Promise<boolean | undefined>;
  setAtLogin(on: boolean): Promise<boolean | undefined>;
}

/** The desktop's notifications, where the page itself has to give them. */
export interface Notifications {
  readonly allowed: boolean;
  /** Asks the user, once: a browser remembers the answer. */
  ask(): Promise<boolean>;
  /** A click on it leads to `place`. */
  show(title: string, text: string, place: string): void;
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
  /** A file to read: its path where the host can open it, else the file itself. Undefined when none was chosen. */
  pickFile(accept: string): Promise<string | File | undefined>;
  /** A path to write to; null where the platform cannot ask; undefined when none was chosen. */
  pickTarget(name: string): Promise<string | null | undefined>;
  readonly desktop: Desktop | undefined;
  readonly notifications: Notifications | undefined;
}

/** A browser's own way to ask for a file. */
export function pickInBrowser(accept: string): Promise<File | undefined> {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    input.type = "file";
    input.accept = accept;
    input.onchange = () => resolve(input.files?.[0]);
    input.oncancel = () => resolve(undefined);
    input.click();
  });
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
