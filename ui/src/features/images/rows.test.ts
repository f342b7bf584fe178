import { expect, it } from "vitest";
import type { Image } from "../../bindings/schema";
import { matching, ownBytes, totals } from "./rows";

const image = (id: string, size_bytes: number, shared_bytes: number | null, tags = [id]): Image => ({ id, tags, size_bytes, shared_bytes, created_unix_ms: 0, used_by: [], exposed: [], volumes: [], architecture: null, binned: null });

it("counts what is shared once", () => {
  const base = image("base", 100, 100);
  expect(ownBytes(base)).toBe(0);
  expect(totals([base, image("app", 130, 100)])).toBe(130);
  expect(totals([image("alone", 50, null)])).toBe(50);
});

it("finds by name and id, all words", () => {
  const list = [image("sha256:1", 1, 0, ["ghcr.io/a/web:1"]), image("sha256:2", 1, 0, ["web:2"])];
  expect(matching(list, "WEB").length).toBe(2);
  expect(matching(list, "web ghcr").map((found) => found.id)).toEqual(["sha256:1"]);
});
