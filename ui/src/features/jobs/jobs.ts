// Long work in words and numbers.

import type { Job } from "../../bindings/schema";
import { client } from "../../shared/app";

export const jobs = {
  cancel: (id: number) => client.call("done", { type: "job", command: { type: "cancel", id } }),
  dismiss: (id: number) => client.call("done", { type: "job", command: { type: "dismiss", id } }),
};

/** Half of everything is no use to anybody. */
export function cancellable(job: Job): boolean {
  return job.kind !== "export" && job.kind !== "import";
}

/** A layer's way has two halves, the network and the disk; the first takes the longer. */
const TRANSFER_SHARE = 0.7;

function stepShare(step: Job["steps"][number]): number {
  const part = step.total_bytes ? Math.min(1, step.current_bytes / step.total_bytes) : 0;
  switch (step.state) {
    case "waiting":
      return 0;
    case "transferring":
      return part * TRANSFER_SHARE;
    case "transferred":
      return TRANSFER_SHARE;
    case "unpacking":
      return TRANSFER_SHARE + part * (1 - TRANSFER_SHARE);
    case "done":
    case "present":
      return 1;
  }
}

/** 0…1 where it can be told; layers count by their size as far as it is known. */
export function share(job: Job): number | null {
  if (job.state === "done") return 1;
  if (job.steps.length > 0) {
    const known = job.steps.map((step) => step.total_bytes ?? 0).filter((bytes) => bytes > 0);
    const usual = known.length > 0 ? known.reduce((sum, bytes) => sum + bytes, 0) / known.length : 1;
    let all = 0;
    let done = 0;
    for (const step of job.steps) {
      // What was there before took no time and says nothing of what is to come.
      if (step.state === "present") continue;
      const weight = step.total_bytes ?? usual;
      all += weight;
      done += weight * stepShare(step);
    }
    return all > 0 ? done / all : 0;
  }
  return job.total_bytes ? Math.min(1, job.current_bytes / job.total_bytes) : null;
}
