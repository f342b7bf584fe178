import { expect, it } from "vitest";
import type { Network } from "../../bindings/schema";
import { BOX, layout } from "./map";

const network = (name: string, members: string[]): Network => ({
  id: name, name, driver: "bridge", internal: false, ipv6: false, subnets: [], gateways: [], created_unix_ms: 0, compose_project: null, builtin: false,
  members: members.map((member) => ({ id: member, name: member, address: "10.0.0.2/16" })),
});

it("draws each container once, with a wire for each of its networks", () => {
  const { bars, boxes } = layout([network("front", ["web", "api"]), network("back", ["api", "db"]), network("empty", [])], [], 4);
  expect(bars.map((bar) => bar.network.name)).toEqual(["front", "back"]);
  expect(boxes.map((box) => [box.id, box.wires.length])).toEqual([["web", 1], ["api", 2], ["db", 1]]);
  expect(boxes[0]?.wires[0]?.address).toBe("10.0.0.2");
});

it("lets no two boxes overlap, whatever the columns", () => {
  for (const columns of [1, 2, 3, 7]) {
    const { boxes, width, height } = layout([network("n", ["a", "b", "c", "d", "e"])], [], columns);
    for (const a of boxes) {
      expect(a.x + BOX.width).toBeLessThanOrEqual(width);
      expect(a.y + BOX.height).toBeLessThanOrEqual(height);
      for (const b of boxes) if (a !== b) expect(Math.abs(a.x - b.x) >= BOX.width || Math.abs(a.y - b.y) >= BOX.height).toBe(true);
    }
  }
});

it("leads no wire through somebody else's box", () => {
  const { boxes } = layout([network("a", ["a", "b", "c", "d", "e"]), network("b", ["c", "d", "e"])], [], 2);
  for (const { id, y, wires } of boxes) {
    for (const wire of wires) {
      const down = wire.via ?? wire.x;
      for (const other of boxes) if (other.id !== id && other.y < y) expect(down < other.x || down > other.x + BOX.width).toBe(true);
    }
  }
});
