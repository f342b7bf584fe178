// A plain browser against the dev server: one WebSocket.

import type { ClientMessage, HostMessage } from "../bindings/schema";
import { pickInBrowser, retryAfter, splitBinary, type Listener, type Notifications, type Platform } from "./platform";

export class WebPlatform implements Platform {
  readonly opensLinks = true;
  private socket: WebSocket | undefined;
  private attempts = 0;

  connect(listener: Listener): void {
    // The page's own address carries the token: …/<token>/
    const url = new URL("socket", document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.attempts = 0;
      listener.opened();
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === "string") {
        listener.message(JSON.parse(data) as HostMessage);
      } else {
        const part = splitBinary(data);
        if (part) listener.bytes(part.stream, part.bytes);
      }
    };
    socket.onclose = () => {
      listener.lost("");
      setTimeout(() => this.connect(listener), retryAfter(this.attempts++));
    };
  }

  send(message: ClientMessage): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  painted(): void {}

  readonly desktop = undefined;
  readonly pickFile = pickInBrowser;

  pickTarget(): Promise<null> {
    return Promise.resolve(null);
  }

  readonly notifications: Notifications | undefined = "Notification" in window ? browserNotifications : undefined;
}

const browserNotifications: Notifications = {
  get allowed() {
    return Notification.permission === "granted";
  },
  ask: async () => (await Notification.requestPermission()) === "granted",
  show(title, text, place) {
    const shown = new Notification(title, { body: text });
    shown.onclick = () => {
      window.focus();
      location.hash = place;
      shown.close();
    };
  },
};
