// Sizes, durations and times in the reader's language.

import { language } from "./i18n";

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** Decimal units, as Docker prints them. */
export function bytes(size: number): string {
  let value = size;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit: UNITS[unit] ?? "byte",
    // Short it would be “5 byte”.
    unitDisplay: unit === 0 ? "long" : "short",
    maximumFractionDigits: unit < 2 || value >= 100 ? 0 : 1,
  }).format(value);
}

/** `0.4s`, `12s`, `3 min`; in a sentence `12 seconds`. */
export function duration(ms: number, inSentence = false): string {
  const number = (value: number, unit: string, digits: number) =>
    new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: inSentence ? "long" : unit === "second" ? "narrow" : "short", maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
  if (ms < 60_000) return number(ms / 1000, "second", ms < 9_950 ? 1 : 0);
  if (ms < 3_600_000) return number(Math.round(ms / 60_000), "minute", 0);
  if (ms < 172_800_000) return number(Math.round(ms / 3_600_000), "hour", 0);
  return number(Math.round(ms / 86_400_000), "day", 0);
}

/** `3 minutes ago`. */
export function ago(unixMs: number, now = Date.now()): string {
  const seconds = Math.round((unixMs - now) / 1000);
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const steps: [number, Intl.RelativeTimeFormatUnit][] = [[60, "second"], [60, "minute"], [24, "hour"], [30, "day"], [12, "month"]];
  let value = seconds;
  for (const [size, unit] of steps) {
    if (Math.abs(value) < size) return format.format(unit === "second" && Math.abs(value) < 5 ? 0 : value, unit);
    value = Math.round(value / size);
  }
  return format.format(value, "year");
}

export function clock(unixMs: number): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(unixMs);
}

const TWO = (value: number) => String(value).padStart(2, "0");

/** `14:03:09.120`, local time: what stands before a log line. */
export function stamp(unixMs: number): string {
  const at = new Date(unixMs);
  return `${TWO(at.getHours())}:${TWO(at.getMinutes())}:${TWO(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** Docker's short id. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
