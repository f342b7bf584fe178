// News in words, for the list, the corner and the screen reader.

import type { News } from "../../bindings/schema";
import { bytes } from "../../shared/format";
import { t } from "../../shared/i18n";
import type { IconName } from "../../shared/ui/Icon.svelte";

export interface Told {
  title: string;
  text: string;
  bad: boolean;
  icon: IconName;
  /** Where more is to be seen. */
  href: string;
}

export function told({ what }: News): Told {
  switch (what.type) {
    case "container_died":
      return { title: t("news.died", { name: what.name }), text: reason(what.reason), bad: true, icon: "warn", href: `#/apps/${what.container}/logs` };
    case "container_unhealthy":
      return { title: t("news.unhealthy", { name: what.name }), text: t("news.unhealthy.text"), bad: true, icon: "warn", href: `#/apps/${what.container}/logs` };
    case "machine_restarted":
      return { title: t("news.restarted"), text: t("news.restarted.text"), bad: false, icon: "machine", href: "#/machine" };
    case "machine_failed":
      return { title: t("news.failed"), text: what.title, bad: true, icon: "machine", href: "#/machine" };
    case "disk_nearly_full":
      return { title: t("news.disk"), text: t(`news.disk.${what.disk}`, { free: bytes(what.free_bytes) }), bad: true, icon: "warn", href: "#/machine" };
    case "job_done":
      return { title: t("news.job_done", { what: `${t(`jobs.${what.job}`)} ${what.subject}` }), text: "", bad: false, icon: "check", href: "#/images" };
    case "job_failed":
      return { title: t("news.job_failed", { what: `${t(`jobs.${what.job}`)} ${what.subject}` }), text: what.detail, bad: true, icon: "warn", href: "#/images" };
  }
}

type Reason = Extract<News["what"], { type: "container_died" }>["reason"];

function reason(reason: Reason): string {
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
