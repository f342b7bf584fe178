// A clock for texts like "3 minutes ago", which runs only while such a text is on screen and the window is visible.

import { createSubscriber } from "svelte/reactivity";

function every(ms: number) {
  const subscribe = createSubscriber((update) => {
    let timer: ReturnType<typeof setInterval> | undefined;
    const run = () => {
      clearInterval(timer);
      timer = document.hidden ? undefined : setInterval(update, ms);
      if (!document.hidden) update();
    };
    timer = document.hidden ? undefined : setInterval(update, ms);
    document.addEventListener("visibilitychange", run);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", run);
    };
  });
  return () => {
    subscribe();
    return Date.now();
  };
}

/** For times that are minutes old. */
export const minutely = every(20_000);
/** For a stage that is under way. */
export const quickly = every(100);
