// An exit code in plain words.

import { t, type Key } from "../../shared/i18n";

const KNOWN = [0, 1, 2, 125, 126, 127, 130, 134, 137, 139, 143, 255];

export function exitWords(code: number): string {
  return t((KNOWN.includes(code) ? `exit.${code}` : "exit.other") as Key);
}
