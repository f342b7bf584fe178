// Everything that can be done right now, as a list of verbs.

import type { Container, Image } from "../../bindings/schema";
import { api, imageName, runCopy } from "../../shared/app";
import { LANGUAGE_NAMES, t } from "../../shared/i18n";
import { notices } from "../../shared/notices.svelte";
import { preferences } from "../../shared/preferences.svelte";
import { PAGES, RUN_FORM, router, type Page } from "../../shared/router.svelte";
import type { IconName } from "../../shared/ui/Icon.svelte";
import type { World } from "../../shared/world.svelte";
import { showContainer } from "../commands/lines";
import { act, doors, isUp } from "../containers/state";
import { images } from "../images/api";
import { activity } from "../jobs/activity.svelte";
import { jobs } from "../jobs/jobs";
import { engines } from "../library/api";

export interface Verb {
  key: string;
  label: string;
  icon: IconName;
  run: () => void;
  /** Shown whatever else was typed. */
  always?: boolean;
  /** What kind of thing it is about: between equals the nearer one comes first. */
  near?: Near;
  /** What the docker command calls it, whatever the language. */
  also?: string;
}

/** The container on the page, any container, the app's pages and its machine, other things, settings. */
export type Near = 0 | 1 | 2 | 3 | 4;

/** More of each kind than this would only make the list long; typing a name finds the rest. */
const OBJECTS_MAX = 500;

const ICONS: Record<Page, IconName> = { home: "home", apps: "apps", images: "images", data: "data", doors: "door", networks: "networks", library: "library", machine: "machine", settings: "settings" };
const attempt = (action: () => Promise<unknown>) => () => void notices.attempt(action);

/** `query` is what was typed: some verbs take a word of it. */
export function verbs(world: World, query = ""): Verb[] {
  const list: Verb[] = [...typed(world, query), ...beginnings(world), ...PAGES.map((page) => ({ key: `go:${page}`, label: t("palette.go", { page: t(`nav.${page}`) }), icon: ICONS[page], run: () => router.go(page) }))];
  list.push(...ofMachine(world), ...ofApp());
  for (const container of world.containers.filter((row) => !row.binned).slice(0, OBJECTS_MAX)) {
    const near: Near = router.page === "apps" && router.item === container.id ? 0 : 1;
    list.push(...ofContainer(container).map((verb) => ({ ...verb, near })));
  }
  for (const image of world.images.slice(0, OBJECTS_MAX)) list.push(...ofImage(image));
  for (const volume of world.volumes.slice(0, OBJECTS_MAX)) list.push({ key: `volume:${volume.name}`, near: 3, label: `${t("palette.volume", { name: volume.name })}`, icon: "data", run: () => router.go("data") });
  for (const job of world.jobs) if (job.state === "running") list.push({ key: `job:${job.id}`, label: `${t("cancel")}: ${t(`jobs.${job.kind}`)} ${job.subject}`, icon: "close", run: attempt(() => jobs.cancel(job.id)) });
  return list;
}

/** What most people want to do, first. */
function beginnings({ machine }: World): Verb[] {
  if (machine?.phase !== "running") return [];
  return [
    { key: "run", label: t("apps.run"), icon: "plus", run: () => router.go("apps", RUN_FORM) },
    { key: "demo", label: t("home.demo"), icon: "play", run: attempt(api.runDemo) },
  ];
}

/** `pull redis:8`, `docker pull redis:8`, or the same in the reader's language. */
function typed(world: World, query: string): Verb[] {
  const [verb, name, ...more] = query.trim().replace(/^docker\s+/, "").split(/\s+/);
  const asked = verb === "pull" || verb?.toLowerCase() === t("images.pull.action").toLowerCase();
  if (!asked || !name || more.length > 0 || world.machine?.phase !== "running") return [];
  return [{ key: `pull:${name}`, label: t("palette.pull", { name }), icon: "follow", always: true, run: attempt(() => images.pull(name)) }];
}

function ofMachine({ machine, engines: known }: World): Verb[] {
  const list: Verb[] = [];
  const own = known.chosen === null;
  const verb = (name: string, what: string, icon: IconName, action: () => Promise<unknown>) => list.push({ key: `machine:${name}`, label: `${t("nav.machine")}: ${what}`, icon, run: attempt(action) });
  if (own && machine?.phase === "running") {
    verb("restart", t("machine.restart"), "restart", api.restartMachine);
    verb("stop", t("machine.stop"), "power", api.stopMachine);
  } else if (own && (machine?.phase === "off" || machine?.phase === "failed")) {
    verb("start", t("machine.start"), "power", api.startMachine);
  }
  if (!own) list.push({ key: "engine:", label: t("engines.back"), icon: "machine", run: attempt(() => engines.choose(null)) });
  for (const { name } of known.others) if (name !== known.chosen) list.push({ key: `engine:${name}`, label: t("engines.use", { name }), icon: "machine", run: attempt(() => engines.choose(name)) });
  return list;
}

function ofApp(): Verb[] {
  const verb = (key: string, label: string, run: () => void): Verb => ({ key: `app:${key}`, near: 4, label: `${t("nav.settings")}: ${label}`, icon: "settings", run });
  return [
    verb("light", t("settings.theme.light"), () => preferences.set({ theme: "light" })),
    verb("dark", t("settings.theme.dark"), () => preferences.set({ theme: "dark" })),
    verb("system", `${t("settings.theme")} – ${t("settings.theme.system")}`, () => preferences.set({ theme: "system" })),
    verb("expert", t("settings.expert"), () => preferences.set({ expert: !preferences.expert })),
    ...Object.entries(LANGUAGE_NAMES).map(([language, name]) => verb(`language:${language}`, `${t("settings.language")} ${name}`, () => preferences.set({ language }))),
    { key: "activity", label: t("nav.activity"), icon: "bell", run: () => activity.show() },
  ];
}

function ofImage(image: Image): Verb[] {
  const name = imageName(image);
  return [
    { key: `${image.id}:show`, near: 3, label: `${name}: ${t("images.layers")}`, icon: "images", run: () => router.go("images", image.id) },
    { key: `${image.id}:run`, near: 3, label: `${name}: ${t("images.run")}`, icon: "play", run: attempt(() => runCopy(image)) },
  ];
}

function ofContainer(container: Container): Verb[] {
  const verb = (name: string, label: string, icon: IconName, run: () => void): Verb => ({ key: `${container.id}:${name}`, label: `${container.name}: ${label}`, also: name, icon, run });
  const open = (tab: "overview" | "logs" | "terminal") => () => router.go("apps", container.id, tab);
  const list = [verb("show", t("details.overview"), "apps", open("overview")), verb("logs", t("action.logs"), "logs", open("logs"))];
  if (container.state === "running") list.push(verb("terminal", t("action.terminal"), "terminal", open("terminal")));
  if (isUp(container)) {
    list.push(verb("stop", t("action.stop"), "stop", () => void act.stop(container)));
    list.push(verb("restart", t("action.restart"), "restart", () => void act.restart(container)));
  } else {
    list.push(verb("start", t("action.start"), "play", () => void act.start(container)));
  }
  list.push(verb("commands", t("commands.menu"), "code", () => showContainer(container)));
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

