// What to run: the schema's `RunContainer` with nothing filled in.

import type { RunContainer } from "../bindings/schema";

export type Run = RunContainer;

export function emptyRun(image = ""): Run {
  return {
    image, name: null, ports: [], publish_all: false, env: [], command: [], entrypoint: null, mounts: [], memory_bytes: null, cpus: null,
    pids_limit: null, shm_bytes: null, restart: null, restart_retries: null, network: null, network_aliases: [], hostname: null, user: null,
    workdir: null, labels: [], tty: false, interactive: false, init: false, auto_remove: false, read_only: false, privileged: false, cap_add: [],
    cap_drop: [], devices: [], security_opt: [], group_add: [], dns: [], extra_hosts: [], pid_mode: null, ipc_mode: null, sysctls: [], ulimits: [],
    stop_signal: null, stop_timeout_s: null, platform: null, health_command: null,
  };
}
