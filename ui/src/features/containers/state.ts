// What a container's state means: tone, icon, the actions it allows, and why it stopped.

import type { Container, ContainerState, Port, StopReason } from "../../bindings/schema";
import { api } from "../../shared/app";
import { duration } from "../../shared/format";
import { t } from "../../shared/i18n";
import { notices } from "../../shared/notices.svelte";
import type { IconName } from "../../shared/ui/Icon.svelte";

export type Tone = "good" | "warn" | "bad" | "quiet" | "info";

const TONES: Record<ContainerState, Tone> = {
  created: "quiet",
  running: "good",
  paused: "info",
  restarting: "warn",
  removing: "warn",
  exited: "quiet",
  dead: "bad",
};

const ICONS: Record<ContainerState, IconName> = {
  created: "plus",
  running: "play",
  paused: "pause",
  restarting: "restart",
  removing: "remove",
  exited: "stop",
  dead: "warn",
};

const TROUBLE: readonly StopReason["type"][] = [
  "failed",
  "out_of_memory",
  "program_not_found",
  "program_not_executable",
  "start_failed",
];

export function tone(container: Container): Tone {
  if (container.state === "running" && container.health === "unhealthy") return "bad";
  if (container.stop_reason && TROUBLE.includes(container.stop_reason.type)) return "bad";
  return TONES[container.state];
}

export function icon(container: Container): IconName {
  return tone(container) === "bad" ? "warn" : ICONS[container.state];
}

export function isUp(container: Container): boolean {
  return container.state === "running" || container.state === "paused" || container.state === "restarting";
}

/** Of less nobody wants to know how much. */
const A_MOMENT_MS = 500;

/** One sentence, and how long it ran when that tells something. */
export function whyStopped(container: Container): string | undefined {
  const reason = container.stop_reason;
  if (!reason) return undefined;
  const sentence = reasonText(reason);
  const { started_unix_ms: from, finished_unix_ms: to } = container;
  if (reason.type === "not_started" || reason.type === "start_failed" || from === null || to === null || to < from) return sentence;
  return `${sentence} ${to - from < A_MOMENT_MS ? t("reason.moment") : t("reason.after", { time: duration(to - from, true) })}`;
}

function reasonText(reason: StopReason): string {
  switch (reason.type) {
    case "failed":
      return t("reason.failed", { code: reason.exit_code });
    case "signal":
      return t("reason.signal", { signal: reason.signal });
    case "start_failed":
      return t("reason.start_failed", { detail: reason.detail });
    default:
      return t(`reason.${reason.type}`);
  }
}

/** Ports that a browser can open, each address once (v4 and v6 listeners share one). */
export function doors(container: Container): Port[] {
  const seen = new Set<string>();
  return container.ports.filter((port) => port.url !== null && !seen.has(port.url) && seen.add(port.url));
}

export function doorLabel(port: Port): string {
  return `:${port.host_port}`;
}

export const act = {
  start: (container: Container) => notices.attemptOn(() => api.start(container.id), container.name),
  stop: (container: Container) => notices.attemptOn(() => api.stop(container.id), container.name),
  restart: (container: Container) => notices.attemptOn(() => api.restart(container.id), container.name),
  pause: (container: Container) => notices.attemptOn(() => api.pause(container.id), container.name),
  unpause: (container: Container) => notices.attemptOn(() => api.unpause(container.id), container.name),
  kill: (container: Container) => notices.attemptOn(() => api.kill(container.id), container.name),
};
