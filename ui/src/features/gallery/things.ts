// Things to try: each runs as it is, open to this computer only, and keeps its data in a volume.

import { emptyRun, type Run } from "../../shared/run";
import type { IconName } from "../../shared/ui/Icon.svelte";

export type ThingName = "web" | "postgres" | "redis" | "adminer" | "rabbitmq" | "mariadb";

interface Thing {
  name: ThingName;
  image: string;
  icon: IconName;
  /** Inside. */
  port: number;
  /** People expect those of databases on this computer under the same number. */
  known: boolean;
  data: string | null;
  /** A setting that gets a password of its own. */
  password: string | null;
}

export const THINGS: readonly Thing[] = [
  { name: "web", image: "nginx:alpine", icon: "door", port: 80, known: false, data: null, password: null },
  { name: "postgres", image: "postgres:17-alpine", icon: "data", port: 5432, known: true, data: "/var/lib/postgresql/data", password: "POSTGRES_PASSWORD" },
  { name: "mariadb", image: "mariadb:11", icon: "data", port: 3306, known: true, data: "/var/lib/mysql", password: "MARIADB_ROOT_PASSWORD" },
  { name: "redis", image: "redis:8-alpine", icon: "images", port: 6379, known: true, data: "/data", password: null },
  { name: "adminer", image: "adminer:latest", icon: "search", port: 8080, known: false, data: null, password: null },
  { name: "rabbitmq", image: "rabbitmq:4-management-alpine", icon: "logs", port: 15672, known: false, data: "/var/lib/rabbitmq", password: null },
];

/** `taken`: names of containers. `free`: any port of this computer will do. */
export function runOf(thing: Thing, taken: ReadonlySet<string>, secret: () => string, free: boolean): Run {
  let name: string = thing.name;
  for (let number = 2; taken.has(name); number++) name = `${thing.name}-${number}`;
  return {
    ...emptyRun(thing.image),
    name,
    ports: [{ container_port: thing.port, protocol: "tcp", host_port: thing.known && !free ? thing.port : null, host_ip: "127.0.0.1" }],
    env: thing.password ? [{ name: thing.password, value: secret() }] : [],
    mounts: thing.data ? [{ kind: "volume", source: `${name}-data`, target: thing.data, read_only: false }] : [],
  };
}
