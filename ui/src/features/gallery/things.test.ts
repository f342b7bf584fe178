import { describe, expect, it } from "vitest";
import { dangers } from "../run/dangers";
import { hintOf } from "../run/hints";
import { THINGS, runOf } from "./things";

const run = (name: string, taken: string[] = [], free = false) => {
  const thing = THINGS.find((one) => one.name === name);
  if (!thing) throw new Error(name);
  return runOf(thing, new Set(taken), () => "secret", free);
};

describe("things to try", () => {
  it.each(THINGS)("$name has what it needs and harms nobody", (thing) => {
    const made = run(thing.name);
    expect(dangers(made)).toEqual([]);
    expect(made.ports.every((port) => port.host_ip === "127.0.0.1")).toBe(true);
    const hint = hintOf(thing.image);
    expect(made.env.map(({ name }) => name)).toEqual(expect.arrayContaining([...(hint?.env ?? [])]));
    if (hint?.data) expect(made.mounts.map(({ target }) => target)).toEqual([hint.data]);
  });

  it("takes another name where one is taken, its data with it", () => {
    const made = run("postgres", ["postgres", "postgres-2"]);
    expect([made.name, made.mounts[0]?.source, made.ports[0]?.host_port]).toEqual(["postgres-3", "postgres-3-data", 5432]);
  });

  it("takes any port where the usual one is taken", () => expect(run("redis", [], true).ports[0]?.host_port).toBeNull());
});
