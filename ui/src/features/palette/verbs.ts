// Everything that can be done right now, as a list of verbs.

import type { Container, MachineState } from "../../bindings/schema";
import { api } from "../../shared/app";
import { t } from "../../shared/i18n";
import { notices } from "../../shared/notices.svelte";
import { router, type Page } from "../../shared/router.svelte";
import type { IconName } from "../../shared/ui/Icon.svelte";
import { act, doors, isUp } from "../containers/state";

export interface Verb {
  key: string;
  label: string;
  icon: IconName;
  run: () => void;
}

const PAGES: Page[] = ["home", "apps", "images", "doors", "machine"];
/** More containers than this would only make the list long; typing a name finds the rest. */
const CONTAINERS_MAX = 500;

export function verbs(machine: MachineState | null, containers: readonly Container[]): Verb[] {
  const list: Verb[] = PAGES.map((page) => ({ key: `go:${page}`, label: t("palette.go", { page: t(`nav.${page}`) }), icon: page === "doors" ? ("door" as const) : page, run: () => router.go(page) }));
  const attempt = (action: () => Promise<unknown>) => () => void notices.attempt(action);
  if (machine?.phase === "running") {
    list.push({ key: "demo", label: t("home.demo"), icon: "play", run: attempt(api.runDemo) });
    list.push({ key: "machine:restart", label: `${t("nav.machine")}: ${t("machine.restart")}`, icon: "restart", run: attempt(api.restartMachine) });
  } else if (machine?.phase === "off" || machine?.phase === "failed") {
    list.push({ key: "machine:start", label: `${t("nav.machine")}: ${t("machine.start")}`, icon: "power", run: attempt(api.startMachine) });
  }
  for (const container of containers.slice(0, CONTAINERS_MAX)) list.push(...ofContainer(container));
  return list;
}

function ofContainer(container: Container): Verb[] {
  const verb = (name: string, label: string, icon: IconName, run: () => void): Verb => ({ key: `${container.id}:${name}`, label: `${container.name}: ${label}`, icon, run });
  const open = (tab: "overview" | "logs" | "terminal") => () => router.go("apps", container.id, tab);
  const list = [verb("show", t("details.overview"), "apps", open("overview")), verb("logs", t("action.logs"), "logs", open("logs"))];
  if (container.state === "running") list.push(verb("terminal", t("action.terminal"), "terminal", open("terminal")));
  if (isUp(container)) {
    list.push(verb("stop", t("action.stop"), "stop", () => void act.stop(container)));
    list.push(verb("restart", t("action.restart"), "restart", () => void act.restart(container)));
  } else {
    list.push(verb("start", t("action.start"), "play", () => void act.start(container)));
  }
  for (const port of doors(container)) list.push(verb(`open:${port.url}`, t("action.open", { url: port.url ?? "" }), "door", () => openLink(port.url ?? "")));
  return list;
}

/** As a click on a link, so that the platform decides where it opens. */
function openLink(url: string): void {
  const link = document.createElement("a");
  link.href = url;
  link.target = "_blank";
  link.rel = "noreferrer";
  document.body.append(link);
  link.click();
  link.remove();
}

/** Every word of the query must occur. */
export function matchingVerbs(list: readonly Verb[], query: string): Verb[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((verb) => words.every((word) => verb.label.toLowerCase().includes(word)));
}
