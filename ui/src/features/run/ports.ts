// `-p` and `-v` in all the ways in which they are written.

import type { MountRequest, PortRequest, Protocol } from "../../bindings/schema";

const PROTOCOLS: readonly string[] = ["tcp", "udp", "sctp"];
const MOST_PORTS = 1000;

function portNumber(text: string): number | undefined {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return number >= 1 && number <= 65535 ? number : undefined;
}

function range(text: string): number[] | undefined {
  const [from = "", to = from] = text.split("-", 2);
  const [first, last] = [portNumber(from), portNumber(to)];
  if (first === undefined || last === undefined || last < first || last - first >= MOST_PORTS) return undefined;
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

/** `[[ip:]host:]inside[/protocol]`, ranges included. Undefined when it is none. */
export function portsOf(text: string): PortRequest[] | undefined {
  const slash = text.lastIndexOf("/");
  const protocol = slash < 0 ? "tcp" : text.slice(slash + 1).toLowerCase();
  if (!PROTOCOLS.includes(protocol)) return undefined;
  const numbers = slash < 0 ? text : text.slice(0, slash);
  const found = /^(?:(?:(\[[^\]]+\]|[^:[\]]*):)?([\d-]*):)?([\d-]+)$/.exec(numbers);
  if (!found) return undefined;
  const [, ip, host, inside = ""] = found;
  const insides = range(inside);
  const hosts = host ? range(host) : undefined;
  if (!insides || (host && (!hosts || hosts.length !== insides.length))) return undefined;
  const host_ip = ip?.replace(/^\[|\]$/g, "") || null;
  return insides.map((container_port, at) => ({ container_port, protocol: protocol as Protocol, host_port: hosts?.[at] ?? null, host_ip }));
}

export function portText(port: PortRequest): string {
  const ip = port.host_ip ? `${port.host_ip.includes(":") ? `[${port.host_ip}]` : port.host_ip}:` : "";
  const host = port.host_port ? `${port.host_port}:` : ip ? ":" : "";
  return `${ip}${host}${port.container_port}${port.protocol === "tcp" ? "" : `/${port.protocol}`}`;
}

const isFolder = (source: string) => /^(\/|~|\.{1,2}(\/|\\|$)|[A-Za-z]:[\\/]|\\\\|\$)/.test(source);

/** `[source:]target[:options]`. Undefined when it is none. */
export function mountOf(text: string): MountRequest | undefined {
  const parts = text.split(":");
  // A drive letter has a colon of its own.
  if (parts.length > 2 && /^[A-Za-z]$/.test(parts[0] ?? "") && /^[\\/]/.test(parts[1] ?? "")) parts.splice(0, 2, `${parts[0]}:${parts[1]}`);
  if (parts.length > 3 || parts.some((part) => part === "")) return undefined;
  if (parts.length === 1) return parts[0]?.startsWith("/") ? { kind: "volume", source: "", target: parts[0], read_only: false } : undefined;
  const [source = "", target = "", options = ""] = parts;
  if (!target.startsWith("/")) return undefined;
  return { kind: isFolder(source) ? "bind" : "volume", source, target, read_only: options.split(",").includes("ro") };
}

/** `type=bind,source=…,target=…,readonly` */
export function longMountOf(text: string): MountRequest | undefined {
  const fields = new Map<string, string>();
  for (const part of text.split(",")) {
    const [key = "", ...value] = part.split("=");
    fields.set(key.trim().toLowerCase(), value.join("="));
  }
  const kind = fields.get("type") ?? "volume";
  const target = fields.get("target") ?? fields.get("destination") ?? fields.get("dst") ?? "";
  if ((kind !== "bind" && kind !== "volume" && kind !== "tmpfs") || !target.startsWith("/")) return undefined;
  const flag = fields.get("readonly") ?? fields.get("ro");
  const source = kind === "tmpfs" ? "" : (fields.get("source") ?? fields.get("src") ?? "");
  if (kind === "bind" && !source) return undefined;
  return { kind, source, target, read_only: flag !== undefined && !["0", "false"].includes(flag) };
}

/** The flag and its value that make this mount. */
export function mountWords(mount: MountRequest): string[] {
  if (mount.kind === "tmpfs") return mount.read_only ? ["--mount", `type=tmpfs,target=${mount.target},readonly`] : ["--tmpfs", mount.target];
  const plain = !mount.source.includes(":") && !mount.target.includes(":") && (mount.kind === "bind") === isFolder(mount.source || "x");
  if (!plain) return ["--mount", `type=${mount.kind === "bind" ? "bind" : "volume"}${mount.source ? `,source=${mount.source}` : ""},target=${mount.target}${mount.read_only ? ",readonly" : ""}`];
  if (!mount.source) return mount.read_only ? ["--mount", `type=volume,target=${mount.target},readonly`] : ["-v", mount.target];
  return ["-v", `${mount.source}:${mount.target}${mount.read_only ? ":ro" : ""}`];
}
