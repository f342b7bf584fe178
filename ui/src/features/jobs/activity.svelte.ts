// What happened while nobody looked: ended work and news, newest first, for as long as the window is open.

import type { Job, News } from "../../bindings/schema";
import { SvelteSet } from "svelte/reactivity";

const KEPT = 100;
/** So long an ended job stays in the corner. */
const FRESH_MS = 5000;

class Activity {
  open = $state(false);
  news = $state.raw<readonly News[]>([]);
  /** News that the list has not shown yet. */
  unseen = $state(0);
  /** Jobs that just ended. */
  readonly fresh = new SvelteSet<number>();

  add(news: News): void {
    this.news = [news, ...this.news].slice(0, KEPT);
    if (!this.open) this.unseen++;
  }

  ended(job: Job): void {
    this.fresh.add(job.id);
    waiting.get(job.id)?.(job);
    waiting.delete(job.id);
    setTimeout(() => this.fresh.delete(job.id), FRESH_MS);
  }

  show(): void {
    this.open = true;
    this.unseen = 0;
  }
}

export const activity = new Activity();

const waiting = new Map<number, (job: Job | undefined) => void>();

/** When a job ends, however; undefined when nobody knows it any more. Asked while it is known to run. */
export function ended(id: number): Promise<Job | undefined> {
  return new Promise((resolve) => waiting.set(id, resolve));
}

/** All that the host knows now: what ended while it could not be heard ended all the same. */
export function known(jobs: readonly Job[]): void {
  for (const [id, tell] of waiting) {
    const job = jobs.find((one) => one.id === id);
    if (job?.state === "running") continue;
    waiting.delete(id);
    tell(job);
  }
}
