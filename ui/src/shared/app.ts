// The one world and the one client, and every command as a function.

import type { Command, Container, Image, RunContainer } from "../bindings/schema";
import type { Platform } from "../platform/platform";
import { asDocker, type Names } from "../features/commands/docker";
import { commands } from "../features/commands/done.svelte";
import { activity, known } from "../features/jobs/activity.svelte";
import { told } from "../features/jobs/news";
import { Client } from "./client";
import { t, wordsFor, type Key } from "./i18n";
import { shortId } from "./format";
import { notices } from "./notices.svelte";
import { emptyRun } from "./run";
import { preferences } from "./preferences.svelte";
import { World } from "./world.svelte";

export const world = new World();
export let client: Client;
export let platform: Platform;
let first = true;

export function start(on: Platform): void {
  platform = on;
  client = new Client(on, world);
  client.onCall = (command) => {
    // Before: afterwards what was removed has no name.
    const line = lineOf(command);
    return () => commands.add(line);
  };
  world.onState = announce;
  world.onSnapshot = ({ machine, jobs }) => {
    known(jobs);
    // Whoever opens the app wants it ready. Once: who stops the machine later means it.
    if (first && machine.phase === "off") void notices.attempt(api.startMachine);
    first = false;
  };
  world.onNews = (news) => {
    activity.add(news);
    const line = told(news);
    notices.say(`${line.title} ${line.text}`);
    if (document.hidden && preferences.notify && platform.notifications?.allowed) platform.notifications.show(line.title, line.text, line.href);
    if (news.what.type === "container_died" || news.what.type === "machine_failed" || news.what.type === "disk_nearly_full") notices.error({ code: "failed", title: line.title, detail: line.text, remedy: null });
  };
  world.onGo = (place) => {
    if (place.startsWith("#/")) location.hash = place;
  };
  world.onLoss = () => notices.engineLost();
  world.onJobEnd = (job) => activity.ended(job);
  tellShell();
  preferences.onNotify = (on) => void platform.desktop?.setNotifies(on);
  preferences.onNotify(preferences.notify);
  client.watch(!document.hidden);
  client.start();
  document.addEventListener("visibilitychange", () => client.watch(!document.hidden));
  document.addEventListener("click", interceptLinks);
}

const names: Names = {
  container: (id) => world.container(id)?.name ?? shortId(id),
  image: (id) => {
    const image = world.images.find((one) => one.id === id);
    return image ? imageName(image) : shortId(id);
  },
  network: (id) => world.networks.find((one) => one.id === id)?.name ?? shortId(id),
  engine: (name) => world.engines.others.find((one) => one.name === name),
  get binned() {
    return { containers: world.bin, images: world.imageBin, volumes: world.volumeBin };
  },
};

/** The same on the command line; null where there is nothing of the kind. */
export const lineOf = (command: Command): string | null => asDocker(command, names);

const SHELL_WORDS: Key[] = [
  "tray.open", "tray.quit", "tray.start", "tray.stop", "tray.off", "tray.starting", "tray.running", "tray.stopping", "tray.failed",
  "tray.details", "tray.door", "tray.restart", "tray.halt", "tray.more",
  "news.died", "news.unhealthy", "news.restarted", "news.failed", "news.job_done", "news.job_failed", "news.disk", "news.disk.machine", "news.disk.computer",
  "jobs.pull", "jobs.push", "jobs.save", "jobs.load", "jobs.export", "jobs.import",
];

/** After every change of the language. */
export function tellShell(): void {
  void platform.desktop?.setWords(wordsFor(SHELL_WORDS));
}

export const api = {
  startMachine: () => client.call("done", { type: "machine_start" }),
  stopMachine: () => client.call("done", { type: "machine_stop" }),
  restartMachine: () => client.call("done", { type: "machine_restart" }),
  runDemo: async () => (await client.call("container", { type: "demo_run" })).container,
  run: async (run: RunContainer) => (await client.call("container", { type: "container_run", run })).container,
  start: (id: string) => client.call("done", { type: "container_start", id }),
  stop: (id: string) => client.call("done", { type: "container_stop", id }),
  restart: (id: string) => client.call("done", { type: "container_restart", id }),
  kill: (id: string) => client.call("done", { type: "container_kill", id }),
  pause: (id: string) => client.call("done", { type: "container_pause", id }),
  unpause: (id: string) => client.call("done", { type: "container_unpause", id }),
  recipe: async (id: string) => (await client.call("recipe", { type: "container_recipe", id })).run,
  bin: (id: string, volumes: boolean) => client.call("done", { type: "container_bin", id, volumes }),
  restore: async (id: string) => (await client.call("container", { type: "container_restore", id })).container,
  emptyBin: () => client.call("done", { type: "bin_empty" }),
  files: async (id: string, path: string) => (await client.call("files", { type: "container_files", id, path })).listing,
  readFile: async (id: string, path: string) => (await client.call("file", { type: "container_file_read", id, path })).file,
  writeFile: (id: string, path: string, text: string) => client.call("done", { type: "container_file_write", id, path, text }),
  saveFile: async (id: string, path: string, to: string | null) => (await client.call("text", { type: "container_file_save", id, path, to })).text,
  putFile: (id: string, directory: string, name: string, upload: number, part: string, last: boolean) => client.call("done", { type: "container_file_put", id, directory, name, upload, part, last }),
  saveLogs: async (id: string, to: string | null) => (await client.call("text", { type: "container_logs_save", id, to })).text,
  removal: async (id: string) => (await client.call("removal", { type: "container_removal", id })).removal,
  remove: (id: string, volumes: boolean) => client.call("done", { type: "container_remove", id, volumes }),
  inspect: async (id: string) => (await client.call("text", { type: "container_inspect", id })).text,
  removeImage: (id: string, force: boolean) => client.call("image_removed", { type: "image_remove", id, force }),
  openConsoleLog: () => client.call("done", { type: "console_log_open" }),
  consoleTail: async (lines: number) => (await client.call("text", { type: "console_log_tail", lines })).text,
  contextStatus: async () => (await client.call("context", { type: "context_status" })).context,
  createContext: async () => (await client.call("context", { type: "context_create" })).context,
};

/** The image's name for people: its first tag, or its short id. */
export function imageName(image: Image): string {
  return image.tags[0] ?? image.id.replace(/^sha256:/, "").slice(0, 12);
}

/** Another container from the same image; every port that the image exposes gets a free door. */
export function runCopy(image: Image) {
  return api.run({
    ...emptyRun(image.tags[0] ?? image.id),
    ports: image.exposed.map((container_port) => ({ container_port, protocol: "tcp", host_port: null })),
  });
}

/** In the desktop window a link must not replace the app: the host opens it in the browser. */
function interceptLinks(event: MouseEvent): void {
  const link = (event.target as Element | null)?.closest?.("a[href^='http']");
  if (!link || platform.opensLinks) return;
  event.preventDefault();
  const url = (link as HTMLAnchorElement).href;
  void notices.attempt(() => client.call("done", { type: "url_open", url }));
}

function announce(before: Container | undefined, after: Container | undefined): void {
  const container = after ?? before;
  if (!container) return;
  const state = after ? t(`state.${after.state}` as Key) : t("state.removed");
  notices.say(t("announce.state", { name: container.name, state }));
}

export function reportPaint(): void {
  platform.painted();
}
