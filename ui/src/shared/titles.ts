// What the host says failed, in the reader's language; what is not in the catalogue is shown as it came.

import { en } from "./i18n/en";
import { t, type Key } from "./i18n";

const PREFIX = "title:";
const HOLE = "{name}";
/** Those about a name, which may be anything. */
const NAMED = (Object.keys(en) as Key[]).filter((key) => key.startsWith(PREFIX) && key.includes(HOLE)).map((key) => [key.slice(PREFIX.length + HOLE.length), key] as const);

export function titled(title: string): string {
  const key = `${PREFIX}${title}`;
  if (Object.hasOwn(en, key)) return t(key as Key);
  // The longest end first: one may end as another does.
  const named = NAMED.filter(([end]) => title.endsWith(end)).sort(([a], [b]) => b.length - a.length)[0];
  return named ? t(named[1], { name: title.slice(0, -named[0].length) }) : title;
}
