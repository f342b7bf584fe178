import { beforeEach, describe, expect, it, vi } from "vitest";
import type { ClientMessage } from "../bindings/schema";
import type { Listener, Platform } from "../platform/platform";
import { CallError, Client, type Watcher } from "./client";

class FakePlatform implements Platform {
  readonly opensLinks = true;
  sent: ClientMessage[] = [];
  listener!: Listener;
  connect(listener: Listener) {
    this.listener = listener;
  }
  send(message: ClientMessage) {
    this.sent.push(message);
  }
  painted() {}
  readonly desktop = undefined;
  readonly notifications = undefined;
  pickFile = () => Promise.resolve(undefined);
  pickTarget = () => Promise.resolve(undefined);
}

const last = (platform: FakePlatform) => platform.sent.at(-1) as ClientMessage & { id: number; stream: number };

describe("Client", () => {
  let platform: FakePlatform;
  let client: Client;
  const watcher = { opened: vi.fn(), snapshot: vi.fn(), changes: vi.fn(), lost: vi.fn(), go: vi.fn() } satisfies Watcher;

  beforeEach(() => {
    platform = new FakePlatform();
    client = new Client(platform, watcher);
    client.start();
    platform.listener.opened();
  });

  it("gives each call its own answer, in whatever order they come", async () => {
    const first = client.call("text", { type: "container_inspect", id: "a" });
    const firstId = last(platform).id;
    const second = client.call("done", { type: "machine_start" });
    platform.listener.message({ type: "reply", id: last(platform).id, reply: { type: "done" } });
    platform.listener.message({ type: "reply", id: firstId, reply: { type: "text", text: "{}" } });
    expect((await first).text).toBe("{}");
    expect((await second).type).toBe("done");
  });

  it("throws the host's error", async () => {
    const call = client.call("done", { type: "machine_start" });
    const error = { code: "failed" as const, title: "No", detail: "because", remedy: null };
    platform.listener.message({ type: "error", id: last(platform).id, error });
    await expect(call).rejects.toMatchObject({ error });
  });

  it("fails what is under way when the host goes away, and watches again when it is back", async () => {
    client.watch(true);
    const call = client.call("done", { type: "machine_start" });
    const lost = vi.fn();
    client.openLogs({ container: "a", tail: null, since_unix_ms: null, follow: true }, { lost });
    platform.listener.lost("");
    await expect(call).rejects.toBeInstanceOf(CallError);
    expect(lost).toHaveBeenCalledOnce();
    platform.sent = [];
    platform.listener.opened();
    expect(platform.sent).toEqual([{ type: "watch", on: true }]);
  });

  it("asks for nothing while hidden", () => {
    client.watch(true);
    client.watch(false);
    expect(last(platform)).toEqual({ type: "watch", on: false });
  });

  it("acknowledges log items at once and terminal bytes only when they are drawn", () => {
    client.openLogs({ container: "a", tail: null, since_unix_ms: null, follow: true }, { item: () => {}, lost: () => {} });
    const { stream } = last(platform);
    platform.listener.message({ type: "stream", stream, item: { type: "logs", chunk: { lines: [] } }, weight: 77 });
    expect(last(platform)).toEqual({ type: "ack", stream, bytes: 77 });

    let drawn = () => {};
    client.openTerminal({ container: "a", columns: 80, rows: 24, shell: null }, { bytes: (_, taken) => (drawn = taken), lost: () => {} });
    const terminal = last(platform).stream;
    platform.listener.bytes(terminal, new Uint8Array(9));
    expect(last(platform).type).toBe("open_terminal");
    drawn();
    expect(last(platform)).toEqual({ type: "ack", stream: terminal, bytes: 9 });
  });

  it("closes a stream once, and not after its end", () => {
    const open = client.openFigures({ lost: () => {} });
    const { stream } = last(platform);
    platform.listener.message({ type: "stream", stream, item: { type: "ended", exit_code: null }, weight: 0 });
    open.close();
    expect(platform.sent.some((message) => message.type === "close")).toBe(false);
  });
});
