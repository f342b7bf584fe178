// Removing, and taking it back.

import type { Container } from "../../bindings/schema";
import { api } from "../../shared/app";
import { t, tn } from "../../shared/i18n";
import { notices } from "../../shared/notices.svelte";

/** Requests at once: more would only wait in the engine. */
const AT_ONCE = 4;

/** The same for each, a few at a time. Those for which it worked. */
export async function forEach(containers: readonly Container[], action: (container: Container) => Promise<unknown>): Promise<Container[]> {
  const done: Container[] = [];
  const queue = [...containers];
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const container = next;
      if (await notices.attemptOn(async () => (await action(container), true), container.name)) done.push(container);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return done;
}

/** Into the bin at once; a notice offers the way back. */
export async function toBin(containers: readonly Container[], volumes = false): Promise<void> {
  const done = await forEach(containers, (container) => api.bin(container.id, volumes));
  if (done.length === 0) return;
  const text = tn("bin.done", done.length, { name: done[0]?.name ?? "" });
  notices.say(text);
  notices.undoable(text, t("bin.undo"), () => void restore(done));
}

export async function restore(containers: readonly Container[]): Promise<void> {
  const done = await forEach(containers, (container) => api.restore(container.id));
  for (const container of done.slice(0, 1)) notices.done(t("bin.restored", { name: container.binned?.name ?? container.name }));
}
