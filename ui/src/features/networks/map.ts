// Where things stand on the map: networks as bars across, containers as boxes below, a line for each membership.
//
//   ═══ shop ═══════════════      bars, one under the other
//   ═══ db ═════════════════
//      │      ├──┐
//     web    api  postgres        boxes, in columns

import type { Container, Network } from "../../bindings/schema";

export interface Bar {
  network: Network;
  y: number;
  /** Its colour, by number. */
  hue: number;
}

export interface Box {
  id: string;
  name: string;
  container: Container | undefined;
  x: number;
  y: number;
  wires: { x: number; /** Down between the boxes of the rows above; absent in the first. */ via?: number; from: number; hue: number; address: string; network: string }[];
}

export interface Layout {
  bars: Bar[];
  boxes: Box[];
  width: number;
  height: number;
}

export const BOX = { width: 158, height: 58, gap: 22 };
const BAR_HEIGHT = 40;
const MARGIN = 20;
const HUES = 5;

/** `columns`: boxes in one row. */
export function layout(networks: readonly Network[], containers: readonly Container[], columns: number): Layout {
  const shown = networks.filter((network) => network.members.length > 0);
  const bars = shown.map((network, at) => ({ network, y: MARGIN + at * BAR_HEIGHT, hue: at % HUES }));
  // In the order of the networks, so that neighbours stand together.
  const order: string[] = [];
  const names = new Map<string, string>();
  for (const { network } of bars) {
    for (const member of network.members) {
      if (!order.includes(member.id)) order.push(member.id);
      names.set(member.id, member.name);
    }
  }
  const fit = Math.max(1, columns);
  const top = MARGIN + bars.length * BAR_HEIGHT + 34;
  const boxes = order.map((id, at) => {
    const x = MARGIN + (at % fit) * (BOX.width + BOX.gap);
    const on = bars.filter(({ network }) => network.members.some((member) => member.id === id));
    const step = BOX.width / (on.length + 1);
    const wires = on.map(({ network, y, hue }, wire) => {
      const member = network.members.find((known) => known.id === id);
      const via = at >= fit ? x - BOX.gap / 2 + (wire - (on.length - 1) / 2) * 4 : undefined;
      return { x: x + step * (wire + 1), ...(via === undefined ? {} : { via }), from: y, hue, address: member?.address.replace(/\/\d+$/, "") ?? "", network: network.name };
    });
    return { id, name: names.get(id) ?? id.slice(0, 12), container: containers.find((known) => known.id === id), x, y: top + Math.floor(at / fit) * (BOX.height + 26), wires };
  });
  const rows = Math.ceil(order.length / fit);
  return { bars, boxes, width: MARGIN * 2 + Math.min(fit, Math.max(1, order.length)) * (BOX.width + BOX.gap) - BOX.gap, height: top + rows * (BOX.height + 26) };
}
