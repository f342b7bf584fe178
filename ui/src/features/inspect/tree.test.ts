import { expect, it } from "vitest";
import { branches, rows } from "./tree";

const json = { Id: "abc", State: { Running: true, Health: { Status: "healthy" } }, Ports: [80, 443], Empty: {} };
const keys = (open: Set<string>, query = "") => rows(json, open, query).map((row) => row.path);

it("shows what is open", () => {
  expect(keys(new Set())).toEqual(["/Id", "/State", "/Ports", "/Empty"]);
  expect(keys(new Set(["/State"]))).toEqual(["/Id", "/State", "/State/Running", "/State/Health", "/Ports", "/Empty"]);
  expect(keys(branches(json, 9)).length).toBe(9);
});

it("finds keys and values, with what leads to them", () => {
  expect(keys(new Set(), "HEALTHY")).toEqual(["/State", "/State/Health", "/State/Health/Status"]);
  expect(keys(new Set(), "443")).toEqual(["/Ports", "/Ports/1"]);
  expect(keys(new Set(), "nowhere")).toEqual([]);
  expect(rows(json, new Set(), "status").filter((row) => row.match).map((row) => row.key)).toEqual(["Status"]);
});
