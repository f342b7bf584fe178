// Sizes as Docker writes them, and the empty form.

export { emptyRun, type Run } from "../../shared/run";

const UNITS: Record<string, number> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** `512m`, `1.5g`, `1gb` as Docker reads them: powers of 1024. Undefined for anything else. */
export function sizeBytes(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim());
  const unit = UNITS[(found?.[2] ?? "").toLowerCase()];
  if (!found || unit === undefined) return undefined;
  const bytes = Math.round(Number(found[1]) * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest way to write it that loses nothing. */
export function sizeText(bytes: number): string {
  for (const [unit, size] of [["g", 1024 ** 3], ["m", 1024 ** 2], ["k", 1024]] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}b`;
}
