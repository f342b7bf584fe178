import { expect, it } from "vitest";
import type { Figures, Usage } from "../../bindings/schema";
import { diskParts, memoryParts } from "./parts";

const figures: Figures = {
  cpus: 2, memory_total_bytes: 2000, memory_used_bytes: 300, memory_reclaimable_bytes: 200, memory_free_bytes: 1500, engine_resident_bytes: 40,
  disk_total_bytes: 9000, disk_used_bytes: 1000, host_memory_bytes: 700, host_disk_bytes: 1100,
};
const usage: Usage = { memory: [{ kind: "container", id: "a", name: "web", bytes: 100 }], disk: [{ kind: "image", id: "i", name: "web:1", bytes: 600 }, { kind: "volume", id: "v", name: "v", bytes: 50 }] };
const sum = (parts: { bytes: number }[]) => parts.reduce((all, part) => all + part.bytes, 0);

it("adds up to what this computer sees", () => {
  expect(sum(memoryParts(figures, usage))).toBe(700);
  expect(sum(memoryParts(figures, null))).toBe(700);
  expect(sum(diskParts(figures, usage))).toBe(1100);
  expect(Object.fromEntries(memoryParts(figures, usage).map((part) => [part.key, part.bytes]))).toEqual({ a: 100, engine: 40, linux: 160, caches: 200, rest: 200 });
});
