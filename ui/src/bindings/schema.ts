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
 * A container in the bin. The mark is its name in the engine, so that no file of ours has to be kept in step with it.
 */
export type Binned = { 
/**
 * What it was called, and will be again.
 */
name: string, at_unix_ms: number, 
/**
 * When it is removed for good, unless the bin is full before.
 */
until_unix_ms: number, 
/**
 * It ran and is started again when it is taken out.
 */
was_running: boolean, 
/**
 * Its restart policy, as the docker command is told it.
 */
restart: string | null, 
/**
 * Its unnamed volumes go with it.
 */
volumes: boolean, };

/**
 * One event; revisions grow by one each and start anew with the process.
 */
export type Change = { revision: number, event: Event, };

/**
 * What an examination found.
 */
export type Check = { what: string, verdict: CheckVerdict, found: string, remedy: string | null, };

export type CheckVerdict = "ok" | "warn" | "fail";

/**
 * From the UI. `id`s and `stream`s are chosen by the UI and never reused within a session.
 */
export type ClientMessage = { "type": "call", id: number, command: Command, } | { "type": "watch", on: boolean, } | { "type": "open_logs", stream: number, open: OpenLogs, } | { "type": "open_terminal", stream: number, open: OpenTerminal, } | { "type": "open_figures", stream: number, } | { "type": "open_stats", stream: number, container: string, } | { "type": "open_processes", stream: number, container: string, } | { "type": "input", stream: number, input: TerminalInput, } | { "type": "ack", stream: number, bytes: number, } | { "type": "close", stream: number, };

/**
 * A command's doc comment names its [`Reply`] variant. Long work (a stop, a start) answers when it is done; the UI shows
 * progress from the events meanwhile.
 */
export type Command = { "type": "snapshot" } | { "type": "machine_start" } | { "type": "machine_stop" } | { "type": "machine_restart" } | { "type": "demo_run" } | { "type": "container_run", run: RunContainer, } | { "type": "container_recipe", id: string, } | { "type": "container_start", id: string, } | { "type": "container_stop", id: string, } | { "type": "container_restart", id: string, } | { "type": "container_kill", id: string, } | { "type": "container_pause", id: string, } | { "type": "container_unpause", id: string, } | { "type": "container_removal", id: string, } | { "type": "container_remove", id: string, volumes: boolean, } | { "type": "container_bin", id: string, volumes: boolean, } | { "type": "container_restore", id: string, } | { "type": "bin_empty" } | { "type": "container_files", id: string, path: string, } | { "type": "container_file_read", id: string, path: string, } | { "type": "container_file_write", id: string, path: string, text: string, } | { "type": "container_file_save", id: string, path: string, to: string | null, } | { "type": "container_file_put", id: string, directory: string, name: string, upload: number, part: string, last: boolean, } | { "type": "container_logs_save", id: string, to: string | null, } | { "type": "container_inspect", id: string, } | { "type": "image_remove", id: string, force: boolean, } | { "type": "image", command: ImageCommand, } | { "type": "registry", command: RegistryCommand, } | { "type": "reach", command: ReachCommand, } | { "type": "volume", command: VolumeCommand, } | { "type": "network", command: NetworkCommand, } | { "type": "job", command: JobCommand, } | { "type": "engine", command: EngineCommand, } | { "type": "upkeep", command: UpkeepCommand, } | { "type": "file_part", ticket: string, part: string, } | { "type": "url_open", url: string, } | { "type": "console_log_open" } | { "type": "console_log_tail", lines: number, } | { "type": "context_status" } | { "type": "context_create" };

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
compose_project: string | null, compose_service: string | null, 
/**
 * It is in the bin: stopped, renamed, and removed for good later.
 */
binned: Binned | null, };

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

export type DiskKind = "machine" | "computer";

/**
 * → `engines`, all of them
 */
export type EngineCommand = { "type": "add", entry: EngineEntry, } | { "type": "remove", name: string, } | { "type": "choose", name: string | null, } | { "type": "find" };

export type EngineEntry = { 
/**
 * Unique; shown.
 */
name: string, 
/**
 * `unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port][/path/to/docker.sock]`
 */
address: string, tls: EngineTls | null, };

/**
 * Client certificates for `tcp://` with TLS: paths on this computer.
 */
export type EngineTls = { ca: string, cert: string, key: string, };

/**
 * Cubby's own machine is always there and not in `others`.
 */
export type Engines = { others: Array<EngineEntry>, 
/**
 * Name of the one in use; absent: Cubby's own machine.
 */
chosen: string | null, };

export type EnvVar = { name: string, value: string, };

/**
 * A code exists only if the UI acts on it; everything else is [`ErrorCode::Failed`].
 */
export type ErrorCode = "machine_off" | "not_found" | "port_taken" | "name_taken" | "image_in_use" | "failed";

export type Event = { "type": "machine", machine: MachineState, } | { "type": "container", container: Container, } | { "type": "container_removed", id: string, } | { "type": "containers", containers: Array<Container>, } | { "type": "images", images: Array<Image>, } | { "type": "volumes", volumes: Array<Volume>, } | { "type": "networks", networks: Array<Network>, } | { "type": "job", job: Job, } | { "type": "job_removed", id: number, } | { "type": "engines", engines: Engines, } | { "type": "news", news: News, };

/**
 * Sampled while somebody looks: an item of the stream that `open_figures` opens.
 */
export type Figures = { cpus: number, 
/**
 * The guest's own view.
 */
memory_total_bytes: number, memory_used_bytes: number, 
/**
 * Caches: given back once nothing runs.
 */
memory_reclaimable_bytes: number, 
/**
 * Nobody has it.
 */
memory_free_bytes: number, engine_resident_bytes: number, disk_total_bytes: number, disk_used_bytes: number, 
/**
 * What the host really gives: the hypervisor's resident memory and the disk image's allocated blocks.
 */
host_memory_bytes: number | null, host_disk_bytes: number | null, };

/**
 * Since the container was created, on the container's own layer (not in volumes).
 */
export type FileChange = "added" | "changed" | "deleted";

/**
 * The beginning of a file.
 */
export type FileContent = { 
/**
 * Absent when it is not text.
 */
text: string | null, size_bytes: number, 
/**
 * There is more than `text` shows.
 */
cut: boolean, };

export type FileEntry = { name: string, kind: FileKind, size_bytes: number, 
/**
 * Permission bits.
 */
mode: number, modified_unix_ms: number | null, link_target: string | null, 
/**
 * A directory is `changed` when something below it is.
 */
change: FileChange | null, };

export type FileKind = "directory" | "file" | "link" | "other";

export type FileListing = { 
/**
 * Absolute, without a slash at the end.
 */
path: string, 
/**
 * Directories first, then by name; deleted ones included.
 */
entries: Array<FileEntry>, 
/**
 * The directory was too large to be read to its end.
 */
cut: boolean, 
/**
 * Files changed since the container was created, everywhere in it.
 */
changes_total: number, };

/**
 * A file on this computer that work reads.
 */
export type FileSource = { "type": "path", path: string, } | { "type": "upload", ticket: string, };

/**
 * Where work writes a file.
 */
export type FileTarget = { "type": "path", path: string, } | { "type": "downloads", name: string, };

/**
 * A guest image: its version, and the beginning of its id, as builds of one version differ.
 */
export type GuestVersion = { version: string, id: string, };

export type Health = "starting" | "healthy" | "unhealthy";

export type Held = { memory_bytes: number, disk_bytes: number, };

/**
 * To the UI.
 */
export type HostMessage = { "type": "reply", id: number, reply: Reply, } | { "type": "error", id: number, error: AppError, } | { "type": "snapshot", snapshot: Snapshot, } | { "type": "changes", changes: Array<Change>, } | { "type": "go", place: string, } | { "type": "stream", stream: number, item: StreamItem, weight: number, };

export type Image = { 
/**
 * `sha256:…`
 */
id: string, 
/**
 * `name:tag`, as Docker shows them; empty for an image without a name.
 */
tags: Array<string>, 
/**
 * With everything it shares with others.
 */
size_bytes: number, 
/**
 * Of it, what other images have, too; absent when the engine does not tell.
 */
shared_bytes: number | null, created_unix_ms: number, 
/**
 * Ids of the containers made from it, stopped ones included.
 */
used_by: Array<string>, 
/**
 * Ports that the image says it listens on (`EXPOSE`).
 */
exposed: Array<number>, 
/**
 * Where the image says that it keeps data (`VOLUME`).
 */
volumes: Array<string>, architecture: string | null, 
/**
 * It is in the bin; its names are those it had.
 */
binned: Kept | null, };

export type ImageCommand = { "type": "pull", name: string, } | { "type": "push", name: string, } | { "type": "tag", id: string, name: string, } | { "type": "untag", name: string, } | { "type": "bin", id: string, } | { "type": "restore", id: string, } | { "type": "empty_bin" } | { "type": "prune_preview", all: boolean, } | { "type": "prune", all: boolean, } | { "type": "save", names: Array<string>, to: FileTarget, } | { "type": "load", from: FileSource, } | { "type": "layers", id: string, } | { "type": "search", term: string, };

export type ImageFound = { name: string, description: string, official: boolean, stars: number, };

/**
 * One step of the build that made the image.
 */
export type ImageLayer = { 
/**
 * Of the layer's contents; absent for steps that wrote no file, and where the engine does not tell.
 */
id: string | null, command: string, size_bytes: number, created_unix_ms: number, comment: string, 
/**
 * What it changes, in the order of the paths and not all of it when that is much, where the engine tells.
 */
files: Array<LayerFile>, 
/**
 * How many there are in all.
 */
files_total: number, };

/**
 * What came of removing an image.
 */
export type ImageRemoved = { untagged: Array<string>, deleted: Array<string>, };

export type ImageReply = { "type": "done" } | { "type": "job", id: number, } | { "type": "removed", removed: ImageRemoved, } | { "type": "prune_preview", preview: PrunePreview, } | { "type": "pruned", bytes: number, } | { "type": "layers", layers: Array<ImageLayer>, } | { "type": "found", found: Array<ImageFound>, };

/**
 * The whole of it: sent whenever any part changes.
 */
export type Job = { id: number, kind: JobKind, 
/**
 * What it is about: an image's name, a file's.
 */
subject: string, state: JobState, steps: Array<JobStep>, current_bytes: number, total_bytes: number | null, 
/**
 * The last thing that was said about it, in the engine's words.
 */
message: string, 
/**
 * Set when it failed.
 */
error: AppError | null, started_unix_ms: number, finished_unix_ms: number | null, };

/**
 * → `done`
 */
export type JobCommand = { "type": "cancel", id: number, } | { "type": "dismiss", id: number, };

export type JobKind = "pull" | "push" | "save" | "load" | "export" | "import";

export type JobState = "running" | "done" | "failed" | "cancelled";

/**
 * One layer.
 */
export type JobStep = { 
/**
 * Short id of the layer.
 */
id: string, state: StepState, current_bytes: number, total_bytes: number | null, };

/**
 * When something went into the bin, and when it is removed for good unless the bin is full before.
 */
export type Kept = { at_unix_ms: number, until_unix_ms: number, };

export type LayerFile = { path: string, size_bytes: number, 
/**
 * It takes a file of an earlier layer away.
 */
removed: boolean, };

/**
 * Absent: the usual.
 */
export type Limits = { cpus: number | null, memory_mib: number | null, disk_gib: number | null, };

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

export type Login = { registry: string, user: string, store: LoginStore, };

/**
 * Where docker keeps a login on this computer.
 */
export type LoginStore = { "type": "helper", name: string, } | { "type": "file", path: string, };

/**
 * ```text
 * off ──▶ starting ──▶ running ──▶ stopping ──▶ off
 *             │            │           │
 *             └────────────┴───────────┴──▶ failed ──▶ starting
 * ```
 */
export type MachinePhase = "off" | "starting" | "running" | "stopping" | "failed";

/**
 * What can be chosen, and what is chosen.
 */
export type MachineSettings = { limits: Limits, 
/**
 * What holds where nothing is chosen.
 */
usual: Limits, 
/**
 * What this computer has.
 */
host_cpus: number, host_memory_mib: number, 
/**
 * Folders of this computer that containers may mount.
 */
shared_folders: Array<string>, 
/**
 * The machine starts when its user logs in; absent: not known here.
 */
autostart: boolean | null, };

/**
 * The whole of it: sent whenever any part changes.
 */
export type MachineState = { phase: MachinePhase, 
/**
 * Paused because nobody uses it; the first connection wakes it. Only while `phase` is `running`.
 */
sleeping?: boolean, 
/**
 * An answer is late. Nothing that is open ends of it, and what is known may be old; it goes by itself when an answer comes. Only
 * of engines across a network.
 */
silent?: boolean, 
/**
 * What the user should know although the machine works: an upgrade that was taken back, for example.
 */
notice?: string, 
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

export type Member = { 
/**
 * Container id.
 */
id: string, name: string, address: string, };

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

/**
 * A place in the container that is kept elsewhere.
 */
export type MountRequest = { kind: MountKind, 
/**
 * Volume name (empty: an unnamed one), folder of the host, empty for tmpfs.
 */
source: string, target: string, read_only: boolean, };

export type Network = { id: string, name: string, driver: string, 
/**
 * Without a way to the outside.
 */
internal: boolean, ipv6: boolean, 
/**
 * `172.17.0.0/16`
 */
subnets: Array<string>, gateways: Array<string>, created_unix_ms: number, compose_project: string | null, 
/**
 * `bridge`, `host`, `none`: always there.
 */
builtin: boolean, members: Array<Member>, };

export type NetworkCommand = { "type": "create", name: string, subnet: string | null, internal: boolean, ipv6: boolean, } | { "type": "remove", id: string, } | { "type": "connect", id: string, container: string, } | { "type": "disconnect", id: string, container: string, } | { "type": "prune_preview" } | { "type": "prune" };

export type NetworkReply = { "type": "done" } | { "type": "prune_preview", preview: PrunePreview, } | { "type": "pruned", names: Array<string>, };

export type News = { id: number, at_unix_ms: number, what: NewsKind, };

export type NewsKind = { "type": "container_died", container: string, name: string, reason: StopReason, } | { "type": "container_unhealthy", container: string, name: string, } | { "type": "machine_restarted" } | { "type": "machine_failed", title: string, } | { "type": "disk_nearly_full", disk: DiskKind, free_bytes: number, total_bytes: number, } | { "type": "job_done", job: JobKind, subject: string, } | { "type": "job_failed", job: JobKind, subject: string, detail: string, };

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
export type PortRequest = { container_port: number, protocol: Protocol, host_port: number | null, 
/**
 * Absent: every address of this computer.
 */
host_ip?: string | null, };

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

/**
 * `docker top`: a title for each column, then the rows.
 */
export type ProcessTable = { titles: Array<string>, rows: Array<Array<string>>, };

export type Protocol = "tcp" | "udp" | "sctp";

export type PruneItem = { id: string, name: string, 
/**
 * What its removal alone would free.
 */
bytes: number | null, };

/**
 * What would go, and how much comes back.
 */
export type PrunePreview = { items: Array<PruneItem>, 
/**
 * At least this much.
 */
bytes: number, };

/**
 * What is set; empty: nothing. A proxy's password is never given out: `xxxxx:xxxxx@` stands in its place.
 */
export type Reach = { http_proxy: string, https_proxy: string, 
/**
 * Hosts, domains and networks without proxy, separated by commas.
 */
no_proxy: string, 
/**
 * Of Docker Hub, tried in order.
 */
mirrors: Array<string>, 
/**
 * Registries that are spoken to without TLS, or with a certificate that nobody vouches for.
 */
insecure: Array<string>, };

/**
 * → `reach`
 */
export type ReachCommand = { "type": "show" } | { "type": "set", reach: Reach, } | { "type": "trust", host: string, from: FileSource, } | { "type": "distrust", host: string, };

/**
 * → `logins`, all of them
 */
export type RegistryCommand = { "type": "list" } | { "type": "login", registry: string, user: string, secret: Secret, } | { "type": "logout", registry: string, };

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

export type Reply = { "type": "done" } | { "type": "snapshot", snapshot: Snapshot, } | { "type": "container", container: ContainerRef, } | { "type": "removal", removal: Removal, } | { "type": "image_removed", removed: ImageRemoved, } | { "type": "text", text: string, } | { "type": "recipe", run: RunContainer, } | { "type": "files", listing: FileListing, } | { "type": "file", file: FileContent, } | { "type": "context", context: ContextStatus, } | { "type": "image", reply: ImageReply, } | { "type": "logins", logins: Array<Login>, } | { "type": "reach", reach: Reach, trusted: Array<string>, } | { "type": "volume", reply: VolumeReply, } | { "type": "network", reply: NetworkReply, } | { "type": "engines", engines: Engines, } | { "type": "upkeep", reply: UpkeepReply, };

/**
 * Create and start. Absent and empty fields take the image's own settings.
 */
export type RunContainer = { image: string, name: string | null, ports: Array<PortRequest>, 
/**
 * Every port that the image exposes gets a free door (`-P`).
 */
publish_all: boolean, env: Array<EnvVar>, 
/**
 * Empty: the image's command.
 */
command: Array<string>, 
/**
 * Absent: the image's; one empty word: none.
 */
entrypoint: Array<string> | null, mounts: Array<MountRequest>, memory_bytes: number | null, cpus: number | null, pids_limit: number | null, shm_bytes: number | null, 
/**
 * Docker's name: `no`, `always`, `unless-stopped`, `on-failure`.
 */
restart: string | null, 
/**
 * For `on-failure`; absent: without end.
 */
restart_retries: number | null, 
/**
 * Docker's network mode: a name, `host`, `none`, `container:…`.
 */
network: string | null, network_aliases: Array<string>, hostname: string | null, user: string | null, workdir: string | null, labels: Array<EnvVar>, tty: boolean, interactive: boolean, init: boolean, 
/**
 * Removed by the engine when it ends (`--rm`).
 */
auto_remove: boolean, read_only: boolean, privileged: boolean, cap_add: Array<string>, cap_drop: Array<string>, 
/**
 * `/dev/x[:/dev/y[:rwm]]`
 */
devices: Array<string>, security_opt: Array<string>, group_add: Array<string>, dns: Array<string>, 
/**
 * `name:address`
 */
extra_hosts: Array<string>, pid_mode: string | null, ipc_mode: string | null, sysctls: Array<EnvVar>, 
/**
 * `nofile=1024:2048`
 */
ulimits: Array<string>, stop_signal: string | null, stop_timeout_s: number | null, 
/**
 * `linux/amd64`
 */
platform: string | null, 
/**
 * A shell line that says whether it is well; `NONE` switches the image's own off.
 */
health_command: string | null, };

export type Secret = string;

export type ShellCommand = { "type": "painted", first_paint_unix_ms: number, interactive_unix_ms: number, } | { "type": "pick_file", extensions: Array<string>, } | { "type": "pick_target", name: string, } | { "type": "pick_folder" } | { "type": "set_words", words: { [key in string]: string }, } | { "type": "set_notifies", on: boolean, } | { "type": "at_login" } | { "type": "set_at_login", on: boolean, };

export type ShellReply = { "type": "done" } | { "type": "path", path: string | null, } | { "type": "at_login", on: boolean | null, };

/**
 * Everything the UI shows, at one revision.
 */
export type Snapshot = { revision: number, machine: MachineState, containers: Array<Container>, images: Array<Image>, volumes: Array<Volume>, networks: Array<Network>, jobs: Array<Job>, engines: Engines, app_version: string, };

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
 * One moment. Rates are since the sample before.
 */
export type StatsSample = { at_unix_ms: number, 
/**
 * 100 is one processor fully used.
 */
cpu_percent: number, cpus: number, 
/**
 * Without what the kernel can drop at once (inactive page cache), as `docker stats` counts.
 */
memory_bytes: number, memory_limit_bytes: number, received_bytes_per_s: number, sent_bytes_per_s: number, read_bytes_per_s: number, written_bytes_per_s: number, processes: number, };

export type StepState = "waiting" | "transferring" | "transferred" | "unpacking" | "done" | "present";

/**
 * Why a container is not running, as far as the host can tell. The UI has a sentence for each.
 */
export type StopReason = { "type": "not_started" } | { "type": "finished" } | { "type": "failed", exit_code: number, } | { "type": "out_of_memory" } | { "type": "stopped" } | { "type": "signal", signal: number, } | { "type": "program_not_found" } | { "type": "program_not_executable" } | { "type": "start_failed", detail: string, } | { "type": "machine_stopped" };

/**
 * What a stream yields. Terminal bytes travel as a binary message of their own, not as one of these.
 */
export type StreamItem = { "type": "logs", chunk: LogChunk, } | { "type": "figures", figures: Figures, } | { "type": "stats", sample: StatsSample, } | { "type": "processes", table: ProcessTable, } | { "type": "ended", exit_code: number | null, } | { "type": "broken", error: AppError, };

/**
 * What the UI sends into a terminal.
 */
export type TerminalInput = { "type": "text", text: string, } | { "type": "resize", columns: number, rows: number, };

export type UpkeepCommand = { "type": "settings" } | { "type": "set_limits", limits: Limits, } | { "type": "set_shared_folders", folders: Array<string> | null, } | { "type": "set_autostart", on: boolean, } | { "type": "examine" } | { "type": "usage" } | { "type": "give_back" } | { "type": "support_bundle", to: FileTarget, } | { "type": "export", to: FileTarget, } | { "type": "import", from: FileSource, } | { "type": "reset" } | { "type": "versions" };

export type UpkeepReply = { "type": "settings", settings: MachineSettings, } | { "type": "checks", checks: Array<Check>, } | { "type": "usage", usage: Usage, } | { "type": "gave_back", before: Held, after: Held, } | { "type": "saved", place: string, } | { "type": "done" } | { "type": "job", id: number, } | { "type": "versions", versions: Versions, };

export type Usage = { 
/**
 * Running containers.
 */
memory: Array<UsageItem>, 
/**
 * What each has for itself; layers that several images share are one item without an id.
 */
disk: Array<UsageItem>, };

/**
 * Something that takes memory or disk.
 */
export type UsageItem = { kind: UsageKind, id: string, name: string, bytes: number, };

export type UsageKind = "image" | "container" | "volume" | "build_cache";

/**
 * What is here, and what happened to the last upgrade. Nothing of it comes from the network.
 */
export type Versions = { app: string, 
/**
 * Of the background process; another one than the app's until it is started anew.
 */
daemon: string | null, 
/**
 * That came with this installation.
 */
installed: GuestVersion | null, 
/**
 * The last one that worked here; it boots when the installed one fails.
 */
good: GuestVersion | null, 
/**
 * The installed one has been booted and has not yet proved itself.
 */
on_trial: boolean, 
/**
 * The one that failed its trial, and why.
 */
taken_back: GuestVersion | null, taken_back_why: string, data_format: number, 
/**
 * Markdown.
 */
changelog: string, };

export type Volume = { name: string, driver: string, created_unix_ms: number, 
/**
 * Made without a name of its own.
 */
anonymous: boolean, compose_project: string | null, labels: Array<[string, string]>, 
/**
 * It is in the bin, under its own name.
 */
binned: Kept | null, };

export type VolumeCommand = { "type": "create", name: string, labels: Array<[string, string]>, } | { "type": "remove", name: string, } | { "type": "bin", name: string, } | { "type": "restore", name: string, } | { "type": "empty_bin" } | { "type": "sizes" } | { "type": "prune_preview", all: boolean, } | { "type": "prune", all: boolean, } | { "type": "files", name: string, path: string, } | { "type": "read", name: string, path: string, } | { "type": "save", name: string, path: string, to: string | null, };

export type VolumeReply = { "type": "done" } | { "type": "volume", volume: Volume, } | { "type": "sizes", sizes: Array<VolumeSize>, } | { "type": "prune_preview", preview: PrunePreview, } | { "type": "pruned", bytes: number, } | { "type": "files", listing: FileListing, } | { "type": "file", file: FileContent, } | { "type": "saved", place: string, };

export type VolumeSize = { name: string, 
/**
 * Absent when the engine cannot tell.
 */
bytes: number | null, };
