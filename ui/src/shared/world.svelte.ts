// Everything the pages show, as the host last told it. Only the client writes here.

import type { Container, Engines, Image, Job, MachineState, Network, News, Snapshot, Volume } from "../bindings/schema";
import type { EventOf, Watcher } from "./client";

export type Link = "connecting" | "open" | "lost";

export class World implements Watcher {
  link = $state<Link>("connecting");
  /** Why the host cannot be reached, where the platform knows. */
  lostReason = $state("");
  machine = $state.raw<MachineState | null>(null);
  /** The engine went away by itself: the rows are those from before, kept so that nobody's page is taken from under their hands. */
  stale = $state(false);
  /** An answer is late: it may be cut off, or only slow. Nothing is taken away for it. */
  silent: boolean = $derived(this.machine?.silent === true);
  /** How often it came back: what follows a container looks again. */
  returns = $state(0);
  /** Newest first. A change replaces the array and the row, never a row's insides. */
  private rows = $state.raw<readonly Container[]>([]);
  containers: readonly Container[] = $derived(without(this.rows));
  /** Removed, and not yet for good. */
  bin: readonly Container[] = $derived(this.rows.filter((row) => row.binned));
  private allImages = $state.raw<readonly Image[]>([]);
  images: readonly Image[] = $derived(without(this.allImages));
  imageBin: readonly Image[] = $derived(this.allImages.filter((image) => image.binned));
  private allVolumes = $state.raw<readonly Volume[]>([]);
  volumes: readonly Volume[] = $derived(without(this.allVolumes));
  volumeBin: readonly Volume[] = $derived(this.allVolumes.filter((volume) => volume.binned));
  networks = $state.raw<readonly Network[]>([]);
  /** Oldest first. */
  jobs = $state.raw<readonly Job[]>([]);
  engines = $state.raw<Engines>({ others: [], chosen: null });
  appVersion = $state("");
  /** Told of every change of a container's state, for announcements. */
  onState: ((before: Container | undefined, after: Container | undefined) => void) | undefined;

  /** The engine went away by itself. */
  onLoss: (() => void) | undefined;

  onJobEnd: ((job: Job) => void) | undefined;
  onNews: ((news: News) => void) | undefined;

  /** The user chose a place outside the page. */
  onGo: ((place: string) => void) | undefined;

  onSnapshot: ((snapshot: Snapshot) => void) | undefined;

  opened(): void {
    this.link = "open";
  }

  lost(reason: string): void {
    this.link = "lost";
    this.lostReason = reason;
  }

  go(place: string): void {
    this.onGo?.(place);
  }

  snapshot(snapshot: Snapshot): void {
    this.machineIs(snapshot.machine);
    if (!this.keeps(snapshot.containers)) this.rowsAre(snapshot.containers);
    if (!this.keeps(snapshot.images)) this.allImages = snapshot.images;
    if (!this.keeps(snapshot.volumes)) this.allVolumes = snapshot.volumes;
    if (!this.keeps(snapshot.networks)) this.networks = snapshot.networks;
    this.jobs = snapshot.jobs;
    this.engines = snapshot.engines;
    this.appVersion = snapshot.app_version;
    this.onSnapshot?.(snapshot);
  }

  changes(events: EventOf[]): void {
    let rows: Container[] | undefined;
    const edit = () => (rows ??= [...this.rows]);
    for (const event of events) {
      switch (event.type) {
        case "machine":
          if (rows) this.rows = rows;
          rows = undefined;
          this.machineIs(event.machine);
          break;
        case "images":
          if (!this.keeps(event.images)) this.allImages = event.images;
          break;
        case "volumes":
          if (!this.keeps(event.volumes)) this.allVolumes = event.volumes;
          break;
        case "networks":
          if (!this.keeps(event.networks)) this.networks = event.networks;
          break;
        case "engines":
          this.engines = event.engines;
          break;
        case "job":
          if (event.job.state !== "running") this.onJobEnd?.(event.job);
          this.jobs = this.jobs.some((job) => job.id === event.job.id) ? this.jobs.map((job) => (job.id === event.job.id ? event.job : job)) : [...this.jobs, event.job];
          break;
        case "job_removed":
          this.jobs = this.jobs.filter((job) => job.id !== event.id);
          break;
        case "news":
          this.onNews?.(event.news);
          break;
        case "containers":
          rows = undefined;
          if (!this.keeps(event.containers)) this.rowsAre(event.containers);
          break;
        case "container":
          this.put(edit(), event.container);
          break;
        case "container_removed":
          this.drop(edit(), event.id);
          break;
      }
    }
    if (rows) this.rows = rows;
  }

  container(id: string): Container | undefined {
    return this.rows.find((container) => container.id === id);
  }

  /** Another engine's, or one that was switched off: nothing of before is true. */
  private machineIs(machine: MachineState): void {
    const other = this.machine !== null && this.machine.docker_host !== machine.docker_host;
    this.machine = machine;
    if (!other && !(this.stale && (machine.phase === "off" || machine.phase === "stopping"))) return;
    this.stale = false;
    [this.rows, this.allImages, this.allVolumes, this.networks] = [[], [], [], []];
  }

  /** Whether an empty list only says that nothing is known now. */
  private keeps(list: readonly unknown[]): boolean {
    const away = this.machine?.phase === "starting" || this.machine?.phase === "failed";
    const keeps = away && list.length === 0 && this.rows.length + this.allImages.length + this.allVolumes.length > 0;
    if (keeps && !this.stale) this.onLoss?.();
    if (keeps) this.stale = true;
    return keeps;
  }

  private rowsAre(containers: readonly Container[]): void {
    this.rows = newestFirst(containers);
    if (!this.stale) return;
    this.stale = false;
    this.returns++;
  }

  private put(rows: Container[], container: Container): void {
    const at = rows.findIndex((row) => row.id === container.id);
    if (at >= 0) {
      const before = rows[at];
      rows[at] = container;
      if (before?.state !== container.state) this.onState?.(before, container);
      return;
    }
    const place = rows.findIndex((row) => row.created_unix_ms <= container.created_unix_ms);
    rows.splice(place < 0 ? rows.length : place, 0, container);
    this.onState?.(undefined, container);
  }

  private drop(rows: Container[], id: string): void {
    const at = rows.findIndex((row) => row.id === id);
    if (at < 0) return;
    const [gone] = rows.splice(at, 1);
    this.onState?.(gone, undefined);
  }
}

/** Those that are not in the bin; the same array when none is. */
function without<T extends { binned: object | null }>(rows: readonly T[]): readonly T[] {
  return rows.some((row) => row.binned) ? rows.filter((row) => !row.binned) : rows;
}

function newestFirst(containers: readonly Container[]): Container[] {
  return [...containers].sort((a, b) => b.created_unix_ms - a.created_unix_ms || a.name.localeCompare(b.name));
}
