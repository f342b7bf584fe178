// Every flag of `docker run`: what it takes, what it does to the form, the sentence that explains it.
//
// Source: https://docs.docker.com/reference/cli/docker/container/run/ for names and arity. A flag that Cubby's form has no place
// for is known nevertheless, so that the words after it are read rightly, and says that it is left out.

import type { Key } from "../../shared/i18n";
import { longMountOf, mountOf, portsOf } from "./ports";
import { sizeBytes, type Run } from "./spec";

export interface Flag {
  /** Without a value. */
  bare: boolean;
  explains: Key;
  /** False: the value makes no sense. */
  apply(run: Run, value: string): boolean | void;
}

const list = (pick: (run: Run) => string[], explains: Key): Flag => ({ bare: false, explains, apply: (run, value) => void pick(run).push(value) });

/** `KEY=value`; what has no value takes the caller's own in a terminal, which there is none of here. */
function pair(pick: (run: Run) => { name: string; value: string }[], explains: Key): Flag {
  return {
    bare: false,
    explains,
    apply: (run, text) => {
      const at = text.indexOf("=");
      const name = at < 0 ? text : text.slice(0, at);
      if (!name) return false;
      pick(run).push({ name, value: at < 0 ? "" : text.slice(at + 1) });
      return true;
    },
  };
}

type Text = { [K in keyof Run]: Run[K] extends string | null ? (null extends Run[K] ? K : never) : never }[keyof Run];
const text = (field: Text, explains: Key): Flag => ({ bare: false, explains, apply: (run, value) => void ((run[field] as string | null) = value) });

type Switch = { [K in keyof Run]: Run[K] extends boolean ? K : never }[keyof Run];
const on = (field: Switch, explains: Key): Flag => ({ bare: true, explains, apply: (run, value) => void ((run[field] as boolean) = value !== "false" && value !== "0") });

/** Makes no difference here, and says why. */
const idle = (explains: Key, bare = true): Flag => ({ bare, explains, apply: () => undefined });
const left = (bare = false): Flag => ({ bare, explains: "flag.left", apply: () => undefined });

const size = (field: "memory_bytes" | "shm_bytes", explains: Key): Flag => ({
  bare: false,
  explains,
  apply: (run, value) => {
    const bytes = sizeBytes(value);
    if (bytes === undefined || bytes === 0) return false;
    run[field] = bytes;
    return true;
  },
});

const number = (explains: Key, apply: (run: Run, value: number) => void, fraction = false): Flag => ({
  bare: false,
  explains,
  apply: (run, value) => {
    if (!(fraction ? /^\d*\.?\d+$/ : /^-?\d{1,9}$/).test(value)) return false;
    apply(run, Number(value));
    return true;
  },
});

export const FLAGS: Record<string, Flag> = {
  "--name": text("name", "flag.name"),
  "--publish": {
    bare: false,
    explains: "flag.publish",
    apply: (run, value) => {
      const ports = portsOf(value);
      if (!ports) return false;
      run.ports.push(...ports);
      return true;
    },
  },
  "--publish-all": on("publish_all", "flag.publish_all"),
  "--env": pair((run) => run.env, "flag.env"),
  "--label": pair((run) => run.labels, "flag.label"),
  "--sysctl": pair((run) => run.sysctls, "flag.sysctl"),
  "--volume": {
    bare: false,
    explains: "flag.volume",
    apply: (run, value) => {
      const mount = mountOf(value);
      if (!mount) return false;
      run.mounts.push(mount);
      return true;
    },
  },
  "--mount": {
    bare: false,
    explains: "flag.mount",
    apply: (run, value) => {
      const mount = longMountOf(value);
      if (!mount) return false;
      run.mounts.push(mount);
      return true;
    },
  },
  "--tmpfs": {
    bare: false,
    explains: "flag.tmpfs",
    apply: (run, value) => {
      const target = value.split(":")[0] ?? "";
      if (!target.startsWith("/")) return false;
      run.mounts.push({ kind: "tmpfs", source: "", target, read_only: false });
      return true;
    },
  },
  "--memory": size("memory_bytes", "flag.memory"),
  "--shm-size": size("shm_bytes", "flag.shm_size"),
  "--cpus": number("flag.cpus", (run, value) => (run.cpus = value), true),
  "--pids-limit": number("flag.pids_limit", (run, value) => (run.pids_limit = value)),
  "--stop-timeout": number("flag.stop_timeout", (run, value) => (run.stop_timeout_s = value)),
  "--restart": {
    bare: false,
    explains: "flag.restart",
    apply: (run, value) => {
      const [policy = "", retries] = value.split(":", 2);
      if (!["no", "always", "unless-stopped", "on-failure"].includes(policy) || (retries !== undefined && !/^\d{1,6}$/.test(retries))) return false;
      run.restart = policy === "no" ? null : policy;
      run.restart_retries = retries && Number(retries) > 0 ? Number(retries) : null;
      return true;
    },
  },
  "--network": text("network", "flag.network"),
  "--network-alias": list((run) => run.network_aliases, "flag.network_alias"),
  "--hostname": text("hostname", "flag.hostname"),
  "--user": text("user", "flag.user"),
  "--workdir": text("workdir", "flag.workdir"),
  "--entrypoint": { bare: false, explains: "flag.entrypoint", apply: (run, value) => void (run.entrypoint = [value]) },
  "--interactive": on("interactive", "flag.interactive"),
  "--tty": on("tty", "flag.tty"),
  "--init": on("init", "flag.init"),
  "--rm": on("auto_remove", "flag.rm"),
  "--read-only": on("read_only", "flag.read_only"),
  "--privileged": on("privileged", "flag.privileged"),
  "--cap-add": list((run) => run.cap_add, "flag.cap_add"),
  "--cap-drop": list((run) => run.cap_drop, "flag.cap_drop"),
  "--device": list((run) => run.devices, "flag.device"),
  "--security-opt": list((run) => run.security_opt, "flag.security_opt"),
  "--group-add": list((run) => run.group_add, "flag.group_add"),
  "--dns": list((run) => run.dns, "flag.dns"),
  "--add-host": { bare: false, explains: "flag.add_host", apply: (run, value) => void run.extra_hosts.push(value.replace(/^([^:=]+)=/, "$1:")) },
  "--pid": text("pid_mode", "flag.pid"),
  "--ipc": text("ipc_mode", "flag.ipc"),
  "--ulimit": {
    bare: false,
    explains: "flag.ulimit",
    apply: (run, value) => {
      if (!/^\w+=-?\d+(:-?\d+)?$/.test(value)) return false;
      run.ulimits.push(value);
      return true;
    },
  },
  "--stop-signal": text("stop_signal", "flag.stop_signal"),
  "--platform": text("platform", "flag.platform"),
  "--health-cmd": text("health_command", "flag.health_cmd"),
  "--no-healthcheck": { bare: true, explains: "flag.no_healthcheck", apply: (run) => void (run.health_command = "NONE") },

  "--detach": idle("flag.detach"),
  "--quiet": idle("flag.quiet"),
  "--pull": idle("flag.pull", false),
  "--sig-proxy": idle("flag.terminal_only"),
  "--attach": idle("flag.terminal_only", false),
  "--detach-keys": idle("flag.terminal_only", false),
  "--disable-content-trust": idle("flag.terminal_only"),
  "--expose": idle("flag.expose", false),
  "--env-file": idle("flag.env_file", false),
  "--label-file": idle("flag.env_file", false),
  "--cidfile": idle("flag.terminal_only", false),
  "--oom-kill-disable": left(true),
};

for (const name of ["annotation", "blkio-weight", "blkio-weight-device", "cgroup-parent", "cgroupns", "cpu-count", "cpu-percent", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "cpuset-cpus", "cpuset-mems", "device-cgroup-rule", "device-read-bps", "device-read-iops", "device-write-bps", "device-write-iops", "dns-option", "dns-opt", "dns-search", "domainname", "gpus", "health-interval", "health-retries", "health-start-interval", "health-start-period", "health-timeout", "io-maxbandwidth", "io-maxiops", "ip", "ip6", "isolation", "kernel-memory", "link", "link-local-ip", "log-driver", "log-opt", "mac-address", "memory-reservation", "memory-swap", "memory-swappiness", "oom-score-adj", "runtime", "storage-opt", "userns", "uts", "volume-driver", "volumes-from"]) {
  FLAGS[`--${name}`] = left();
}

export const SHORT: Record<string, string> = {
  d: "--detach", i: "--interactive", t: "--tty", p: "--publish", P: "--publish-all", e: "--env", v: "--volume", m: "--memory", u: "--user", w: "--workdir", h: "--hostname", l: "--label", a: "--attach", q: "--quiet", c: "--cpu-shares",
};

export const OTHER_NAMES: Record<string, string> = { "--net": "--network", "--net-alias": "--network-alias" };
