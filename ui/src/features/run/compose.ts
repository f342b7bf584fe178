// A Compose file's service as the words of a `docker run` line: one reading of flags serves both.

import type { Word } from "./words";

export interface Service {
  name: string;
  words: Word[];
  /** Keys that have no place in one container's form. */
  left: string[];
  /** Other services of the same file. */
  others: string[];
}

type Node = unknown;
const isMap = (node: Node): node is Record<string, Node> => typeof node === "object" && node !== null && !Array.isArray(node);
const text = (node: Node) => (node === null || node === undefined ? "" : String(node));
const listOf = (node: Node): Node[] => (Array.isArray(node) ? node : node === undefined || node === null ? [] : [node]);

/** `- A=b` and `A: b` alike. */
function pairsOf(node: Node): string[] {
  if (isMap(node)) return Object.entries(node).map(([name, value]) => `${name}=${text(value)}`);
  return listOf(node).map(text);
}

/** Undefined when the text is no Compose file with a service in it. */
export async function serviceOf(source: string): Promise<Service | undefined> {
  if (!/^\s*[\w"'.-]+\s*:/m.test(source)) return undefined;
  const { parse } = await import("yaml");
  let root: Node;
  try {
    // Anchors may not multiply: a few lines could otherwise become gigabytes.
    root = parse(source, { merge: true, maxAliasCount: 100 });
  } catch {
    return undefined;
  }
  const found = firstService(root);
  return found && fromService(found.name, found.service, found.others);
}

function firstService(root: Node) {
  if (!isMap(root)) return undefined;
  const named = Object.entries(isMap(root["services"]) ? root["services"] : root).filter((entry): entry is [string, Record<string, Node>] => isMap(entry[1]) && ("image" in entry[1] || "build" in entry[1]));
  const [first, ...rest] = named;
  if (first) return { name: first[0], service: first[1], others: rest.map(([name]) => name) };
  // The inside of a service, without its name.
  return "image" in root ? { name: "", service: root, others: [] } : undefined;
}

const ONE: Record<string, string> = { container_name: "--name", hostname: "--hostname", user: "--user", working_dir: "--workdir", restart: "--restart", network_mode: "--network", mem_limit: "--memory", cpus: "--cpus", pids_limit: "--pids-limit", shm_size: "--shm-size", pid: "--pid", ipc: "--ipc", stop_signal: "--stop-signal", platform: "--platform" };
const MANY: Record<string, string> = { cap_add: "--cap-add", cap_drop: "--cap-drop", devices: "--device", security_opt: "--security-opt", group_add: "--group-add", dns: "--dns", tmpfs: "--tmpfs" };
const PAIRS: Record<string, string> = { environment: "--env", labels: "--label", sysctls: "--sysctl" };
const SWITCH: Record<string, string> = { tty: "--tty", stdin_open: "--interactive", privileged: "--privileged", read_only: "--read-only", init: "--init" };
const KNOWN = ["image", "command", "entrypoint", "ports", "volumes", "extra_hosts", "ulimits", "healthcheck", "stop_grace_period", "deploy", "expose", "container_name"];

function fromService(name: string, service: Record<string, Node>, others: string[]): Service {
  const flags: string[] = [];
  const add = (flag: string, value: Node) => flags.push(flag, text(value));
  if (!("container_name" in service) && name) add("--name", name);
  for (const [key, value] of Object.entries(service)) {
    if (ONE[key]) add(ONE[key], value);
    else if (MANY[key]) listOf(value).forEach((entry) => add(MANY[key] as string, entry));
    else if (PAIRS[key]) pairsOf(value).forEach((entry) => add(PAIRS[key] as string, entry));
    else if (SWITCH[key] && value === true) flags.push(SWITCH[key]);
  }
  listOf(service["ports"]).forEach((port) => add("--publish", isMap(port) ? longPort(port) : port));
  listOf(service["volumes"]).forEach((volume) => (isMap(volume) ? add("--mount", longVolume(volume)) : add("--volume", volume)));
  pairsOf(service["extra_hosts"]).forEach((host) => add("--add-host", host.replace("=", ":")));
  if (isMap(service["ulimits"])) {
    for (const [limit, value] of Object.entries(service["ulimits"])) add("--ulimit", `${limit}=${isMap(value) ? `${text(value["soft"])}:${text(value["hard"])}` : text(value)}`);
  }
  const grace = /^(\d+)s$/.exec(text(service["stop_grace_period"]));
  if (grace) add("--stop-timeout", grace[1]);
  deploy(service["deploy"], add);
  health(service["healthcheck"], flags);
  const entry = service["entrypoint"];
  const entryWords = entry === undefined ? [] : Array.isArray(entry) ? entry.map(text) : shellWords(text(entry));
  if (entry !== undefined) add("--entrypoint", entryWords[0] ?? "");
  const command = service["command"];
  const commandWords = Array.isArray(command) ? command.map(text) : shellWords(text(command));
  const words = [...flags, ...(service["image"] ? [text(service["image"])] : []), ...entryWords.slice(1), ...commandWords];
  const known = [...Object.keys(ONE), ...Object.keys(MANY), ...Object.keys(PAIRS), ...Object.keys(SWITCH), ...KNOWN];
  return { name, words: words.map((word) => ({ text: word.replaceAll("$$", "$"), filled: /(^|[^$])\$[\w{]/.test(word) })), left: Object.keys(service).filter((key) => !known.includes(key)), others };
}

function longPort(port: Record<string, Node>): string {
  const ip = port["host_ip"] ? `${text(port["host_ip"])}:` : "";
  const published = port["published"] ? `${text(port["published"])}:` : ip ? ":" : "";
  return `${ip}${published}${text(port["target"])}${port["protocol"] ? `/${text(port["protocol"])}` : ""}`;
}

function longVolume(volume: Record<string, Node>): string {
  const source = volume["source"] ? `,source=${text(volume["source"])}` : "";
  return `type=${text(volume["type"] ?? "volume")}${source},target=${text(volume["target"])}${volume["read_only"] === true ? ",readonly" : ""}`;
}

function deploy(node: Node, add: (flag: string, value: Node) => void): void {
  const resources = isMap(node) ? node["resources"] : undefined;
  const limits = isMap(resources) ? resources["limits"] : undefined;
  if (!isMap(limits)) return;
  if (limits["memory"] !== undefined) add("--memory", limits["memory"]);
  if (limits["cpus"] !== undefined) add("--cpus", limits["cpus"]);
  if (limits["pids"] !== undefined) add("--pids-limit", limits["pids"]);
}

function health(node: Node, flags: string[]): void {
  if (!isMap(node)) return;
  const test = node["test"];
  const [kind, ...rest] = Array.isArray(test) ? test.map(text) : ["CMD-SHELL", text(test)];
  if (node["disable"] === true || kind === "NONE") flags.push("--no-healthcheck");
  else if (test !== undefined) flags.push("--health-cmd", rest.join(" "));
}

/** Compose splits a string as a shell would, without filling anything in. */
function shellWords(line: string): string[] {
  const words = line.match(/(?:[^\s"']+|"(?:[^"\\]|\\.)*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'/g, (_, double?: string, single?: string) => (double !== undefined ? double.replace(/\\(.)/g, "$1") : (single ?? ""))));
}
