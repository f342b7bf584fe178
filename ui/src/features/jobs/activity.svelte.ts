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
    setTimeout(() => this.fresh.delete(job.id), FRESH_MS);
  }

  show(): void {
    this.open = true;
    this.unseen = 0;
  }
}

export const activity = new Activity();
