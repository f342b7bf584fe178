// The desktop app: two commands and one channel.

import { Channel, invoke } from "@tauri-apps/api/core";
import type { ClientMessage, HostMessage } from "../bindings/schema";
import { pickInBrowser, retryAfter, splitBinary, type Listener, type Platform } from "./platform";

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
    void invoke("painted", { firstPaintUnixMs: at, interactiveUnixMs: performance.timeOrigin + performance.now() });
  }

  readonly desktop = undefined;
  /** WebKit asks with the system's own dialog. */
  readonly pickFile = pickInBrowser;

  pickTarget(): Promise<null> {
    return Promise.resolve(null);
  }

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
