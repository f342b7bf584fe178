// Rectangles whose areas are shares of a whole. Squarified: rows are filled as long as that makes them squarer.
// Source: Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000).

export interface Tile {
  key: string;
  label: string;
  bytes: number;
  colour: "accent" | "info" | "good" | "warn" | "soft" | "free";
}

export interface Placed extends Tile {
  x: number;
  y: number;
  width: number;
  height: number;
}

function worst(row: number[], side: number): number {
  const sum = row.reduce((a, b) => a + b, 0);
  return Math.max(...row.map((area) => Math.max((side * side * area) / (sum * sum), (sum * sum) / (side * side * area))));
}

/** Tiles without bytes are left out. The areas are exact: they add up to `width` × `height`. */
export function place(tiles: readonly Tile[], width: number, height: number): Placed[] {
  const sorted = tiles.filter((tile) => tile.bytes > 0).sort((a, b) => b.bytes - a.bytes);
  const total = sorted.reduce((sum, tile) => sum + tile.bytes, 0);
  const placed: Placed[] = [];
  let [x, y, w, h] = [0, 0, width, height];
  let at = 0;
  while (at < sorted.length) {
    const left = sorted.slice(at).reduce((sum, tile) => sum + tile.bytes, 0);
    const scale = (w * h) / left;
    const side = Math.min(w, h);
    const row: number[] = [];
    let next = at;
    for (; next < sorted.length; next++) {
      const area = (sorted[next]?.bytes ?? 0) * scale;
      if (row.length > 0 && worst([...row, area], side) > worst(row, side)) break;
      row.push(area);
    }
    const thickness = row.reduce((a, b) => a + b, 0) / side;
    let along = 0;
    for (const [index, area] of row.entries()) {
      const tile = sorted[at + index];
      if (!tile) break;
      const length = area / thickness;
      placed.push(w >= h ? { ...tile, x, y: y + along, width: thickness, height: length } : { ...tile, x: x + along, y, width: length, height: thickness });
      along += length;
    }
    if (w >= h) [x, w] = [x + thickness, w - thickness];
    else [y, h] = [y + thickness, h - thickness];
    at = next;
  }
  return total > 0 ? placed : [];
}
