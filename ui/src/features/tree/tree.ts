// The family tree's data: image → containers → doors and data.

import type { Container, Image, Mount } from "../../bindings/schema";

export interface Family {
  image: Image;
  containers: Container[];
  /** Containers that are not shown. */
  more: number;
}

/** Images in use come first, the most recently used leading; then the unused. */
export function families(images: readonly Image[], containers: readonly Container[], images_max: number, containers_max: number) {
  const byImage = new Map<string, Container[]>();
  for (const container of containers) {
    const list = byImage.get(container.image_id);
    if (list) list.push(container);
    else byImage.set(container.image_id, [container]);
  }
  const all = images.map((image) => {
    const own = byImage.get(image.id) ?? [];
    const up = own.filter((container) => container.state === "running");
    const rest = own.filter((container) => container.state !== "running");
    return { image, containers: [...up, ...rest].slice(0, containers_max), more: Math.max(0, own.length - containers_max) };
  });
  const newest = (family: Family) => family.containers[0]?.created_unix_ms ?? 0;
  all.sort((a, b) => newest(b) - newest(a) || b.image.created_unix_ms - a.image.created_unix_ms);
  return { shown: all.slice(0, images_max) as Family[], more: Math.max(0, all.length - images_max) };
}

/** What outlives the container. */
export function kept(container: Container): Mount[] {
  return container.mounts.filter((mount) => mount.kind === "bind" || (mount.kind === "volume" && !mount.anonymous));
}
