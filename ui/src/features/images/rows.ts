// Images as rows: who uses them, what each has for itself.

import type { Container, Image } from "../../bindings/schema";
import { shortId } from "../../shared/format";

export function matching(images: readonly Image[], text: string): Image[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return images.filter((image) => {
    const all = [...image.tags, image.id].join(" ").toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/** What no other image has; all of it when the engine does not tell. */
export function ownBytes(image: Image): number {
  return Math.max(0, image.size_bytes - (image.shared_bytes ?? 0));
}

/** What all images take together. What is shared is counted once: an upper bound, as only pairs are known to share. */
export function totals(images: readonly Image[]): number {
  const own = images.reduce((sum, image) => sum + ownBytes(image), 0);
  const shared = images.reduce((most, image) => Math.max(most, image.shared_bytes ?? 0), 0);
  return own + shared;
}

export function users(image: Image, containers: readonly Container[]): string[] {
  return image.used_by.map((id) => containers.find((container) => container.id === id)?.name ?? shortId(id));
}
