// All doors of this computer that lead into a container.

import type { Container, Port } from "../../bindings/schema";

export interface Door {
  key: string;
  port: Port;
  container: Container;
}

/** Published ports by number, each once (v4 and v6 listeners share one). */
export function openDoors(containers: readonly Container[]): Door[] {
  const byKey = new Map<string, Door>();
  for (const container of containers) {
    for (const port of container.ports) {
      if (port.host_port === null) continue;
      const key = `${port.host_port}/${port.protocol} ${container.id}`;
      if (!byKey.has(key)) byKey.set(key, { key, port, container });
    }
  }
  return [...byKey.values()].sort((a, b) => (a.port.host_port ?? 0) - (b.port.host_port ?? 0));
}
