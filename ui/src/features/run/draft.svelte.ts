// What stands in the form: text as it was typed, kept until it was run or thrown away, whatever happens to the engine or the page.

import type { MountKind, Protocol } from "../../bindings/schema";
import { flagWords, otherFlags } from "./command-line";
import { parseWords, type Parsed } from "./parse";
import { emptyRun, sizeBytes, sizeText, type Run } from "./spec";
import { commands, quoted } from "./words";

export interface PortRow { key: number; host: string; inside: string; protocol: Protocol; ip: string | null }
export interface EnvRow { key: number; name: string; value: string }
export interface MountRow { key: number; kind: MountKind; source: string; target: string; readOnly: boolean }

export interface Draft {
  image: string;
  name: string;
  ports: PortRow[];
  env: EnvRow[];
  mounts: MountRow[];
  memory: string;
  cpus: string;
  restart: string;
  retries: number | null;
  command: string;
  more: string;
}

const KEPT_AS = "cubby.run-draft";
let lastKey = 0;
export const nextKey = () => ++lastKey;

export function emptyDraft(image = ""): Draft {
  return { image, name: "", ports: [], env: [], mounts: [], memory: "", cpus: "", restart: "no", retries: null, command: "", more: "" };
}

export function draftOf(run: Run): Draft {
  return {
    image: run.image,
    name: run.name ?? "",
    ports: run.ports.map((port) => ({ key: nextKey(), host: port.host_port ? String(port.host_port) : "", inside: String(port.container_port), protocol: port.protocol, ip: port.host_ip ?? null })),
    env: run.env.map(({ name, value }) => ({ key: nextKey(), name, value })),
    mounts: run.mounts.map((mount) => ({ key: nextKey(), kind: mount.kind, source: mount.source, target: mount.target, readOnly: mount.read_only })),
    memory: run.memory_bytes === null ? "" : sizeText(run.memory_bytes),
    cpus: run.cpus === null ? "" : String(run.cpus),
    restart: run.restart ?? "no",
    retries: run.restart_retries,
    command: [...(run.entrypoint?.slice(1) ?? []), ...run.command].map(quoted).join(" "),
    more: otherFlags(run),
  };
}

export interface Read {
  run: Run;
  /** The whole line again, each part explained. */
  parsed: Parsed;
  wrong: { name: boolean; memory: boolean; cpus: boolean };
  /** Of the flags that were typed. */
  problems: Parsed["pieces"];
}

export function read(draft: Draft): Read {
  const typed = parseWords([...(commands(draft.more)[0]?.words ?? []), { text: "x", filled: false }]);
  const memory = draft.memory.trim() ? sizeBytes(draft.memory) : null;
  const cpus = draft.cpus.trim() ? Number(draft.cpus.trim().replace(",", ".")) : null;
  const extra = typed.run;
  const run: Run = {
    ...emptyRun(),
    ...extra,
    image: draft.image.trim(),
    name: draft.name.trim() || extra.name,
    ports: [...draft.ports.filter((row) => Number(row.inside) > 0).map((row) => ({ container_port: Number(row.inside), protocol: row.protocol, host_port: Number(row.host) || null, host_ip: row.ip })), ...extra.ports],
    env: [...draft.env.filter((row) => row.name.trim()).map((row) => ({ name: row.name.trim(), value: row.value })), ...extra.env],
    mounts: [...draft.mounts.filter((row) => row.target.startsWith("/") && (row.kind !== "bind" || row.source)).map((row) => ({ kind: row.kind, source: row.kind === "tmpfs" ? "" : row.source.trim(), target: row.target.trim(), read_only: row.readOnly })), ...extra.mounts],
    memory_bytes: memory ?? extra.memory_bytes,
    cpus: cpus !== null && cpus > 0 ? cpus : extra.cpus,
    restart: draft.restart === "no" ? extra.restart : draft.restart,
    restart_retries: draft.restart === "on-failure" ? draft.retries : extra.restart_retries,
    command: commands(draft.command)[0]?.words.map((word) => word.text) ?? [],
  };
  const parsed = parseWords([...flagWords(run), ...(run.image ? [run.image, ...run.command] : [])].map((text) => ({ text, filled: false })));
  const wrong = {
    name: draft.name.trim() !== "" && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(draft.name.trim()),
    memory: memory === undefined,
    cpus: cpus !== null && !(cpus > 0),
  };
  return { run, parsed, wrong, problems: typed.pieces.filter((piece) => piece.problem) };
}

class Form {
  draft = $state<Draft>(restored());

  /** Somebody chose an image elsewhere: another one than in the draft begins anew. */
  begin(image: string): void {
    if (image && this.draft.image !== image) this.draft = emptyDraft(image);
  }

  take(run: Run): void {
    this.draft = draftOf(run);
  }

  clear(): void {
    this.draft = emptyDraft();
    keep(this.draft);
  }
}

// Why the session only: settings are often passwords, which have no place on a disk.
function restored(): Draft {
  try {
    const kept = sessionStorage.getItem(KEPT_AS);
    if (!kept) return emptyDraft();
    const draft = { ...emptyDraft(), ...(JSON.parse(kept) as Draft) };
    for (const row of [...draft.ports, ...draft.env, ...draft.mounts]) row.key = nextKey();
    return draft;
  } catch {
    return emptyDraft();
  }
}

export function keep(draft: Draft): void {
  try {
    sessionStorage.setItem(KEPT_AS, JSON.stringify(draft));
  } catch {
    // A page that may not store anything keeps it in memory.
  }
}

export const form = new Form();
