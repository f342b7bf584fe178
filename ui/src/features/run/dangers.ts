// What gives a container power over more than itself.

import type { Key } from "../../shared/i18n";
import type { Run } from "./spec";

const SOCKETS = /(^|\/)(docker|containerd|podman|crio|cubby)(-[\w.]+)?\.sock$/;
const SYSTEM = /^\/(etc|proc|sys|dev|boot|run|var\/run|var\/lib|usr|bin|sbin|lib|root)(\/|$)/;
/** Enough to get out, or to listen to others. Source: capabilities(7). */
const STRONG = ["ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "DAC_READ_SEARCH", "BPF", "PERFMON", "NET_ADMIN", "SYSLOG", "MAC_ADMIN"];

/** A sentence each, the worst first. */
export function dangers(run: Run): Key[] {
  const found: Key[] = [];
  const binds = run.mounts.filter((mount) => mount.kind === "bind");
  const when = (is: boolean, key: Key) => is && found.push(key);
  when(run.privileged, "danger.privileged");
  when(binds.some(({ source }) => SOCKETS.test(source)), "danger.socket");
  when(binds.some(({ source }) => /^\/+$|^[A-Za-z]:[\\/]?$/.test(source)), "danger.root_folder");
  when(binds.some(({ source }) => SYSTEM.test(source) && !SOCKETS.test(source)), "danger.system_folder");
  when(run.pid_mode === "host", "danger.pid_host");
  when(run.network === "host", "danger.network_host");
  when(run.ipc_mode === "host", "danger.ipc_host");
  const caps = run.cap_add.map((cap) => cap.toUpperCase().replace(/^CAP_/, ""));
  when(caps.some((cap) => STRONG.includes(cap)), "danger.cap_strong");
  when(caps.length > 0 && !caps.some((cap) => STRONG.includes(cap)), "danger.cap");
  when(run.devices.length > 0, "danger.device");
  when(run.security_opt.some((option) => /unconfined|label[=:]disable/.test(option)), "danger.unconfined");
  return found;
}
