// What can be done with one thing, as lines for a shell: what changes it, and what only looks at it.

import type { Command, Container, Image, Network, Volume } from "../../bindings/schema";
import { imageName, lineOf } from "../../shared/app";
import { t } from "../../shared/i18n";
import { isUp } from "../containers/state";
import { shortName } from "../data/rows";
import { docker } from "./docker";
import { commands, type Entry } from "./done.svelte";

/** Absent where there is no such line. */
const entry = (label: string, what: Command | string): Entry[] => {
  const line = typeof what === "string" ? what : lineOf(what);
  return line === null ? [] : [{ label, line }];
};

export function showContainer(container: Container): void {
  const { id, name } = container;
  const [up, running] = [isUp(container), container.state === "running"];
  commands.shown = {
    name,
    entries: [
      ...(container.state === "paused" ? entry(t("action.unpause"), { type: "container_unpause", id }) : up ? entry(t("action.stop"), { type: "container_stop", id }) : entry(t("action.start"), { type: "container_start", id })),
      ...(up ? entry(t("action.restart"), { type: "container_restart", id }) : []),
      ...(running ? entry(t("action.pause"), { type: "container_pause", id }) : []),
      ...(up ? entry(t("action.kill"), { type: "container_kill", id }) : []),
      ...entry(t("details.logs"), docker("logs", "-f", name)),
      ...(running ? entry(t("details.terminal"), docker("exec", "-it", name, "sh")) : []),
      ...(running ? entry(t("details.files"), docker("exec", name, "ls", "-la", "/")) : []),
      ...entry(t("files.download"), docker("cp", `${name}:/PATH`, ".")),
      ...entry(t("files.upload"), docker("cp", "FILE", `${name}:/PATH`)),
      ...entry(t("files.only_changed"), docker("diff", name)),
      ...(running ? [...entry(t("details.stats"), docker("stats", name)), ...entry(t("details.processes"), docker("top", name))] : []),
      ...entry(t("details.environment"), docker("inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", name)),
      ...entry(t("details.inspect_tab"), docker("inspect", name)),
      ...entry(t("action.remove"), { type: "container_bin", id, volumes: false }),
    ],
  };
}

export function showImage(image: Image): void {
  const name = imageName(image);
  const tag = image.tags[0];
  commands.shown = {
    name,
    entries: [
      ...entry(t("images.run"), docker("run", "-d", name)),
      ...entry(t("images.layers"), docker("history", name)),
      ...entry(t("details.inspect_tab"), docker("image", "inspect", name)),
      ...entry(t("images.rename"), docker("tag", name, "NAME")),
      ...(tag ? entry(t("images.push"), { type: "image", command: { type: "push", name: tag } }) : []),
      ...entry(t("images.save"), docker("save", "-o", `${name.replace(/[/:]/g, "-")}.tar`, ...(image.tags.length > 0 ? image.tags : [name]))),
      ...entry(t("images.remove"), { type: "image", command: { type: "bin", id: image.id } }),
    ],
  };
}

export function showVolume(volume: Volume): void {
  commands.shown = {
    name: shortName(volume),
    entries: [
      ...entry(t("details.inspect_tab"), docker("volume", "inspect", volume.name)),
      ...entry(t("images.used_by"), docker("ps", "-a", "--filter", `volume=${volume.name}`)),
      ...entry(t("images.remove"), { type: "volume", command: { type: "bin", name: volume.name } }),
    ],
  };
}

export function showNetwork(network: Network): void {
  commands.shown = {
    name: network.name,
    entries: [
      ...entry(t("details.inspect_tab"), docker("network", "inspect", network.name)),
      ...entry(t("networks.connect"), docker("network", "connect", network.name, "CONTAINER")),
      ...network.members.flatMap((member) => (network.builtin ? [] : entry(t("networks.disconnect", { name: member.name, network: network.name }), { type: "network", command: { type: "disconnect", id: network.id, container: member.id } }))),
      ...(network.builtin ? [] : entry(t("images.remove"), { type: "network", command: { type: "remove", id: network.id } })),
    ],
  };
}
