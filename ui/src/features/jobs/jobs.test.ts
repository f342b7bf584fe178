import { expect, it } from "vitest";
import type { Job, JobStep } from "../../bindings/schema";
import { share } from "./jobs";

const job = (steps: JobStep[], over: Partial<Job> = {}): Job => ({
  id: 1, kind: "pull", subject: "a", state: "running", steps, current_bytes: 0, total_bytes: null, message: "", error: null, started_unix_ms: 0, finished_unix_ms: null, ...over,
});
const step = (state: JobStep["state"], current_bytes = 0, total_bytes: number | null = null): JobStep => ({ id: `${state}${current_bytes}`, state, current_bytes, total_bytes });

it("weighs layers by their size and leaves out what was there before", () => {
  expect(share(job([step("done", 100, 100), step("waiting", 0, 300)]))).toBeCloseTo(0.25);
  expect(share(job([step("present"), step("transferring", 50, 100)]))).toBeCloseTo(0.35);
  expect(share(job([step("present"), step("present")]))).toBe(0);
});

it("never goes back when a layer turns from the network to the disk", () => {
  const before = share(job([step("transferring", 100, 100)])) ?? 0;
  const after = share(job([step("unpacking", 0, 100)])) ?? 0;
  expect(after).toBeGreaterThanOrEqual(before);
});

it("says nothing where nothing is known", () => {
  expect(share(job([]))).toBeNull();
  expect(share(job([], { current_bytes: 5, total_bytes: 10 }))).toBe(0.5);
  expect(share(job([], { state: "done" }))).toBe(1);
});
