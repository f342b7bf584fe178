import { expect, it } from "vitest";
import { windowOf } from "./windowing";

it("draws what is in view and a little more", () => {
  expect(windowOf(10_000, 50, 5000, 500, 4)).toEqual({ first: 96, end: 114, top: 4800, height: 500_000 });
});

it("stays within the list at both ends, and when the list shrank under the scroll position", () => {
  expect(windowOf(3, 50, 0, 500)).toEqual({ first: 0, end: 3, top: 0, height: 150 });
  expect(windowOf(0, 50, 9000, 500)).toEqual({ first: 0, end: 0, top: 0, height: 0 });
  const shrunk = windowOf(5, 50, 9000, 500);
  expect(shrunk.first).toBeLessThanOrEqual(shrunk.end);
});
