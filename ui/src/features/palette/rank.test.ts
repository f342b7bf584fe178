import { describe, expect, it } from "vitest";
import { matchingVerbs } from "./rank";
import type { Near } from "./verbs";

const verb = (label: string, near?: Near, always = false) => ({ label, always, ...(near === undefined ? {} : { near }) });
const labels = (query: string, ...list: ReturnType<typeof verb>[]) => matchingVerbs(list, query).map(({ label }) => label);

describe("matchingVerbs", () => {
  it("puts what begins with the letters before what has them inside, and containers before settings", () => {
    const found = labels("st", verb("Settings: System"), verb("Settings: Start at login", 4), verb("Machine: Stop"), verb("web: Stop", 1), verb("cache: Restart", 1), verb("store: Logs", 1), verb("db: Start", 0));
    expect(found).toEqual(["db: Start", "web: Stop", "Machine: Stop", "Settings: Start at login", "store: Logs", "cache: Restart", "Settings: System"]);
  });

  it("puts a container that is named first, verb and name in any order", () => {
    const list = [verb("web-backup: Stop", 1), verb("other: Stop", 0), verb("web: Stop", 1)];
    expect(labels("stop web", ...list)).toEqual(["web: Stop", "web-backup: Stop"]);
    expect(labels("web st", ...list)).toEqual(["web: Stop", "web-backup: Stop"]);
  });

  it("keeps the order without a word, but for the thing on the page", () => {
    expect(labels("", verb("Run an app"), verb("a: Stop", 1), verb("Settings: Dark", 4), verb("b: Stop", 0))).toEqual(["b: Stop", "Run an app", "a: Stop", "Settings: Dark"]);
  });

  it("shows first what was typed as a whole command", () => {
    expect(labels("pull redis", verb("web: Stop", 1), verb("Fetch redis", undefined, true))).toEqual(["Fetch redis"]);
  });

  it("knows the docker command's word in every language", () => {
    expect(matchingVerbs([{ label: "web: 日志", also: "logs" }, { label: "web: 停止", also: "stop" }], "st").map(({ label }) => label)).toEqual(["web: 停止"]);
  });

  it("fits languages without spaces and names with signs", () => {
    expect(labels("停", verb("web: 停止", 1))).toEqual(["web: 停止"]);
    expect(labels("a.b[", verb("a.b[c: Stop", 1))).toEqual(["a.b[c: Stop"]);
  });
});
