// What a command of the app is called on the command line, where there is something to call it: what only looks has no line.

import type { Command, ImageCommand, NetworkCommand, RegistryCommand, VolumeCommand } from "../../bindings/schema";
import { t } from "../../shared/i18n";
import { dockerRun } from "../run/command-line";
import { quoted } from "../run/words";

/** What people call things that commands name by their ids. */
export interface Names {
  container(id: string): string;
  image(id: string): string;
  network(id: string): string;
}

const docker = (...words: (string | false)[]) => ["docker", ...words.filter((word) => word !== false)].map(quoted).join(" ");
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
    case "container_file_save": return docker("cp", `${names.container(command.id)}:${command.path}`, command.to ?? ".");
    case "container_file_write": return docker("cp", lastOf(command.path), `${names.container(command.id)}:${command.path}`);
    case "container_file_put": return command.last ? docker("cp", command.name, `${names.container(command.id)}:${command.directory}`) : null;
    case "container_logs_save": return `${docker("logs", names.container(command.id))} > ${quoted(command.to ?? `${names.container(command.id)}.log`)}`;
    case "image_remove": return docker("rmi", command.force && "-f", names.image(command.id));
    case "image": return ofImages(command.command, names);
    case "registry": return ofRegistries(command.command);
    case "volume": return ofVolumes(command.command);
    case "network": return ofNetworks(command.command, names);
    case "upkeep": return command.command.type === "examine" ? "cubby doctor" : command.command.type === "support_bundle" ? "cubby support" : null;
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
    default: return null;
  }
}

/** The password is asked for. */
function ofRegistries(command: RegistryCommand): string | null {
  if (command.type === "login") return docker("login", "-u", command.user, command.registry);
  return command.type === "logout" ? docker("logout", command.registry) : null;
}

function ofVolumes(command: VolumeCommand): string | null {
  switch (command.type) {
    case "create": return docker("volume", "create", ...command.labels.flatMap(([name, value]) => ["--label", `${name}=${value}`]), command.name);
    case "remove": return docker("volume", "rm", command.name);
    case "bin": return binned(docker("volume", "rm", command.name));
    case "prune": return docker("volume", "prune", "-f", command.all && "-a");
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
