// The list's rows: Compose projects first, each under its name, then what stands alone.

import type { Container } from "../../bindings/schema";

export type Row = { type: "group"; key: string; project: string | null; count: number } | { type: "container"; key: string; container: Container };

export function matching(containers: readonly Container[], filter: string): readonly Container[] {
  const needle = filter.trim().toLowerCase();
  if (!needle) return containers;
  return containers.filter((container) =>
    [container.name, container.image, container.compose_project ?? "", container.id].some((text) => text.toLowerCase().includes(needle)),
  );
}

export function rows(containers: readonly Container[]): Row[] {
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
    out.push({ type: "group", key: `project:${project}`, project, count: members.length });
    out.push(...members.sort((a, b) => a.name.localeCompare(b.name)).map(row));
  }
  if (projects.size > 0 && loose.length > 0) out.push({ type: "group", key: "loose", project: null, count: loose.length });
  out.push(...loose.map(row));
  return out;
}
