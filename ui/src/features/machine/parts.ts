// What takes the machine's memory and disk, in parts that add up to what this computer sees.

import type { Figures, Usage } from "../../bindings/schema";
import { t } from "../../shared/i18n";
import type { Tile } from "./treemap";

const COLOURS = { image: "accent", container: "good", volume: "info", build_cache: "warn" } as const;

/** Parts that add up to `whole`: what is named, and a rest under `label`. Where the named are more, they are the whole. */
function withRest(tiles: Tile[], whole: number, rest: Pick<Tile, "key" | "label" | "colour">): Tile[] {
  const named = tiles.reduce((sum, tile) => sum + tile.bytes, 0);
  return whole > named ? [...tiles, { ...rest, bytes: whole - named }] : tiles;
}

/** Of this computer's memory, what the machine holds. */
export function memoryParts(figures: Figures, usage: Usage | null): Tile[] {
  const containers = (usage?.memory ?? []).map((item): Tile => ({ key: item.id, label: item.name, bytes: item.bytes, colour: "good" }));
  const engine: Tile = { key: "engine", label: t("machine.part.engine"), bytes: figures.engine_resident_bytes, colour: "accent" };
  // The guest counts what its programs and its kernel use; what neither engine nor containers have is Linux itself.
  const used = withRest([...containers, engine], figures.memory_used_bytes, { key: "linux", label: t("machine.part.linux"), colour: "soft" });
  const caches: Tile = { key: "caches", label: t("machine.part.caches"), bytes: figures.memory_reclaimable_bytes, colour: "info" };
  const held = figures.host_memory_bytes ?? figures.memory_used_bytes + figures.memory_reclaimable_bytes;
  return withRest([...used, caches], held, { key: "rest", label: t("machine.part.machine"), colour: "free" }).filter((tile) => tile.bytes > 0);
}

/** Of this computer's disk, what the machine's disk takes. */
export function diskParts(figures: Figures, usage: Usage | null): Tile[] {
  const items = (usage?.disk ?? []).map((item): Tile => ({
    key: `${item.kind}:${item.id}`,
    label: item.name || (item.kind === "build_cache" ? t("machine.part.cache") : item.id ? item.id.replace(/^sha256:/, "").slice(0, 12) : t("machine.part.shared")),
    bytes: item.bytes,
    colour: COLOURS[item.kind],
  }));
  const used = withRest(items, figures.disk_used_bytes, { key: "system", label: t("machine.part.system"), colour: "soft" });
  return withRest(used, figures.host_disk_bytes ?? figures.disk_used_bytes, { key: "freed", label: t("machine.part.freed"), colour: "free" }).filter((tile) => tile.bytes > 0);
}
