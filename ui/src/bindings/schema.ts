// Generated from src-tauri/crates/host/src/schema (`UPDATE_BINDINGS=1 cargo test -p cubby-host --lib bindings`). Do not edit.

export type AppError = { code: ErrorCode, 
/**
 * What did not happen, in a short sentence.
 */
title: string, 
/**
 * Why: the engine's or the system's own words.
 */
detail: string, remedy: Remedy | null, };

/**
 * One event; revisions grow by one each and start anew with the process.
 */
export type Change = { revision: number, event: Event, };

/**
 * From the UI. `id`s and `stream`s are chosen by the UI and never reused within a session.
 */
export type ClientMessage = { "type": "call", id: number, command: Command, } | { "type": "watch", on: boolean, } | { "type": "open_logs", stream: number, open: OpenLogs, } | { "type": "open_terminal", stream: number, open: OpenTerminal, } | { "type": "open_figures", stream: number, } | { "type": "input", stream: number, input: TerminalInput, } | { "type": "ack", stream: number, bytes: number, } | { "type": "close", stream: number, };

/**
 * A command's doc comment names its [`Reply`] variant. Long work (a stop, a start) answers when it is done; the UI shows
 * progress from the events meanwhile.
 */
export type Command = { "type": "snapshot" } | { "type": "machine_start" } | { "type": "machine_stop" } | { "type": "machine_restart" } | { "type": "demo_run" } | { "type": "container_run", run: RunContainer, } | { "type": "container_start", id: string, } | { "type": "container_stop", id: string, } | { "type": "container_restart", id: string, } | { "type": "container_kill", id: string, } | { "type": "container_pause", id: string, } | { "type": "container_unpause", id: string, } | { "type": "container_removal", id: string, } | { "type": "container_remove", id: string, volumes: boolean, } | { "type": "container_inspect", id: string, } | { "type": "image_remove", id: string, force: boolean, } | { "type": "url_open", url: string, } | { "type": "console_log_open" } | { "type": "console_log_tail", lines: number, } | { "type": "context_status" } | { "type": "context_create" };

export type Container = { id: string, 
/**
 * Without the leading slash.
 */
name: string, 
/**
 * As the user wrote it.
 */
image: string, image_id: string, state: ContainerState, health: Health | null, created_unix_ms: number, started_unix_ms: number | null, finished_unix_ms: number | null, 
/**
 * Of the last run; absent before the first and while running.
 */
exit_code: number | null, 
/**
 * Set unless running, paused or restarting.
 */
stop_reason: StopReason | null, ports: Array<Port>, mounts: Array<Mount>, 
/**
 * Path and arguments.
 */
command: Array<string>, tty: boolean, 
/**
 * Docker's name: `no`, `always`, `unless-stopped`, `on-failure`.
 */
restart_policy: string, 
/**
 * `com.docker.compose.project` and `.service`.
 */
compose_project: string | null, compose_service: string | null, };

export type ContainerRef = { id: string, name: string, };

export type ContainerState = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

/**
 * The Docker context named `cubby` of the user's docker CLI.
 */
export type ContextStatus = { 
/**
 * A docker CLI is on the PATH.
 */
cli_found: boolean, 
/**
 * The context exists and points at our socket.
 */
exists: boolean, 
/**
 * It is the one in use. Cubby never switches it by itself.
 */
current: boolean, };

export type EnvVar = { name: string, value: string, };

/**
 * A code exists only if the UI acts on it; everything else is [`ErrorCode::Failed`].
 */
export type ErrorCode = "machine_off" | "not_found" | "port_taken" | "name_taken" | "image_in_use" | "failed";

export type Event = { "type": "machine", machine: MachineState, } | { "type": "container", container: Container, } | { "type": "container_removed", id: string, } | { "type": "containers", containers: Array<Container>, } | { "type": "images", images: Array<Image>, };

/**
 * Sampled while somebody looks: an item of the stream that `open_figures` opens.
 */
export type Figures = { cpus: number, 
/**
 * The guest's own view.
 */
memory_total_bytes: number, memory_used_bytes: number, engine_resident_bytes: number, disk_total_bytes: number, disk_used_bytes: number, 
/**
 * What the host really gives: the hypervisor's resident memory and the disk image's allocated blocks.
 */
host_memory_bytes: number | null, host_disk_bytes: number | null, };

export type Health = "starting" | "healthy" | "unhealthy";

/**
 * To the UI.
 */
export type HostMessage = { "type": "reply", id: number, reply: Reply, } | { "type": "error", id: number, error: AppError, } | { "type": "snapshot", snapshot: Snapshot, } | { "type": "changes", changes: Array<Change>, } | { "type": "stream", stream: number, item: StreamItem, weight: number, };

export type Image = { 
/**
 * `sha256:…`
 */
id: string, 
/**
 * `name:tag`, as Docker shows them; empty for an image without a name.
 */
tags: Array<string>, size_bytes: number, created_unix_ms: number, 
/**
 * Ids of the containers made from it, stopped ones included.
 */
used_by: Array<string>, 
/**
 * Ports that the image says it listens on (`EXPOSE`).
 */
exposed: Array<number>, architecture: string | null, };

/**
 * What came of removing an image.
 */
export type ImageRemoved = { untagged: Array<string>, deleted: Array<string>, };

/**
 * What arrived within one frame (about 16 ms), at most 256 KiB of text.
 */
export type LogChunk = { lines: Array<LogLine>, };

/**
 * One line without its line end. Not terminal-safe: the UI strips control sequences.
 */
export type LogLine = { source: LogSource, at_unix_ms: number | null, text: string, 
/**
 * The line goes on in the next one (it was longer than the host's limit for a line).
 */
partial: boolean, };

export type LogSource = "out" | "err";

/**
 * ```text
 * off ──▶ starting ──▶ running ──▶ stopping ──▶ off
 *             │            │           │
 *             └────────────┴───────────┴──▶ failed ──▶ starting
 * ```
 */
export type MachinePhase = "off" | "starting" | "running" | "stopping" | "failed";

/**
 * The whole of it: sent whenever any part changes.
 */
export type MachineState = { phase: MachinePhase, 
/**
 * All stages of the current or last start, waiting ones included; empty before the first.
 */
stages: Array<Stage>, 
/**
 * Set while `phase` is `failed`.
 */
problem: Problem | null, 
/**
 * `kvm`, `tcg`, `hvf`, …; known once the hypervisor was chosen.
 */
accelerator: string | null, 
/**
 * When the API first answered in this run.
 */
running_since_unix_ms: number | null, 
/**
 * From asked to ready, for the last complete start.
 */
start_took_ms: number | null, guest_version: string | null, kernel: string | null, 
/**
 * `unix:///…/docker.sock`
 */
docker_host: string, 
/**
 * Path of the guest's console log on the host.
 */
console_log: string, 
/**
 * Path of the data disk on the host.
 */
data_disk: string, };

export type Mount = { kind: MountKind, 
/**
 * Volume name or host path; empty for tmpfs.
 */
source: string, target: string, read_only: boolean, 
/**
 * A volume without a name of its own: goes when the container is removed with its volumes.
 */
anonymous: boolean, };

export type MountKind = "volume" | "bind" | "tmpfs" | "other";

export type OpenLogs = { container: string, 
/**
 * Start with this many of the last lines; absent: from the beginning.
 */
tail: number | null, since_unix_ms: number | null, 
/**
 * Stay open for what comes.
 */
follow: boolean, };

export type OpenTerminal = { container: string, columns: number, rows: number, 
/**
 * Absent: the best shell that the container has.
 */
shell: Array<string> | null, };

/**
 * A port of the container; `host_port` is set when it is published.
 */
export type Port = { container_port: number, protocol: Protocol, host_ip: string | null, host_port: number | null, 
/**
 * What a browser on this computer can open; TCP only.
 */
url: string | null, };

/**
 * A door to open. Host port 0 (or absent) lets the host choose a free one.
 */
export type PortRequest = { container_port: number, protocol: Protocol, host_port: number | null, };

/**
 * Why the machine is not running, and the one button that helps.
 */
export type Problem = { 
/**
 * A short sentence.
 */
title: string, 
/**
 * What exactly happened; may have several lines.
 */
detail: string, remedy: Remedy | null, };

export type Protocol = "tcp" | "udp" | "sctp";

/**
 * What a button can do about it.
 */
export type Remedy = "start_machine" | "restart_machine" | "use_free_port" | "show_console_log" | "install_hypervisor" | "free_space";

/**
 * What removing a container takes away and what it leaves.
 */
export type Removal = { id: string, name: string, 
/**
 * It runs now and would be stopped by force.
 */
running: boolean, 
/**
 * Size of the files written inside the container since it was created; they go.
 */
written_bytes: number | null, 
/**
 * Names of unnamed volumes that go with it.
 */
volumes_gone: Array<string>, 
/**
 * Names of volumes that stay.
 */
volumes_kept: Array<string>, 
/**
 * Folders of this computer that stay untouched.
 */
folders_kept: Array<string>, 
/**
 * The image stays.
 */
image: string, };

export type Reply = { "type": "done" } | { "type": "snapshot", snapshot: Snapshot, } | { "type": "container", container: ContainerRef, } | { "type": "removal", removal: Removal, } | { "type": "image_removed", removed: ImageRemoved, } | { "type": "text", text: string, } | { "type": "context", context: ContextStatus, };

/**
 * Create and start. Absent fields take the image's own settings.
 */
export type RunContainer = { image: string, name: string | null, ports: Array<PortRequest>, env: Array<EnvVar>, 
/**
 * Empty: the image's command.
 */
command: Array<string>, };

/**
 * Everything the UI shows, at one revision.
 */
export type Snapshot = { revision: number, machine: MachineState, containers: Array<Container>, images: Array<Image>, app_version: string, };

export type Stage = { stage: StageName, status: StageStatus, 
/**
 * Since the start was asked for.
 */
started_ms: number | null, took_ms: number | null, };

/**
 * The steps of a start, in order. The UI has a sentence for each.
 */
export type StageName = "prepare" | "power" | "init" | "disk" | "engine" | "ready";

export type StageStatus = "waiting" | "running" | "done" | "failed";

/**
 * Why a container is not running, as far as the host can tell. The UI has a sentence for each.
 */
export type StopReason = { "type": "not_started" } | { "type": "finished" } | { "type": "failed", exit_code: number, } | { "type": "out_of_memory" } | { "type": "stopped" } | { "type": "signal", signal: number, } | { "type": "program_not_found" } | { "type": "program_not_executable" } | { "type": "start_failed", detail: string, } | { "type": "machine_stopped" };

/**
 * What a stream yields. Terminal bytes travel as a binary message of their own, not as one of these.
 */
export type StreamItem = { "type": "logs", chunk: LogChunk, } | { "type": "figures", figures: Figures, } | { "type": "ended", exit_code: number | null, } | { "type": "broken", error: AppError, };

/**
 * What the UI sends into a terminal.
 */
export type TerminalInput = { "type": "text", text: string, } | { "type": "resize", columns: number, rows: number, };
