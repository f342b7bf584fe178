// The list's rows: Compose projects first, each under its name, then what stands alone.

import type { Container, ContainerState } from "../../bindings/schema";

export type Row = { type: "group"; key: string; project: string | null; members: readonly Container[] } | { type: "container"; key: string; container: Container };
export type Show = "all" | "running" | "stopped" | "bin";
export type Sort = "newest" | "name" | "state";

export function matching(containers: readonly Container[], filter: string, show: Show = "all"): readonly Container[] {
  const needle = filter.trim().toLowerCase();
  if (!needle && (show === "all" || show === "bin")) return containers;
  const up = (container: Container) => container.state === "running" || container.state === "paused" || container.state === "restarting";
  return containers.filter(
    (container) =>
      (show === "all" || show === "bin" || up(container) === (show === "running")) &&
      (!needle || [container.name, container.image, container.compose_project ?? "", container.id].some((text) => text.toLowerCase().includes(needle))),
  );
}

const STATES: readonly ContainerState[] = ["running", "restarting", "paused", "removing", "created", "exited", "dead"];
const name = (container: Container) => container.compose_service ?? container.name;
const ORDERS: Record<Sort, (a: Container, b: Container) => number> = {
  newest: (a, b) => b.created_unix_ms - a.created_unix_ms || a.name.localeCompare(b.name),
  name: (a, b) => name(a).localeCompare(name(b)) || a.name.localeCompare(b.name),
  state: (a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || name(a).localeCompare(name(b)),
};

export function rows(containers: readonly Container[], sort: Sort = "newest"): Row[] {
  const projects = new Map<string, Container[]>();
  const loose: Container[] = [];
  for (const container of containers) {
    const project = container.compose_project;
    if (project === null) loose.push(container);
    else if (projects.has(project)) projects.get(project)?.push(container);
    else projects.set(project, [container]);
  }
  const row = (container: Container): Row => ({ type: "container", key: container.id, container });
  const out: Row[] = [];
  for (const [project, members] of [...projects].sort(([a], [b]) => a.localeCompare(b))) {
    // Services of a project by name, unless another order is wanted: they were all made at once.
    members.sort(ORDERS[sort === "newest" ? "name" : sort]);
    out.push({ type: "group", key: `project:${project}`, project, members }, ...members.map(row));
  }
  if (projects.size > 0 && loose.length > 0) out.push({ type: "group", key: "loose", project: null, members: loose });
  // They come newest first.
  if (sort !== "newest") loose.sort(ORDERS[sort]);
  out.push(...loose.map(row));
  return out;
}
