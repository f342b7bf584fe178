// What a command of the app is called on the command line, where there is something to call it: what only looks has no line.

import type { Command, Container, EngineEntry, Image, ImageCommand, NetworkCommand, RegistryCommand, UpkeepCommand, Volume, VolumeCommand } from "../../bindings/schema";
import { shortId } from "../../shared/format";
import { t } from "../../shared/i18n";
import { dockerRun } from "../run/command-line";
import { quoted } from "../run/words";

/** What people call things that commands name by their ids. */
export interface Names {
  container(id: string): string;
  image(id: string): string;
  network(id: string): string;
  engine(name: string): EngineEntry | undefined;
  /** What is in the bin. */
  binned: { containers: readonly Container[]; images: readonly Image[]; volumes: readonly Volume[] };
}

export const docker = (...words: (string | false)[]) => ["docker", ...words.filter((word) => word !== false)].map(quoted).join(" ");
/** What the docker command removes at once. */
const binned = (line: string) => `${line}  # ${t("commands.bin")}`;
const VERBS = { container_start: "start", container_stop: "stop", container_restart: "restart", container_kill: "kill", container_pause: "pause", container_unpause: "unpause" } as const;

export function asDocker(command: Command, names: Names): string | null {
  switch (command.type) {
    case "machine_start": return "cubby up";
    case "machine_stop": return "cubby down";
    case "machine_restart": return "cubby restart";
    case "demo_run": return "cubby demo";
    case "container_run": return dockerRun(command.run);
    case "container_start":
    case "container_stop":
    case "container_restart":
    case "container_kill":
    case "container_pause":
    case "container_unpause": return docker(VERBS[command.type], names.container(command.id));
    case "container_remove": return docker("rm", "-f", command.volumes && "-v", names.container(command.id));
    case "container_bin": return binned(docker("rm", "-f", command.volumes && "-v", names.container(command.id)));
    case "container_restore": return restored(names.binned.containers.find(({ id }) => id === command.id));
    case "bin_empty": return emptied(names.binned.containers);
    case "container_file_save": return docker("cp", `${names.container(command.id)}:${command.path}`, command.to ?? ".");
    case "container_file_write": return docker("cp", lastOf(command.path), `${names.container(command.id)}:${command.path}`);
    case "container_file_put": return command.last ? docker("cp", command.name, `${names.container(command.id)}:${command.directory}`) : null;
    case "container_logs_save": return `${docker("logs", names.container(command.id))} > ${quoted(command.to ?? `${names.container(command.id)}.log`)}`;
    case "image_remove": return docker("rmi", command.force && "-f", names.image(command.id));
    case "image": return ofImages(command.command, names);
    case "registry": return ofRegistries(command.command);
    case "volume": return ofVolumes(command.command, names);
    case "network": return ofNetworks(command.command, names);
    case "engine": return command.command.type === "choose" ? usesEngine(command.command.name === null ? null : names.engine(command.command.name)) : null;
    case "upkeep": return ofUpkeep(command.command);
    case "console_log_open": return "cubby logs";
    case "context_create": return "cubby context create";
    default: return null;
  }
}

/** What makes the docker command talk to an engine from then on, in the shell it is typed in; of our own machine: everywhere. */
export function usesEngine(engine: EngineEntry | null | undefined): string | null {
  if (engine === null) return "cubby context use";
  if (!engine) return null;
  const settings = [["DOCKER_HOST", engine.address]];
  if (engine.tls) settings.push(["DOCKER_TLS_VERIFY", "1"], ["DOCKER_CERT_PATH", engine.tls.ca.replace(/\/[^/]*$/, "")]);
  return `export ${settings.map(([name, value]) => `${name}=${quoted(value ?? "")}`).join(" ")}`;
}

/** By their ids: what the engine calls them in the bin is nobody's to type. */
function restored(container: Container | undefined): string | null {
  if (!container?.binned) return null;
  const { name, restart, was_running } = container.binned;
  return [docker("rename", shortId(container.id), name), restart && docker("update", "--restart", restart, name), was_running && docker("start", name)].filter(Boolean).join(" && ");
}

function emptied(containers: readonly Container[]): string | null {
  const names = (volumes: boolean) => containers.filter(({ binned }) => binned?.volumes === volumes).map(({ id }) => shortId(id));
  const [plain, withVolumes] = [names(false), names(true)];
  return [plain.length > 0 && docker("rm", ...plain), withVolumes.length > 0 && docker("rm", "-v", ...withVolumes)].filter(Boolean).join(" && ") || null;
}

function ofUpkeep(command: UpkeepCommand): string | null {
  switch (command.type) {
    case "examine": return "cubby doctor";
    case "support_bundle": return command.to.type === "path" ? `cubby support -o ${quoted(command.to.path)}` : "cubby support";
    case "set_autostart": return command.on ? "cubby autostart enable" : "cubby autostart disable";
    default: return null;
  }
}

const lastOf = (path: string) => path.split("/").at(-1) ?? path;

function ofImages(command: ImageCommand, names: Names): string | null {
  switch (command.type) {
    case "pull":
    case "push": return docker(command.type, command.name);
    case "tag": return docker("tag", names.image(command.id), command.name);
    case "untag": return docker("rmi", command.name);
    case "bin": return binned(docker("rmi", names.image(command.id)));
    case "prune": return docker("image", "prune", "-f", command.all && "-a");
    case "save": return docker("save", "-o", command.to.type === "path" ? command.to.path : command.to.name, ...command.names);
    case "load": return docker("load", "-i", command.from.type === "path" ? command.from.path : "image.tar");
    case "search": return docker("search", command.term);
    case "restore": {
      const image = names.binned.images.find(({ id }) => id === command.id);
      return image && image.tags.length > 0 ? image.tags.map((tag) => docker("tag", shortId(image.id), tag)).join(" && ") : null;
    }
    case "empty_bin": return names.binned.images.length > 0 ? docker("rmi", "-f", ...names.binned.images.map(({ id }) => shortId(id))) : null;
    default: return null;
  }
}

/** The password is asked for. */
function ofRegistries(command: RegistryCommand): string | null {
  if (command.type === "login") return docker("login", "-u", command.user, command.registry);
  return command.type === "logout" ? docker("logout", command.registry) : null;
}

/** An empty volume beside it says that it is in the bin: see `engine/bin/volumes.rs`. */
const markOf = (volume: Volume) => `cubby-bin.${Math.floor((volume.binned?.at_unix_ms ?? 0) / 1000)}.${volume.name}`;

function ofVolumes(command: VolumeCommand, names: Names): string | null {
  switch (command.type) {
    case "create": return docker("volume", "create", ...command.labels.flatMap(([name, value]) => ["--label", `${name}=${value}`]), command.name);
    case "remove": return docker("volume", "rm", command.name);
    case "bin": return binned(docker("volume", "rm", command.name));
    case "prune": return docker("volume", "prune", "-f", command.all && "-a");
    case "restore": {
      const volume = names.binned.volumes.find(({ name }) => name === command.name);
      return volume ? docker("volume", "rm", markOf(volume)) : null;
    }
    case "empty_bin": return names.binned.volumes.length > 0 ? docker("volume", "rm", ...names.binned.volumes.flatMap((volume) => [volume.name, markOf(volume)])) : null;
    default: return null;
  }
}

function ofNetworks(command: NetworkCommand, names: Names): string | null {
  switch (command.type) {
    case "create": return docker("network", "create", ...(command.subnet ? ["--subnet", command.subnet] : []), command.internal && "--internal", command.ipv6 && "--ipv6", command.name);
    case "remove": return docker("network", "rm", names.network(command.id));
    case "connect": return docker("network", "connect", names.network(command.id), names.container(command.container));
    case "disconnect": return docker("network", "disconnect", names.network(command.id), names.container(command.container));
    case "prune": return docker("network", "prune", "-f");
    default: return null;
  }
}
