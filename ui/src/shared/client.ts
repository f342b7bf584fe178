// Calls, streams and the watch over one platform. Knows no Svelte.

import type {
  AppError,
  ClientMessage,
  Command,
  HostMessage,
  OpenLogs,
  OpenTerminal,
  Reply,
  Snapshot,
  StreamItem,
  TerminalInput,
} from "../bindings/schema";
import type { Listener, Platform } from "../platform/platform";
import { titled } from "./titles";

export type ReplyOf<T extends Reply["type"]> = Extract<Reply, { type: T }>;
export type EventOf = Extract<HostMessage, { type: "changes" }>["changes"][number]["event"];

/** What a failed call throws. */
export class CallError extends Error {
  constructor(readonly error: AppError) {
    super(error.title);
  }
}

export interface Watcher {
  opened(): void;
  snapshot(snapshot: Snapshot): void;
  changes(events: EventOf[]): void;
  lost(reason: string): void;
  go(place: string): void;
}

export interface StreamListener {
  item?(item: StreamItem): void;
  /** Call `taken` once the bytes are on screen: only then the host sends more. */
  bytes?(bytes: Uint8Array, taken: () => void): void;
  /** The host went away; the stream is gone. */
  lost(): void;
}

export interface OpenStream {
  close(): void;
}

export interface OpenTerminalStream extends OpenStream {
  send(input: TerminalInput): void;
}

const HOST_AWAY: AppError = { code: "failed", title: "Cubby's host is not answering", detail: "", remedy: null };

export class Client implements Listener {
  private nextId = 1;
  private readonly calls = new Map<number, { resolve(reply: Reply): void; reject(error: CallError): void }>();
  private readonly streams = new Map<number, StreamListener>();
  private connected = false;
  private watching = false;
  /** Told of every call; what it returns is called when it was answered well. */
  onCall: ((command: Command) => () => void) | undefined;

  constructor(
    private readonly platform: Platform,
    private readonly watcher: Watcher,
  ) {}

  start(): void {
    this.platform.connect(this);
  }

  /** Off while the window is hidden: the host then pushes news only. */
  watch(on: boolean): void {
    if (this.watching === on) return;
    this.watching = on;
    if (this.connected) this.platform.send({ type: "watch", on });
  }

  async call<T extends Reply["type"]>(expected: T, command: Command): Promise<ReplyOf<T>> {
    if (!this.connected) throw new CallError(HOST_AWAY);
    const id = this.nextId++;
    const done = this.onCall?.(command);
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.calls.set(id, { resolve, reject });
      this.platform.send({ type: "call", id, command });
    });
    if (reply.type !== expected) throw new Error(`${command.type} was answered by ${reply.type}`);
    done?.();
    return reply as ReplyOf<T>;
  }

  openLogs(open: OpenLogs, listener: StreamListener): OpenStream {
    return this.open((stream) => ({ type: "open_logs", stream, open }), listener);
  }

  openFigures(listener: StreamListener): OpenStream {
    return this.open((stream) => ({ type: "open_figures", stream }), listener);
  }

  openStats(container: string, listener: StreamListener): OpenStream {
    return this.open((stream) => ({ type: "open_stats", stream, container }), listener);
  }

  openProcesses(container: string, listener: StreamListener): OpenStream {
    return this.open((stream) => ({ type: "open_processes", stream, container }), listener);
  }

  openTerminal(open: OpenTerminal, listener: StreamListener): OpenTerminalStream {
    let number = 0;
    const opened = this.open((stream) => {
      number = stream;
      return { type: "open_terminal", stream, open };
    }, listener);
    return { ...opened, send: (input) => this.platform.send({ type: "input", stream: number, input }) };
  }

  opened(): void {
    this.connected = true;
    this.watcher.opened();
    this.platform.send({ type: "watch", on: this.watching });
  }

  lost(reason: string): void {
    this.connected = false;
    for (const call of this.calls.values()) call.reject(new CallError(HOST_AWAY));
    this.calls.clear();
    for (const stream of this.streams.values()) stream.lost();
    this.streams.clear();
    this.watcher.lost(reason);
  }

  message(message: HostMessage): void {
    switch (message.type) {
      case "reply":
        this.take(message.id)?.resolve(message.reply);
        break;
      case "error":
        this.take(message.id)?.reject(new CallError({ ...message.error, title: titled(message.error.title) }));
        break;
      case "snapshot":
        this.watcher.snapshot(message.snapshot);
        break;
      case "changes":
        this.watcher.changes(message.changes.map((change) => change.event));
        break;
      case "go":
        this.watcher.go(message.place);
        break;
      case "stream":
        this.item(message.stream, message.item, message.weight);
        break;
    }
  }

  bytes(stream: number, bytes: Uint8Array): void {
    const taken = () => this.platform.send({ type: "ack", stream, bytes: bytes.length });
    const listener = this.streams.get(stream);
    if (listener?.bytes) listener.bytes(bytes, taken);
  }

  private open(message: (stream: number) => ClientMessage, listener: StreamListener): OpenStream {
    const stream = this.nextId++;
    this.streams.set(stream, listener);
    this.platform.send(message(stream));
    return {
      close: () => {
        if (this.streams.delete(stream)) this.platform.send({ type: "close", stream });
      },
    };
  }

  private item(stream: number, item: StreamItem, weight: number): void {
    const listener = this.streams.get(stream);
    if (!listener) return;
    if (item.type === "ended" || item.type === "broken") this.streams.delete(stream);
    listener.item?.(item);
    if (weight > 0) this.platform.send({ type: "ack", stream, bytes: weight });
  }

  private take(id: number) {
    const call = this.calls.get(id);
    this.calls.delete(id);
    return call;
  }
}
