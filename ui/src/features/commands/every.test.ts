// Every command of the declared schema: either it has a line for a shell, or a reason why there is none.

import { describe, expect, it } from "vitest";
import type { Binned, Command, Container, EngineCommand, Image, ImageCommand, JobCommand, Kept, NetworkCommand, ReachCommand, RegistryCommand, UpkeepCommand, Volume, VolumeCommand } from "../../bindings/schema";
import { emptyRun } from "../run/spec";
import { commands as split } from "../run/words";
import { asDocker, type Names } from "./docker";

/** Of every kind one. A command that is new in the schema does not compile until it is here. */
type Each<C extends { type: string }> = { [T in C["type"]]: Extract<C, { type: T }> };

const image: Each<ImageCommand> = {
  pull: { type: "pull", name: "redis:8" }, push: { type: "push", name: "r.example/web:1" }, tag: { type: "tag", id: "i", name: "web:2" }, untag: { type: "untag", name: "web:2" },
  bin: { type: "bin", id: "i" }, restore: { type: "restore", id: "i" }, empty_bin: { type: "empty_bin" }, prune_preview: { type: "prune_preview", all: true }, prune: { type: "prune", all: true },
  save: { type: "save", names: ["web:2"], to: { type: "path", path: "/tmp/my web.tar" } }, load: { type: "load", from: { type: "path", path: "/tmp/web.tar" } },
  layers: { type: "layers", id: "i" }, search: { type: "search", term: "redis" },
};
const registry: Each<RegistryCommand> = { list: { type: "list" }, login: { type: "login", registry: "r.example", user: "ada", secret: "hidden" }, logout: { type: "logout", registry: "r.example" } };
const reach: Each<ReachCommand> = {
  show: { type: "show" }, set: { type: "set", reach: {} as Extract<ReachCommand, { type: "set" }>["reach"] }, trust: { type: "trust", host: "r.example", from: { type: "path", path: "/ca.pem" } }, distrust: { type: "distrust", host: "r.example" },
};
const volume: Each<VolumeCommand> = {
  create: { type: "create", name: "data", labels: [] }, remove: { type: "remove", name: "data" }, bin: { type: "bin", name: "data" }, restore: { type: "restore", name: "data" }, empty_bin: { type: "empty_bin" }, sizes: { type: "sizes" },
  prune_preview: { type: "prune_preview", all: false }, prune: { type: "prune", all: false }, files: { type: "files", name: "data", path: "/" }, read: { type: "read", name: "data", path: "/a" }, save: { type: "save", name: "data", path: "/a", to: null },
};
const network: Each<NetworkCommand> = {
  create: { type: "create", name: "back", subnet: "10.1.0.0/24", internal: true, ipv6: false }, remove: { type: "remove", id: "n" }, connect: { type: "connect", id: "n", container: "c" }, disconnect: { type: "disconnect", id: "n", container: "c" },
  prune_preview: { type: "prune_preview" }, prune: { type: "prune" },
};
const job: Each<JobCommand> = { cancel: { type: "cancel", id: 1 }, dismiss: { type: "dismiss", id: 1 } };
const engine: Each<EngineCommand> = { add: { type: "add", entry: { name: "far", address: "ssh://box", tls: null } }, remove: { type: "remove", name: "far" }, choose: { type: "choose", name: "far" }, find: { type: "find" } };
const upkeep: Each<UpkeepCommand> = {
  settings: { type: "settings" }, set_limits: { type: "set_limits", limits: {} as Extract<UpkeepCommand, { type: "set_limits" }>["limits"] }, set_shared_folders: { type: "set_shared_folders", folders: null }, set_autostart: { type: "set_autostart", on: true },
  examine: { type: "examine" }, usage: { type: "usage" }, give_back: { type: "give_back" }, support_bundle: { type: "support_bundle", to: { type: "downloads", name: "x" } },
  export: { type: "export", to: { type: "path", path: "/tmp/all.img" } }, import: { type: "import", from: { type: "path", path: "/tmp/all.img" } }, reset: { type: "reset" }, versions: { type: "versions" },
};
type Nested = "image" | "registry" | "reach" | "volume" | "network" | "job" | "engine" | "upkeep";
const direct: Omit<Each<Command>, Nested> = {
  snapshot: { type: "snapshot" }, machine_start: { type: "machine_start" }, machine_stop: { type: "machine_stop" }, machine_restart: { type: "machine_restart" }, demo_run: { type: "demo_run" },
  container_run: { type: "container_run", run: emptyRun("redis:8") }, container_recipe: { type: "container_recipe", id: "c" }, container_start: { type: "container_start", id: "c" }, container_stop: { type: "container_stop", id: "c" },
  container_restart: { type: "container_restart", id: "c" }, container_kill: { type: "container_kill", id: "c" }, container_pause: { type: "container_pause", id: "c" }, container_unpause: { type: "container_unpause", id: "c" },
  container_removal: { type: "container_removal", id: "c" }, container_remove: { type: "container_remove", id: "c", volumes: true }, container_bin: { type: "container_bin", id: "c", volumes: true }, container_restore: { type: "container_restore", id: "c" }, bin_empty: { type: "bin_empty" },
  container_files: { type: "container_files", id: "c", path: "/" }, container_file_read: { type: "container_file_read", id: "c", path: "/a" }, container_file_write: { type: "container_file_write", id: "c", path: "/a", text: "" }, container_file_save: { type: "container_file_save", id: "c", path: "/a b", to: null },
  container_file_put: { type: "container_file_put", id: "c", directory: "/tmp", name: "a", upload: 1, part: "", last: true }, container_logs_save: { type: "container_logs_save", id: "c", to: null }, container_inspect: { type: "container_inspect", id: "c" }, image_remove: { type: "image_remove", id: "i", force: false },
  file_part: { type: "file_part", ticket: "t", part: "" }, url_open: { type: "url_open", url: "http://localhost" }, console_log_open: { type: "console_log_open" }, console_log_tail: { type: "console_log_tail", lines: 9 }, context_status: { type: "context_status" }, context_create: { type: "context_create" },
};

const LOOKS = "only looks, for a page; what a person looks at has its line in the menu of the thing";
const OURS = "a list or a mark of the app's own";
const SETTING = "a setting of our machine; no command line of ours sets it";
const WITHOUT: Record<string, string> = {
  snapshot: LOOKS, container_recipe: LOOKS, container_removal: LOOKS, container_files: LOOKS, container_file_read: LOOKS, container_inspect: LOOKS, console_log_tail: LOOKS, context_status: LOOKS,
  "image prune_preview": LOOKS, "image layers": LOOKS, "registry list": LOOKS, "reach show": LOOKS, "volume sizes": LOOKS, "volume prune_preview": LOOKS, "volume files": LOOKS, "volume read": LOOKS, "network prune_preview": LOOKS,
  "engine find": LOOKS, "upkeep settings": LOOKS, "upkeep usage": LOOKS, "upkeep versions": LOOKS,
  "engine add": OURS, "engine remove": OURS, "job cancel": OURS, "job dismiss": OURS,
  "reach set": SETTING, "reach trust": SETTING, "reach distrust": SETTING, "upkeep set_limits": SETTING, "upkeep set_shared_folders": SETTING, "upkeep give_back": SETTING,
  "upkeep export": "cubby has no such command", "upkeep import": "cubby has no such command", "upkeep reset": "cubby has no such command",
  "volume save": "docker copies out of containers only",
  file_part: "a part of a command that follows", url_open: "a click",
};

const kept: Kept = { at_unix_ms: 1_763_720_000_500, until_unix_ms: 0 };
const binned: Binned = { name: "web", was_running: true, restart: "on-failure:3", volumes: true, ...kept };
const names: Names = {
  container: () => "web", image: () => "web:1", network: () => "back",
  engine: () => ({ name: "far", address: "tcp://box:2376", tls: { ca: "/home/ada/my keys/ca.pem", cert: "", key: "" } }),
  binned: {
    containers: [{ id: "c", name: "web", binned } as Container, { id: "d", name: "old", binned: { ...binned, volumes: false } } as Container],
    images: [{ id: "i", tags: ["web:1", "web:2"], binned: kept } as Image],
    volumes: [{ name: "data", binned: kept } as Volume],
  },
};

const all: [string, Command][] = [
  ...Object.entries(direct),
  ...Object.entries({ image, registry, reach, volume, network, job, engine, upkeep }).flatMap(([type, each]) => Object.entries(each).map(([name, command]): [string, Command] => [`${type} ${name}`, { type, command } as Command])),
];

describe("every command", () => {
  it.each(all)("%s has a line, or a reason why not", (name, command) => {
    const line = asDocker(command, names);
    expect(line === null).toBe(name in WITHOUT);
    if (line === null) return;
    const first = split(line)[0];
    expect(first?.open).toBe(false);
    expect(["docker", "cubby", "export"]).toContain(first?.words[0]?.text);
  });

  it("has no reason for what is not there", () => {
    const known = new Set(all.map(([name]) => name));
    expect(Object.keys(WITHOUT).filter((name) => !known.has(name))).toEqual([]);
  });

  it("puts back what the bin's name says", () => {
    expect(asDocker(direct.container_restore, names)).toBe("docker rename c web && docker update --restart on-failure:3 web && docker start web");
    expect(asDocker(direct.bin_empty, names)).toBe("docker rm d && docker rm -v c");
    expect(asDocker({ type: "volume", command: volume.restore }, names)).toBe("docker volume rm cubby-bin.1763720000.data");
    expect(asDocker({ type: "image", command: image.restore }, names)).toBe("docker tag i web:1 && docker tag i web:2");
  });

  it("makes docker use the engine that is chosen", () => {
    expect(asDocker({ type: "engine", command: engine.choose }, names)).toBe("export DOCKER_HOST=tcp://box:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH='/home/ada/my keys'");
    expect(asDocker({ type: "engine", command: { type: "choose", name: null } }, names)).toBe("cubby context use");
  });
});
