// What widely used images need or keep, for those that are not here yet and so cannot be asked.

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

/** Of official images only: others may be anything. */
export function hintOf(image: string): Hint | undefined {
  const name = image.replace(/^(docker\.io\/)?(library\/)?/, "").replace(/@.*$/, "").replace(/:[^/]*$/, "");
  return HINTS[name];
}
