import { expect, it } from "vitest";
import { chooseLanguage, language, LANGUAGE_NAMES, type Catalogue } from ".";
import { de } from "./de";
import { en } from "./en";
import { es } from "./es";
import { ja } from "./ja";
import { zh } from "./zh";

type Key = keyof typeof en;
const OTHERS: Record<string, Catalogue> = { de, es, ja, zh };
const keys = Object.keys(en) as Key[];
const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();
/** What is left when holes, names and code are out. */
const words = (text: string) => text.replace(/\{\w+\}|`[^`]*`/g, "").split(/[^\p{L}]+/u).filter((word) => word.length > 1);
/** Written the same everywhere: command lines. */
const CODE = /^(docker |-|[a-z]+=)/;

it("offers every language that it has, and no other", () => {
  expect(Object.keys(LANGUAGE_NAMES).sort()).toEqual(["en", ...Object.keys(OTHERS)].sort());
});

for (const [name, catalogue] of Object.entries(OTHERS)) {
  it(`has every key and every hole in ${name}`, () => {
    expect(Object.keys(catalogue).sort()).toEqual([...keys].sort());
    for (const key of keys) {
      expect(catalogue[key].trim(), key).not.toBe("");
      // The singular may spell the number out.
      if (!key.endsWith("_one")) expect(holes(catalogue[key]), key).toEqual(holes(en[key]));
    }
  });

  it(`is translated to ${name}`, () => {
    const same = keys.filter((key) => en[key] === catalogue[key] && words(en[key]).length > 2 && !CODE.test(en[key]));
    expect(same).toEqual([]);
  });
}

it("takes the first language that it knows, and does not mix up Chinese", async () => {
  const root = { lang: "", dir: "" };
  Object.assign(globalThis, { document: { documentElement: root } });
  await chooseLanguage(["fr-FR", "es-MX", "de"]);
  expect([language, root.lang, root.dir]).toEqual(["es", "es", "ltr"]);
  await chooseLanguage(["zh-TW", "ja"]);
  expect(language).toBe("ja");
  await chooseLanguage(["zh-CN"]);
  expect([language, root.lang]).toEqual(["zh", "zh-Hans"]);
  await chooseLanguage(["en-GB", "de"]);
  expect(language).toBe("en");
});
