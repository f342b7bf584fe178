import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Container, MachineState } from "../bindings/schema";
import { World } from "./world.svelte";

const machine = { phase: "running", stages: [] } as unknown as MachineState;
const container = (id: string, created: number, over: Partial<Container> = {}) => ({ id, name: id, state: "running", created_unix_ms: created, ...over }) as Container;

describe("World", () => {
  let world: World;
  const ids = () => world.containers.map((row) => row.id).join("");

  beforeEach(() => {
    world = new World();
    world.snapshot({ revision: 1, machine, containers: [container("a", 1), container("c", 3)], images: [], volumes: [], networks: [], jobs: [], engines: { others: [], chosen: null }, app_version: "1" });
  });

  it("shows the newest first, and puts new rows in their place", () => {
    expect(ids()).toBe("ca");
    world.changes([{ type: "container", container: container("b", 2) }, { type: "container", container: container("d", 4) }]);
    expect(ids()).toBe("dcba");
  });

  it("replaces a row in place and leaves the others as they are", () => {
    const other = world.container("c");
    world.changes([{ type: "container", container: container("a", 1, { name: "renamed" }) }]);
    expect(world.container("a")?.name).toBe("renamed");
    expect(world.container("c")).toBe(other);
    expect(ids()).toBe("ca");
  });

  it("drops rows, and takes a removal of the unknown calmly", () => {
    world.changes([{ type: "container_removed", id: "a" }, { type: "container_removed", id: "zzz" }]);
    expect(ids()).toBe("c");
  });

  it("applies a batch in order", () => {
    world.changes([{ type: "containers", containers: [] }, { type: "container", container: container("x", 9) }]);
    expect(ids()).toBe("x");
  });

  it("keeps its rows while the engine is away by itself, and takes what is there when it is back", () => {
    world.changes([{ type: "machine", machine: { ...machine, phase: "starting" } }, { type: "containers", containers: [] }]);
    expect([ids(), world.stale, world.returns]).toEqual(["ca", true, 0]);
    world.changes([{ type: "machine", machine }, { type: "containers", containers: [container("c", 3)] }]);
    expect([ids(), world.stale, world.returns]).toEqual(["c", false, 1]);
  });

  it("takes nothing away while an answer is only late", () => {
    world.changes([{ type: "machine", machine: { ...machine, silent: true } }]);
    expect([ids(), world.silent, world.stale]).toEqual(["ca", true, false]);
    world.changes([{ type: "machine", machine }]);
    expect([ids(), world.silent, world.returns]).toEqual(["ca", false, 0]);
  });

  it("keeps nothing of an engine that was switched off, or of another one", () => {
    const lost = [{ type: "machine" as const, machine: { ...machine, phase: "failed" as const } }, { type: "containers" as const, containers: [] }];
    world.changes([...lost, { type: "machine", machine: { ...machine, phase: "off" } }]);
    expect([ids(), world.stale]).toEqual(["", false]);
    world.changes([{ type: "machine", machine }, { type: "containers", containers: [container("b", 2)] }, ...lost]);
    expect(ids()).toBe("b");
    world.changes([{ type: "machine", machine: { ...machine, phase: "starting", docker_host: "tcp://other:1" } }, { type: "containers", containers: [] }]);
    expect([ids(), world.stale]).toEqual(["", false]);
  });

  it("tells of changed states only", () => {
    const told = vi.fn();
    world.onState = told;
    world.changes([{ type: "container", container: container("a", 1, { name: "n" }) }]);
    expect(told).not.toHaveBeenCalled();
    world.changes([{ type: "container", container: container("a", 1, { state: "exited" }) }, { type: "container_removed", id: "c" }]);
    expect(told.mock.calls.map(([before, after]) => [before?.state, after?.state])).toEqual([["running", "exited"], ["running", undefined]]);
  });

  it("takes ten changes among ten thousand rows within a frame", () => {
    const many = Array.from({ length: 10_000 }, (_, at) => container(`id${at}`, at));
    world.snapshot({ revision: 2, machine, containers: many, images: [], volumes: [], networks: [], jobs: [], engines: { others: [], chosen: null }, app_version: "1" });
    const events = Array.from({ length: 10 }, (_, at) => ({ type: "container" as const, container: container(`id${at * 997}`, at * 997, { state: "exited" }) }));
    const before = performance.now();
    world.changes(events);
    expect(performance.now() - before).toBeLessThan(50);
    expect(world.container("id997")?.state).toBe("exited");
  });
});
