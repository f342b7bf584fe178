// What widely used images need or keep, for those that are not here yet and so cannot be asked.

import type { Image } from "../../bindings/schema";

export interface Hint {
  /** Settings without which it ends at once. */
  env: readonly string[];
  /** Where its data is. */
  data: string | null;
  ports: readonly number[];
}

const HINTS: Record<string, Hint> = {
  postgres: { env: ["POSTGRES_PASSWORD"], data: "/var/lib/postgresql/data", ports: [5432] },
  mysql: { env: ["MYSQL_ROOT_PASSWORD"], data: "/var/lib/mysql", ports: [3306] },
  mariadb: { env: ["MARIADB_ROOT_PASSWORD"], data: "/var/lib/mysql", ports: [3306] },
  mongo: { env: [], data: "/data/db", ports: [27017] },
  redis: { env: [], data: "/data", ports: [6379] },
  nginx: { env: [], data: null, ports: [80] },
  httpd: { env: [], data: null, ports: [80] },
  wordpress: { env: [], data: "/var/www/html", ports: [80] },
  rabbitmq: { env: [], data: "/var/lib/rabbitmq", ports: [5672] },
  registry: { env: [], data: "/var/lib/registry", ports: [5000] },
};

/** Since 18 the data's folder has the version in its name, and what is mounted below the old place keeps it from starting. */
const POSTGRES_MOVED = 18;

/** Of official images only: others may be anything. */
export function hintOf(image: string): Hint | undefined {
  const [name, tag] = image.replace(/^(docker\.io\/)?(library\/)?/, "").replace(/@.*$/, "").split(/:(?=[^/]*$)/);
  const hint = HINTS[name ?? ""];
  const moved = name === "postgres" && !(Number.parseInt(tag ?? "", 10) < POSTGRES_MOVED);
  return hint && moved ? { ...hint, data: "/var/lib/postgresql" } : hint;
}

/** Where it keeps data: what the image itself says first, and known names only where it says nothing or is not here yet. */
export function keepsDataAt(here: Pick<Image, "volumes"> | undefined, image: string): readonly string[] {
  if (here && here.volumes.length > 0) return here.volumes;
  const known = hintOf(image)?.data;
  return known ? [known] : [];
}
