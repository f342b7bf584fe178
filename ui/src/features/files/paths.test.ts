import { expect, it } from "vitest";
import { crumbs, join, parent, rights } from "./paths";

it("walks up and down", () => {
  expect([join("/", "etc"), join("/etc", "x")]).toEqual(["/etc", "/etc/x"]);
  expect([parent("/etc/x"), parent("/etc"), parent("/")]).toEqual(["/etc", "/", "/"]);
  expect(crumbs("/a/b").map((crumb) => crumb.path)).toEqual(["/a", "/a/b"]);
  expect(crumbs("/")).toEqual([]);
});

it("writes rights as ls does", () => expect([rights(0o755), rights(0o640), rights(0o001)]).toEqual(["rwxr-xr-x", "rw-r-----", "--------x"]));
