// JSON as rows of a tree: what is open, what matches, in the order in which it is shown.

export interface Row {
  path: string;
  depth: number;
  key: string;
  /** The value as text; of an object or list, how many things it has. */
  text: string;
  kind: "object" | "list" | "text" | "number" | "other";
  open: boolean;
  match: boolean;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const isBranch = (value: Json): value is Json[] | { [key: string]: Json } => typeof value === "object" && value !== null;
const entries = (value: Json): [string, Json][] => (isBranch(value) ? Object.entries(value) : []);

function leaf(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function matches(key: string, value: Json, query: string): boolean {
  return key.toLowerCase().includes(query) || (!isBranch(value) && leaf(value).toLowerCase().includes(query));
}

/** With a query: what matches, and what leads there. Without: what is open. */
export function rows(root: Json, open: ReadonlySet<string>, query: string): Row[] {
  const needle = query.trim().toLowerCase();
  const out: Row[] = [];
  const walk = (value: Json, path: string, depth: number): boolean => {
    let any = false;
    for (const [key, child] of entries(value)) {
      const childPath = `${path}/${key}`;
      const branch = isBranch(child);
      const match = needle !== "" && matches(key, child, needle);
      const shown = needle !== "" || open.has(childPath);
      const at = out.length;
      const text = branch ? String(entries(child).length) : leaf(child);
      const kind = Array.isArray(child) ? "list" : branch ? "object" : typeof child === "string" ? "text" : typeof child === "number" ? "number" : "other";
      out.push({ path: childPath, depth, key, text, kind, open: branch && shown, match });
      const below = branch && shown ? walk(child, childPath, depth + 1) : false;
      if (needle !== "" && !match && !below) out.length = at;
      else any = true;
    }
    return any;
  };
  walk(root, "", 0);
  return out;
}

/** Every branch down to a depth. */
export function branches(root: Json, depth: number): Set<string> {
  const found = new Set<string>();
  const walk = (value: Json, path: string, left: number) => {
    if (left === 0) return;
    for (const [key, child] of entries(value)) {
      if (!isBranch(child) || entries(child).length === 0) continue;
      found.add(`${path}/${key}`);
      walk(child, `${path}/${key}`, left - 1);
    }
  };
  walk(root, "", depth);
  return found;
}
