// Words. Every text that a person reads comes from a catalogue; a missing key does not compile.

import { en } from "./en";

export type Key = keyof typeof en;
export type Catalogue = Record<Key, string>;
export type Words = Record<string, string | number>;

const LANGUAGES: Record<string, () => Promise<Catalogue>> = {
  de: async () => (await import("./de")).de,
  es: async () => (await import("./es")).es,
  ja: async () => (await import("./ja")).ja,
  zh: async () => (await import("./zh")).zh,
};

/** Whoever reads traditional characters is not given simplified ones. */
const OTHERS = /^zh-(TW|HK|MO|Hant)/i;
const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);

let words: Catalogue = en;
export let language = "en";
let plural = new Intl.PluralRules("en");

/** In their own words. */
export const LANGUAGE_NAMES: Record<string, string> = { en: "English", de: "Deutsch", es: "Español", zh: "简体中文", ja: "日本語" };

/** Before the first page is drawn. English is built in; others are loaded when wanted. */
export async function chooseLanguage(wanted: readonly string[]): Promise<void> {
  for (const tag of wanted) {
    const base = tag.split("-")[0] ?? "en";
    const load = LANGUAGES[base];
    if ((base !== "en" && !load) || OTHERS.test(tag)) continue;
    words = load ? await load() : en;
    language = base;
    plural = new Intl.PluralRules(base);
    document.documentElement.lang = base === "zh" ? "zh-Hans" : base;
    document.documentElement.dir = RIGHT_TO_LEFT.has(base) ? "rtl" : "ltr";
    return;
  }
}

/** `{name}` in the text is replaced by `params.name`. */
export function t(key: Key, params?: Words): string {
  return fill(words[key], params);
}

type PluralStem<K> = K extends `${infer Stem}_one` ? Stem : never;

/** The texts themselves, holes and all, for the shell, which fills them. */
export function wordsFor(keys: readonly Key[]): Record<string, string> {
  return Object.fromEntries(keys.map((key) => [key, words[key]]));
}

/** Picks `key_one` or `key_other` by the language's rules; `{n}` is the number. */
export function tn(stem: PluralStem<Key>, n: number, params?: Words): string {
  const key = `${stem}_${plural.select(n) === "one" ? "one" : "other"}` as Key;
  return fill(words[key], { n: new Intl.NumberFormat(language).format(n), ...params });
}

function fill(text: string, params: Words | undefined): string {
  if (!params) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}
