// The desktop app: two commands and one channel for the host, one command for what belongs to a desktop.

import { Channel, invoke } from "@tauri-apps/api/core";
import type { ClientMessage, HostMessage, ShellCommand, ShellReply } from "../bindings/schema";
import { retryAfter, splitBinary, type Desktop, type Listener, type Platform } from "./platform";

async function shell<T extends ShellReply["type"]>(expected: T, command: ShellCommand): Promise<Extract<ShellReply, { type: T }>> {
  const reply = await invoke<ShellReply>("shell", { command });
  if (reply.type !== expected) throw new Error(`${command.type} was answered by ${reply.type}`);
  return reply as Extract<ShellReply, { type: T }>;
}

async function path(command: ShellCommand): Promise<string | undefined> {
  return (await shell("path", command)).path ?? undefined;
}

async function atLogin(command: ShellCommand): Promise<boolean | undefined> {
  return (await shell("at_login", command)).on ?? undefined;
}

export class TauriPlatform implements Platform {
  readonly opensLinks = false;
  private waiting: ClientMessage[] = [];
  private sending = false;
  private attempts = 0;

  connect(listener: Listener): void {
    const channel = new Channel<HostMessage | ArrayBuffer>();
    channel.onmessage = (message) => {
      if (message instanceof ArrayBuffer) {
        const part = splitBinary(message);
        if (part) listener.bytes(part.stream, part.bytes);
      } else {
        listener.message(message);
      }
    };
    invoke("connect", { channel }).then(
      () => listener.opened(),
      (error: unknown) => {
        listener.lost(String(error));
        setTimeout(() => this.connect(listener), retryAfter(this.attempts++));
      },
    );
  }

  send(message: ClientMessage): void {
    this.waiting.push(message);
    if (!this.sending) void this.flush();
  }

  painted(): void {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const at = performance.timeOrigin + (paint?.startTime ?? performance.now());
    void shell("done", { type: "painted", first_paint_unix_ms: at, interactive_unix_ms: performance.timeOrigin + performance.now() });
  }

  pickFile(accept: string): Promise<string | undefined> {
    return path({ type: "pick_file", extensions: accept.split(",").map((end) => end.replace(/^\./, "")) });
  }

  pickTarget(name: string): Promise<string | undefined> {
    return path({ type: "pick_target", name });
  }

  readonly desktop: Desktop = {
    pickFolder: () => path({ type: "pick_folder" }),
    setWords: async (words) => void (await shell("done", { type: "set_words", words })),
    setNotifies: async (on) => void (await shell("done", { type: "set_notifies", on })),
    atLogin: () => atLogin({ type: "at_login" }),
    setAtLogin: (on) => atLogin({ type: "set_at_login", on }),
  };

  /** The shell gives them: it is there when no page is. */
  readonly notifications = undefined;

  /** One invocation at a time: separate ones may overtake each other, and keys must not. */
  private async flush(): Promise<void> {
    this.sending = true;
    while (this.waiting.length > 0) {
      const messages = this.waiting;
      this.waiting = [];
      try {
        await invoke("send", { messages });
      } catch (error) {
        console.error("send", error);
      }
    }
    this.sending = false;
  }
}
