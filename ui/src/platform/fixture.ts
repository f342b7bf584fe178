// Made-up data for screenshots and for work on looks: `vite --mode fixture`. Never part of a production build.
//
// The address chooses the scene: ?scene=first | boot | failed | off | many | (default: a lived-in app).

import type { ClientMessage, Command, Container, HostMessage, Image, MachineState, Network, Reply, Stage, StageName, StreamItem, Volume } from "../bindings/schema";
import { pickInBrowser, type Listener, type Platform } from "./platform";

const STAGES: StageName[] = ["prepare", "power", "init", "disk", "engine", "ready"];
const TOOK = [120, 90, 740, 210, 160, 30];
const NOW = Date.now();
const id = (seed: number) => seed.toString(16).padStart(4, "0").repeat(16);

function stages(done: number, failed = false): Stage[] {
  return STAGES.map((stage, at) => ({
    stage,
    status: at < done ? "done" : at === done ? (failed ? "failed" : "running") : "waiting",
    started_ms: at <= done ? TOOK.slice(0, at).reduce((a, b) => a + b, 0) : null,
    took_ms: at < done ? (TOOK[at] ?? null) : null,
  }));
}

const machine = (over: Partial<MachineState> = {}): MachineState => ({
  phase: "running", stages: stages(6), problem: null, accelerator: "kvm", running_since_unix_ms: NOW - 754_000, start_took_ms: 1350,
  guest_version: "0.1.0", kernel: "6.12.48", docker_host: "unix:///home/ada/.local/share/cubby/docker.sock",
  console_log: "/home/ada/.local/state/cubby/console.log", data_disk: "/home/ada/.local/share/cubby/data.img", ...over,
});

const container = (seed: number, over: Partial<Container>): Container => ({
  id: id(seed), name: "hello", image: "cubby/hello:1", image_id: `sha256:${id(1000)}`, state: "running", health: null,
  created_unix_ms: NOW - seed * 61_000, started_unix_ms: NOW - seed * 60_000, finished_unix_ms: null, exit_code: null, stop_reason: null,
  ports: [], mounts: [], command: ["/hello", "--port", "80"], tty: false, restart_policy: "no", compose_project: null, compose_service: null, binned: null, ...over,
});

const port = (host: number, inside: number) => [
  { container_port: inside, protocol: "tcp" as const, host_ip: "127.0.0.1", host_port: host, url: `http://localhost:${host}/` },
];

const image = (seed: number, tag: string, size: number, used: number[], exposed: number[] = []): Image => ({
  id: `sha256:${id(seed)}`, tags: tag ? [tag] : [], size_bytes: size, shared_bytes: size > 50_000_000 ? 48_000_000 : 0, created_unix_ms: NOW - seed * 3_600_000, used_by: used.map(id), exposed, volumes: [], architecture: "amd64", binned: null,
});

function livedIn(): Container[] {
  const shop = { compose_project: "shop" };
  return [
    container(1, { name: "hello", ports: port(8080, 80) }),
    container(2, { name: "hello-2", ports: port(49153, 80), state: "paused" }),
    container(3, { ...shop, name: "shop-db-1", compose_service: "db", image: "postgres:17", image_id: `sha256:${id(1001)}`, health: "healthy", command: ["postgres"], mounts: [{ kind: "volume", source: "shop_data", target: "/var/lib/postgresql/data", read_only: false, anonymous: false }], ports: [{ container_port: 5432, protocol: "tcp", host_ip: null, host_port: null, url: null }] }),
    container(4, { ...shop, name: "shop-web-1", compose_service: "web", image: "shop-web", image_id: `sha256:${id(1002)}`, ports: port(3000, 3000), mounts: [{ kind: "bind", source: "/home/ada/shop", target: "/app", read_only: true, anonymous: false }] }),
    container(5, { name: "notes", image: "notes:latest", image_id: `sha256:${id(1003)}`, state: "exited", exit_code: 1, stop_reason: { type: "failed", exit_code: 1 }, finished_unix_ms: NOW - 297_000 }),
    container(6, { name: "import-job", image: "postgres:17", image_id: `sha256:${id(1001)}`, state: "exited", exit_code: 0, stop_reason: { type: "finished" }, finished_unix_ms: NOW - 320_000 }),
    container(7, { name: "greedy", image: "notes:latest", image_id: `sha256:${id(1003)}`, state: "exited", exit_code: 137, stop_reason: { type: "out_of_memory" }, finished_unix_ms: NOW - 400_000 }),
  ];
}

const IMAGES = [image(1000, "cubby/hello:1", 1_460_000, [1, 2], [80]), image(1001, "postgres:17", 438_000_000, [3, 6], [5432]), image(1002, "shop-web", 187_000_000, [4], [3000]), image(1003, "notes:latest", 92_000_000, [5, 7]), image(1004, "", 12_000_000, [])];

const VOLUMES: Volume[] = ["shop_data", "notes_data", id(77)].map((name, at) => ({ name, driver: "local", created_unix_ms: NOW - at * 86_400_000, anonymous: name.length === 64, compose_project: name.startsWith("shop") ? "shop" : null, labels: [], binned: null }));

const member = (seed: number, name: string, address: string) => ({ id: id(seed), name, address });
const network = (name: string, subnet: string, members: Network["members"], over: Partial<Network> = {}): Network => ({ id: name.repeat(6), name, driver: "bridge", internal: false, ipv6: false, subnets: [subnet], gateways: [], created_unix_ms: NOW, compose_project: null, builtin: false, members, ...over });
const NETWORKS = [
  network("shop_front", "172.20.0.0/16", [member(4, "shop-web-1", "172.20.0.2/16"), member(1, "hello", "172.20.0.3/16")], { compose_project: "shop" }),
  network("shop_back", "172.21.0.0/16", [member(3, "shop-db-1", "172.21.0.2/16"), member(4, "shop-web-1", "172.21.0.3/16")], { compose_project: "shop", internal: true }),
  network("bridge", "172.17.0.0/16", [member(2, "hello-2", "172.17.0.2/16")], { builtin: true }),
];

export class FixturePlatform implements Platform {
  readonly opensLinks = true;
  private listener: Listener | undefined;
  private containers: Container[] = [];
  private images: Image[] = [];
  private machine = machine();
  private timers = new Map<number, ReturnType<typeof setInterval>>();
  private revision = 1;

  connect(listener: Listener): void {
    this.listener = listener;
    this.scene(new URL(location.href).searchParams.get("scene") ?? "");
    setTimeout(() => listener.opened());
  }

  painted(): void {}

  readonly desktop = undefined;
  readonly notifications = undefined;
  readonly pickFile = pickInBrowser;

  pickTarget(): Promise<null> {
    return Promise.resolve(null);
  }

  send(message: ClientMessage): void {
    setTimeout(() => this.take(message), 5);
  }

  private scene(name: string): void {
    if (name !== "first" && name !== "boot") {
      this.containers = name === "many" ? Array.from({ length: Number(new URL(location.href).searchParams.get("containers") ?? 10_000) }, (_, at) => container(at + 1, { name: `worker-${at}`, state: at % 3 ? "running" : "exited", ports: at % 4 ? [] : port(20_000 + at, 80) })) : livedIn();
      this.images = IMAGES;
    }
    if (name === "boot") this.machine = machine({ phase: "starting", stages: stages(3) });
    if (name === "off") this.machine = machine({ phase: "off", stages: [] });
    if (name === "failed") {
      const problem = { title: "QEMU is not installed", detail: "Looked for qemu-system-x86_64 on the PATH and found none.", remedy: "install_hypervisor" as const };
      this.machine = machine({ phase: "failed", stages: stages(0, true), problem });
    }
    if (name === "off" || name === "failed") this.containers = this.images = [];
    if (name === "many") setInterval(() => this.flap(), 100);
  }

  private flap(): void {
    const at = Math.floor(Math.random() * this.containers.length);
    const row = this.containers[at];
    if (row) this.change({ ...row, state: row.state === "running" ? "exited" : "running" });
  }

  private change(next: Container): void {
    this.containers = this.containers.some((row) => row.id === next.id) ? this.containers.map((row) => (row.id === next.id ? next : row)) : [next, ...this.containers];
    this.push({ type: "changes", changes: [{ revision: ++this.revision, event: { type: "container", container: next } }] });
  }

  private push(message: HostMessage): void {
    this.listener?.message(message);
  }

  private item(stream: number, item: StreamItem): void {
    this.push({ type: "stream", stream, item, weight: 1 });
  }

  private take(message: ClientMessage): void {
    switch (message.type) {
      case "watch":
        if (message.on) this.push({ type: "snapshot", snapshot: { revision: 1, machine: this.machine, containers: this.containers, images: this.images, volumes: this.containers.length > 0 ? VOLUMES : [], networks: this.containers.length > 0 ? NETWORKS : [], jobs: [], engines: { others: [], chosen: null }, app_version: "0.1.0" } });
        break;
      case "call":
        setTimeout(() => this.answer(message.id, message.command), 150);
        break;
      case "open_figures":
        this.item(message.stream, { type: "figures", figures: { cpus: 2, memory_total_bytes: 2.1e9, memory_used_bytes: 3.4e8, memory_reclaimable_bytes: 6e7, memory_free_bytes: 1.7e9, engine_resident_bytes: 1.2e7, disk_total_bytes: 6.4e10, disk_used_bytes: 1.7e9, host_memory_bytes: 4.1e8, host_disk_bytes: 1.8e9 } });
        break;
      case "open_stats":
        this.timers.set(message.stream, setInterval(() => this.stats(message.stream), 1000));
        break;
      case "open_logs":
        this.logs(message.stream);
        break;
      case "open_terminal":
        this.listener?.bytes(message.stream, new TextEncoder().encode("\x1b[32m/ #\x1b[0m "));
        break;
      case "input":
        if (message.input.type === "text") this.listener?.bytes(message.stream, new TextEncoder().encode(message.input.text.replace("\r", "\r\n\x1b[32m/ #\x1b[0m ")));
        break;
      case "close":
        clearInterval(this.timers.get(message.stream));
        break;
      case "ack":
        break;
    }
  }

  private stats(stream: number): void {
    const wave = Math.random();
    this.item(stream, { type: "stats", sample: { at_unix_ms: Date.now(), cpu_percent: 100 * wave * wave, cpus: 2, memory_bytes: 1e8 + 5e7 * wave, memory_limit_bytes: 2e9, received_bytes_per_s: Math.round(9e5 * wave), sent_bytes_per_s: Math.round(2e5 * wave), read_bytes_per_s: 0, written_bytes_per_s: Math.round(3e5 * wave), processes: 4 } });
  }

  private logs(stream: number): void {
    const total = Number(new URL(location.href).searchParams.get("lines") ?? 400);
    let number = 0;
    const line = () => {
      const at = number++;
      const error = at % 37 === 36;
      const text = error ? `\x1b[31mWARN\x1b[0m slow answer for /api/items/${at}: 412 ms, the upstream was busy and a second connection had to be opened before anything came back` : `\x1b[2m${at}\x1b[0m GET /api/items/${at} \x1b[32m200\x1b[0m ${at % 23} ms`;
      return { source: error ? ("err" as const) : ("out" as const), at_unix_ms: NOW - 100_000 + at * 10, text, partial: false };
    };
    for (let sent = 0; sent < total; sent += 2000) this.item(stream, { type: "logs", chunk: { lines: Array.from({ length: Math.min(2000, total - sent) }, line) } });
    this.timers.set(stream, setInterval(() => this.item(stream, { type: "logs", chunk: { lines: [line()] } }), 700));
  }

  private answer(call: number, command: Command): void {
    const row = "id" in command ? this.containers.find((known) => known.id === command.id) : undefined;
    let reply: Reply = { type: "done" };
    if (command.type === "demo_run" || command.type === "container_run") {
      const made = container(Math.floor(Math.random() * 9000) + 20, { name: command.type === "demo_run" ? "hello" : (command.run.name ?? "brave_otter"), ports: port(8080, 80), created_unix_ms: Date.now() });
      this.images = IMAGES;
      this.push({ type: "changes", changes: [{ revision: ++this.revision, event: { type: "images", images: IMAGES } }] });
      this.change(made);
      reply = { type: "container", container: { id: made.id, name: made.name } };
    } else if (row && command.type === "container_stop") this.change({ ...row, state: "exited", stop_reason: { type: "stopped" }, exit_code: 143, finished_unix_ms: Date.now() });
    else if (row && command.type === "container_start") this.change({ ...row, state: "running", stop_reason: null });
    else if (row && command.type === "container_removal") reply = { type: "removal", removal: { id: row.id, name: row.name, running: row.state === "running", written_bytes: 48_200, volumes_gone: [], volumes_kept: row.mounts.map((mount) => mount.source), folders_kept: [], image: row.image } };
    else if (row && command.type === "container_remove") {
      this.containers = this.containers.filter((known) => known !== row);
      this.push({ type: "changes", changes: [{ revision: ++this.revision, event: { type: "container_removed", id: row.id } }] });
    } else if (command.type === "context_status") reply = { type: "context", context: { cli_found: true, exists: false, current: false } };
    else if (command.type === "context_create") reply = { type: "context", context: { cli_found: true, exists: true, current: false } };
    else if (command.type === "container_inspect" || command.type === "console_log_tail") reply = { type: "text", text: "[    0.000000] Linux version 6.12.48\n[    0.412000] cubbyd: hello" };
    else if (command.type === "image_remove") {
      this.push({ type: "error", id: call, error: { code: "image_in_use", title: "The image could not be removed", detail: "conflict: unable to delete, image is being used by running container", remedy: null } });
      return;
    }
    else if (command.type === "registry") reply = { type: "logins", logins: [{ registry: "ghcr.io", user: "ada", store: { type: "helper", name: "secretservice" } }] };
    else if (command.type === "reach") reply = { type: "reach", reach: { http_proxy: "", https_proxy: "http://proxy.example:3128", no_proxy: "localhost, .corp.example", mirrors: [], insecure: ["registry.local:5000"] }, trusted: ["registry.corp.example"] };
    else if (command.type === "upkeep" && command.command.type === "versions") reply = { type: "upkeep", reply: { type: "versions", versions: { app: "0.1.0", daemon: "0.1.0", installed: { version: "0.1.0", id: "3f1c0a9be2d4" }, good: { version: "0.1.0", id: "3f1c0a9be2d4" }, on_trial: false, taken_back: null, taken_back_why: "", data_format: 1, changelog: "# Changelog\n\n- First light" } } };
    else if (command.type === "volume" && command.command.type === "sizes") reply = { type: "volume", reply: { type: "sizes", sizes: VOLUMES.map((volume, at) => ({ name: volume.name, bytes: 10 ** (6 + at) })) } };
    else if (command.type === "image" && command.command.type === "layers") reply = { type: "image", reply: { type: "layers", layers: ["ADD rootfs.tar /", "RUN apt-get update && apt-get install -y nginx", "CMD [\"nginx\"]"].map((made, at) => ({ id: null, command: made, size_bytes: at === 2 ? 0 : 48_000_000 / (at + 1), created_unix_ms: NOW, comment: "", files: [], files_total: 0 })) } };
    else if (command.type === "upkeep" && command.command.type === "settings") reply = { type: "upkeep", reply: { type: "settings", settings: { limits: { cpus: null, memory_mib: null, disk_gib: null }, usual: { cpus: 4, memory_mib: 4096, disk_gib: 64 }, host_cpus: 8, host_memory_mib: 16_384, shared_folders: ["/home/ada"], autostart: true } } };
    else if (command.type === "upkeep" && command.command.type === "usage") {
      const item = (kind: "image" | "container" | "volume" | "build_cache", name: string, bytes: number) => ({ kind, id: name, name, bytes });
      const memory = [item("container", "shop-db-1", 9e7), item("container", "shop-web-1", 6e7), item("container", "hello", 4e6)];
      const disk = [item("image", "postgres:17", 4.1e8), item("image", "shop-web", 1.6e8), item("volume", "shop_data", 3.2e8), item("container", "notes", 8e7), item("build_cache", "cache", 1.9e8)];
      reply = { type: "upkeep", reply: { type: "usage", usage: { memory, disk } } };
    } else if (command.type === "upkeep" && command.command.type === "examine") reply = { type: "upkeep", reply: { type: "checks", checks: [{ what: "guest image", verdict: "ok", found: "verified, 14 MB", remedy: null }, { what: "hypervisor", verdict: "warn", found: "no /dev/kvm: emulated", remedy: "switch virtualisation on in the firmware" }] } };
    this.push({ type: "reply", id: call, reply });
  }
}
