import fc from "fast-check";
import { expect, it } from "vitest";
import { place, type Tile } from "./treemap";

const tile = (bytes: number, key = String(bytes)): Tile => ({ key, label: key, bytes, colour: "soft" });

it("fills the whole area, each tile by its share, none over another", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 1e12 }), { maxLength: 30 }), (sizes) => {
      const placed = place(sizes.map((bytes, at) => tile(bytes, String(at))), 300, 200);
      const total = sizes.reduce((a, b) => a + b, 0);
      expect(placed.length).toBe(sizes.filter((bytes) => bytes > 0).length);
      for (const a of placed) {
        expect(a.width * a.height).toBeCloseTo((a.bytes / total) * 60_000, 3);
        expect(a.x + a.width).toBeLessThan(300.001);
        expect(a.y + a.height).toBeLessThan(200.001);
      }
    }),
  );
});

it("keeps tiles close to squares", () => {
  const placed = place([6, 6, 4, 3, 2, 2, 1].map((bytes, at) => tile(bytes, String(at))), 600, 400);
  for (const { width, height } of placed) expect(Math.max(width / height, height / width)).toBeLessThan(4);
});
