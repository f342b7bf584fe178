// What running containers use, for as long as somebody looks: one stream for each container on screen, none while the window is
// hidden. What was seen is kept while the app runs, so that a chart does not begin anew at every look.

import { SvelteMap } from "svelte/reactivity";
import type { StatsSample } from "../../bindings/schema";
import { client, world } from "../../shared/app";
import type { OpenStream } from "../../shared/client";

/** A quarter of an hour at one sample a second. */
const KEPT = 900;
const CONTAINERS_KEPT = 500;

export class Series {
  /** Oldest first; replaced, never changed. */
  samples = $state.raw<readonly StatsSample[]>([]);
  get last(): StatsSample | undefined {
    return this.samples.at(-1);
  }

  add(sample: StatsSample): void {
    const from = Math.max(0, this.samples.length + 1 - KEPT);
    this.samples = [...this.samples.slice(from), sample];
  }
}

const all = new SvelteMap<string, Series>();
interface Watched { viewers: number; stream: OpenStream | undefined }
const watched = new Map<string, Watched>();

export function seriesOf(id: string): Series | undefined {
  return all.get(id);
}

/** Until the returned function is called. */
export function watchStats(id: string): () => void {
  const entry = watched.get(id) ?? { viewers: 0, stream: undefined };
  watched.set(id, entry);
  entry.viewers++;
  if (!entry.stream && !document.hidden) open(id, entry);
  return () => {
    if (--entry.viewers > 0) return;
    entry.stream?.close();
    watched.delete(id);
  };
}

function open(id: string, entry: Watched): void {
  const series = all.get(id) ?? new Series();
  if (!all.has(id)) {
    all.set(id, series);
    const oldest = all.size > CONTAINERS_KEPT ? [...all.keys()].find((key) => !watched.has(key)) : undefined;
    if (oldest) all.delete(oldest);
  }
  const ended = () => (entry.stream = undefined);
  entry.stream = client.openStats(id, {
    item: (item) => {
      if (item.type === "stats") series.add(item.sample);
      else ended();
    },
    lost: ended,
  });
}

/** After the host or the engine came back, or a container started: those on screen without a stream get one. */
export function reopen(): void {
  if (document.hidden || world.link !== "open") return;
  for (const [id, entry] of watched) if (!entry.stream && world.container(id)?.state === "running") open(id, entry);
}

if (typeof document !== "undefined") {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) return reopen();
    for (const entry of watched.values()) {
      entry.stream?.close();
      entry.stream = undefined;
    }
  });
}
