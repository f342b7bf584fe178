import { expect, it } from "vitest";
import type { Container, Image } from "../../bindings/schema";
import { families, kept } from "./tree";

const image = (id: string, created = 0) => ({ id, created_unix_ms: created }) as Image;
const container = (id: string, image_id: string, created: number, state = "exited") => ({ id, image_id, created_unix_ms: created, state }) as Container;

it("leads with what runs and what was used last, and counts what it leaves out", () => {
  const containers = [container("3", "b", 3), container("2", "b", 2, "running"), container("1", "a", 1)];
  const tree = families([image("unused", 99), image("a"), image("b")], containers, 2, 1);
  expect(tree.shown.map((family) => family.image.id)).toEqual(["b", "a"]);
  expect(tree.shown[0]?.containers.map(({ id }) => id)).toEqual(["2"]);
  expect(tree.shown[0]?.more).toBe(1);
  expect(tree.more).toBe(1);
});

it("promises only what really outlives a container", () => {
  const mount = (kind: string, anonymous = false) => ({ kind, anonymous, source: kind, target: `/${kind}` });
  const mounts = [mount("volume"), mount("volume", true), mount("bind"), mount("tmpfs")];
  expect(kept({ mounts } as unknown as Container).map(({ source }) => source)).toEqual(["volume", "bind"]);
});
