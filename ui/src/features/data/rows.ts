// Volumes and shared folders as rows: who mounts them, and where.

import type { Container, Volume } from "../../bindings/schema";

export interface User {
  container: Container;
  target: string;
  readOnly: boolean;
}

export function usersOf(volume: string, containers: readonly Container[]): User[] {
  return containers.flatMap((container) => container.mounts.filter((mount) => mount.kind === "volume" && mount.source === volume).map((mount) => ({ container, target: mount.target, readOnly: mount.read_only })));
}

/** Folders of this computer that containers see, by path. */
export function folders(containers: readonly Container[]): { path: string; users: User[] }[] {
  const found = new Map<string, User[]>();
  for (const container of containers) {
    for (const mount of container.mounts) {
      if (mount.kind !== "bind") continue;
      const users = found.get(mount.source) ?? [];
      users.push({ container, target: mount.target, readOnly: mount.read_only });
      found.set(mount.source, users);
    }
  }
  return [...found].map(([path, users]) => ({ path, users })).sort((a, b) => a.path.localeCompare(b.path));
}

/** A random name says nothing beyond its beginning. */
export function shortName(volume: Volume): string {
  return volume.anonymous && volume.name.length === 64 ? volume.name.slice(0, 12) : volume.name;
}
