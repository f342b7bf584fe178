// Running what may have to be fetched first: with progress and a way to stop, like any fetching.

import type { ContainerRef, RunContainer } from "../../bindings/schema";
import { api, world } from "../../shared/app";
import { images } from "../images/api";
import { ended } from "../jobs/activity.svelte";

/** Undefined when fetching it failed or was stopped: its own card says so. */
export async function start(run: RunContainer): Promise<ContainerRef | undefined> {
  // A platform of its own, or an exact digest, is fetched by the host, without a card.
  if (!isHere(run.image) && run.platform === null && !run.image.includes("@")) {
    const id = await images.pull(run.image);
    const job = world.jobs.find((one) => one.id === id && one.state !== "running") ?? (await ended(id));
    if (job?.state !== "done") return undefined;
  }
  return api.run(run);
}

/** By any of the ways to write its name, or by its id. */
export function isHere(name: string): boolean {
  const short = name.replace(/^(docker\.io\/)?(library\/)?/, "");
  const id = name.replace(/^sha256:/, "");
  const isId = /^[0-9a-f]{6,64}$/.test(id);
  return world.images.some((image) => image.tags.some((tag) => tag === short || tag === `${short}:latest`) || (isId && image.id.startsWith(`sha256:${id}`)));
}
