// The `docker run` line that does the same as the form.

import type { RunContainer } from "../../bindings/schema";

export function dockerRun(run: RunContainer): string {
  const words = ["docker", "run", "-d"];
  if (run.name) words.push("--name", run.name);
  for (const port of run.ports) {
    const udp = port.protocol === "tcp" ? "" : `/${port.protocol}`;
    words.push("-p", `${port.host_port ? `${port.host_port}:` : ""}${port.container_port}${udp}`);
  }
  for (const { name, value } of run.env) words.push("-e", `${name}=${value}`);
  words.push(run.image, ...run.command);
  return words.map(quoted).join(" ");
}

/** For a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
