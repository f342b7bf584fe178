import { expect, it } from "vitest";
import type { Container } from "../../bindings/schema";
import { matching, rows } from "./rows";

const container = (name: string, project: string | null = null) => ({ id: `id-${name}`, name, image: `img/${name}`, compose_project: project, compose_service: null, state: "running", created_unix_ms: 0 }) as Container;

it("groups by project, and heads the rest only when there is a project", () => {
  const keys = (list: Container[]) => rows(list).map((row) => row.key);
  expect(keys([container("b"), container("a")])).toEqual(["id-b", "id-a"]);
  expect(keys([container("solo"), container("z", "shop"), container("y", "shop"), container("x", "blog")])).toEqual([
    "project:blog", "id-x", "project:shop", "id-y", "id-z", "loose", "id-solo",
  ]);
});

it("finds by name, image and project, whatever the case", () => {
  const all = [container("web", "Shop"), container("db")];
  expect(matching(all, "SHOP").length).toBe(1);
  expect(matching(all, "img/db").map(({ name }) => name)).toEqual(["db"]);
  expect(matching(all, "  ")).toBe(all);
});

it("shows what is wanted, in the order that is wanted", () => {
  const made = (name: string, state: Container["state"], created: number) => ({ ...container(name), state, created_unix_ms: created });
  const all = [made("b", "exited", 3), made("c", "running", 2), made("a", "paused", 1)];
  const names = (list: readonly Container[], sort?: "name" | "state") => rows(list, sort).map((row) => (row.type === "container" ? row.container.name : ""));
  expect(names(matching(all, "", "running"))).toEqual(["c", "a"]);
  expect(names(matching(all, "", "stopped"))).toEqual(["b"]);
  expect(names(all, "name")).toEqual(["a", "b", "c"]);
  expect(names(all, "state")).toEqual(["c", "a", "b"]);
});
