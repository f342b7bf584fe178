// The logs of one container, or of several together, into one buffer.
//
// Docker ends a log with its container; when it runs again, the log goes on where it stopped. Several logs begin with what was
// written before: that is gathered for a moment and put in order of time; what comes after is taken as it comes.

import type { AppError, Container, LogLine } from "../../bindings/schema";
import { client, world } from "../../shared/app";
import type { OpenStream } from "../../shared/client";
import { LogBuffer, type StoredLine } from "./log-buffer";

const TAIL = 100_000;
const QUIET_MS = 250;
const LATEST_MS = 2000;

export type Only = "out" | "err" | null;

interface Follower {
  stream: OpenStream | undefined;
  ended: boolean;
  hostWasAway: boolean;
  /** What {@link World.returns} was. */
  returns: number;
  /** When the run began whose log is open; it is opened once for each run, so that a failure does not repeat itself. */
  run: number | null;
  last: number | null;
}

interface Listener {
  changed(dropped: number): void;
  failed(error: AppError): void;
}

export class LogFeed {
  private whole = new LogBuffer();
  shown = this.whole;
  loading = true;
  private only: Only = null;
  private followers = new Map<string, Follower>();
  private order: string[] = [];
  private gathered: [LogLine, number][] | null;
  private quiet: ReturnType<typeof setTimeout> | undefined;
  private latest: ReturnType<typeof setTimeout> | undefined;

  constructor(
    containers: readonly Container[],
    /** Null: only the last lines. 0: everything there is. */
    private readonly since: number | null,
    private readonly listener: Listener,
  ) {
    this.gathered = containers.length > 1 ? [] : null;
    for (const container of containers) this.open(container, since);
    if (this.gathered) this.latest = setTimeout(() => this.flush(), LATEST_MS);
    // An empty log says nothing: after a moment that is an answer too.
    setTimeout(() => {
      this.loading = false;
      listener.changed(0);
    }, 600);
  }

  get length(): number {
    return this.whole.length;
  }

  filter(only: Only): void {
    if (only === this.only) return;
    this.only = only;
    this.shown = only === null ? this.whole : this.whole.only((line) => this.wanted(line));
    this.listener.changed(0);
  }

  /** Whether somebody runs again, or the host came back. */
  check(containers: readonly Container[]): void {
    for (const container of containers) {
      const follower = this.followers.get(container.id);
      if (!follower) this.open(container, this.since);
      else if (follower.ended && container.state === "running" && world.link === "open" && !world.stale && (container.started_unix_ms !== follower.run || follower.hostWasAway || follower.returns !== world.returns)) {
        this.open(container, follower.last === null ? this.since : follower.last + 1);
      }
    }
  }

  close(): void {
    clearTimeout(this.quiet);
    clearTimeout(this.latest);
    for (const follower of this.followers.values()) follower.stream?.close();
  }

  private wanted(line: StoredLine): boolean {
    return this.only === null || line.err === (this.only === "err");
  }

  private open(container: Container, since: number | null): void {
    const follower: Follower = { stream: undefined, ended: false, hostWasAway: false, returns: world.returns, run: container.started_unix_ms, last: this.followers.get(container.id)?.last ?? null };
    this.followers.set(container.id, follower);
    if (!this.order.includes(container.id)) this.order.push(container.id);
    const from = this.order.indexOf(container.id);
    follower.stream = client.openLogs(
      { container: container.id, tail: since === null ? TAIL : null, since_unix_ms: since || null, follow: true },
      {
        item: (item) => {
          this.loading = false;
          if (item.type === "logs") {
            follower.last = item.chunk.lines.at(-1)?.at_unix_ms ?? follower.last;
            this.take(item.chunk.lines, from);
            return;
          }
          follower.ended = true;
          if (item.type === "broken" && item.error.code !== "machine_off" && !world.stale) this.listener.failed(item.error);
        },
        lost: () => {
          follower.hostWasAway = true;
          follower.ended = true;
        },
      },
    );
  }

  private take(lines: readonly LogLine[], from: number): void {
    if (this.gathered) {
      for (const line of lines) this.gathered.push([line, from]);
      clearTimeout(this.quiet);
      this.quiet = setTimeout(() => this.flush(), QUIET_MS);
      return;
    }
    const before = this.shown.first;
    const stored = this.whole.append(lines, from);
    if (this.shown !== this.whole) this.shown.put(stored.filter((line) => this.wanted(line)));
    this.listener.changed(this.shown.first - before);
  }

  private flush(): void {
    const gathered = this.gathered;
    if (!gathered) return;
    this.gathered = null;
    clearTimeout(this.quiet);
    clearTimeout(this.latest);
    gathered.sort(([a], [b]) => (a.at_unix_ms ?? 0) - (b.at_unix_ms ?? 0));
    for (const [line, from] of gathered) this.take([line], from);
  }
}
