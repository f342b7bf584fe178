// Paths inside a container, and rights as `ls` writes them.

export function join(directory: string, name: string): string {
  return `${directory === "/" ? "" : directory}/${name}`;
}

export function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** The way down: each folder with its path. */
export function crumbs(path: string): { name: string; path: string }[] {
  const names = path.split("/").filter(Boolean);
  return names.map((name, at) => ({ name, path: `/${names.slice(0, at + 1).join("/")}` }));
}

/** `rwxr-xr-x` */
export function rights(mode: number): string {
  return [6, 3, 0].map((shift) => ["r", "w", "x"].map((letter, at) => ((mode >> shift) & (4 >> at) ? letter : "-")).join("")).join("");
}
