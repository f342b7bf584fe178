/// <reference types="vite/client" />
import { expect, it } from "vitest";
import { chooseLanguage } from "./i18n";
import { titled } from "./titles";

const HOST = import.meta.glob<string>(["../../../src-tauri/crates/host/src/{app,engine,schema}/**/*.rs", "!**/tests.rs"], { query: "?raw", import: "default", eager: true });
/** Where the host names what failed. */
const TITLES = /(?:AppError::failed\(|app_error\(|TITLE: &str = |title: |machine_failed\()(?:&?format!\()?"([A-Z{][^"]+)"/g;

it("has every title of the host in every language", async () => {
  Object.assign(globalThis, { document: { documentElement: {} } });
  const said = Object.values(HOST).flatMap((source) => [...(source.split("mod tests")[0] ?? "").matchAll(TITLES)].map((found) => found[1] ?? ""));
  expect(said.length).toBeGreaterThan(40);
  await chooseLanguage(["ja"]);
  const shown = said.filter((title) => !title.includes("{what}")).map((title) => title.replace(/^\{\w*\}/, "web"));
  expect(shown.filter((title) => titled(title) === title)).toEqual([]);
  await chooseLanguage(["de"]);
  expect(titled("web is back, but could not be started")).toBe("web ist wieder da, konnte aber nicht gestartet werden");
  expect(titled("nginx:1 could not be started")).toBe("nginx:1 konnte nicht gestartet werden");
  expect(titled("Something new")).toBe("Something new");
  await chooseLanguage(["en"]);
});
