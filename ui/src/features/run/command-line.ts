// The `docker run` line that does the same as the form.

import { mountWords, portText } from "./ports";
import { emptyRun, sizeText, type Run } from "./spec";
import { quoted } from "./words";

export function dockerRun(run: Run): string {
  return ["docker", "run", "-d", ...flagWords(run), run.image, ...tail(run)].map(quoted).join(" ");
}

/** The same on several lines, a flag each, for reading. */
export function dockerRunLines(run: Run): string {
  const words = flagWords(run);
  const lines: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const next = words[at + 1];
    const takes = next !== undefined && !next.startsWith("-") && !(words[at] ?? "").includes("=");
    lines.push(takes ? `${words[at]} ${quoted(next)}` : quoted(words[at] ?? ""));
    if (takes) at++;
  }
  if (lines.length < 3) return dockerRun(run);
  return ["docker run -d", ...lines, [run.image, ...tail(run)].map(quoted).join(" ")].join(" \\\n  ");
}

/** Of an entry point of several words, only the first is a flag's value. */
function tail(run: Run): string[] {
  return [...(run.entrypoint?.slice(1) ?? []), ...run.command];
}

/** A value that looks like a flag must be joined to its own. */
const pair = (flag: string, value: string) => (value.startsWith("-") || value === "" ? [`${flag.length === 2 ? LONG[flag] : flag}=${value}`] : [flag, value]);
const LONG: Record<string, string> = { "-e": "--env", "-p": "--publish", "-v": "--volume", "-m": "--memory", "-h": "--hostname", "-u": "--user", "-w": "--workdir", "-l": "--label" };

export function flagWords(run: Run): string[] {
  const words: string[] = [];
  const one = (flag: string, value: string | number | null) => value !== null && words.push(...pair(flag, String(value)));
  const all = (flag: string, values: readonly string[]) => values.forEach((value) => one(flag, value));
  const on = (flag: string, is: boolean) => is && words.push(flag);
  const pairs = (flag: string, list: readonly { name: string; value: string }[]) => all(flag, list.map(({ name, value }) => `${name}=${value}`));
  one("--name", run.name);
  on("--rm", run.auto_remove);
  on("-i", run.interactive);
  on("-t", run.tty);
  on("--init", run.init);
  all("-p", run.ports.map(portText));
  on("-P", run.publish_all);
  pairs("-e", run.env);
  for (const mount of run.mounts) words.push(...mountWords(mount));
  one("--memory", run.memory_bytes === null ? null : sizeText(run.memory_bytes));
  one("--cpus", run.cpus);
  one("--pids-limit", run.pids_limit);
  one("--shm-size", run.shm_bytes === null ? null : sizeText(run.shm_bytes));
  one("--restart", run.restart === null ? null : run.restart + (run.restart_retries ? `:${run.restart_retries}` : ""));
  one("--network", run.network);
  all("--network-alias", run.network_aliases);
  one("--hostname", run.hostname);
  one("--user", run.user);
  one("--workdir", run.workdir);
  pairs("--label", run.labels);
  on("--read-only", run.read_only);
  on("--privileged", run.privileged);
  all("--cap-add", run.cap_add);
  all("--cap-drop", run.cap_drop);
  all("--device", run.devices);
  all("--security-opt", run.security_opt);
  all("--group-add", run.group_add);
  all("--dns", run.dns);
  all("--add-host", run.extra_hosts);
  one("--pid", run.pid_mode);
  one("--ipc", run.ipc_mode);
  pairs("--sysctl", run.sysctls);
  all("--ulimit", run.ulimits);
  one("--stop-signal", run.stop_signal);
  one("--stop-timeout", run.stop_timeout_s);
  one("--platform", run.platform);
  if (run.health_command === "NONE") words.push("--no-healthcheck");
  else one("--health-cmd", run.health_command);
  if (run.entrypoint) one("--entrypoint", run.entrypoint[0] ?? "");
  return words;
}

/** What the form has no field for, as flags. */
export function otherFlags(run: Run): string {
  const fields = { ...run, name: null, ports: [], env: [], mounts: [], memory_bytes: null, cpus: null, restart: null, restart_retries: null, command: [], image: "" };
  return flagWords({ ...emptyRun(), ...fields }).map(quoted).join(" ");
}
