import { describe, expect, it } from "vitest";
import { emptyRun } from "../run/spec";
import { asDocker, type Names } from "./docker";

const names: Names = { container: () => "my web", image: () => "redis:8", network: () => "back", engine: () => undefined, binned: { containers: [], images: [], volumes: [] } };

describe("asDocker", () => {
  it("names what people know, quoted for a shell", () => {
    expect(asDocker({ type: "container_stop", id: "4f1c" }, names)).toBe("docker stop 'my web'");
    expect(asDocker({ type: "container_run", run: { ...emptyRun("redis:8"), name: "cache" } }, names)).toBe("docker run -d --name cache redis:8");
    expect(asDocker({ type: "network", command: { type: "connect", id: "9", container: "4f1c" } }, names)).toBe("docker network connect back 'my web'");
    expect(asDocker({ type: "volume", command: { type: "create", name: "data", labels: [["a", "b c"]] } }, names)).toBe("docker volume create --label 'a=b c' data");
  });

  it("says that a removal is kept in the bin, which docker does not have", () => {
    expect(asDocker({ type: "container_bin", id: "4f1c", volumes: true }, names)).toMatch(/^docker rm -f -v 'my web' {2}# /);
    expect(asDocker({ type: "container_remove", id: "4f1c", volumes: false }, names)).toBe("docker rm -f 'my web'");
  });

  it("never has a password", () => {
    const line = asDocker({ type: "registry", command: { type: "login", registry: "r.example", user: "ada", secret: "hidden" } }, names);
    expect(line).toBe("docker login -u ada r.example");
  });

  it("has no line for what only looks", () => {
    expect(asDocker({ type: "container_inspect", id: "4f1c" }, names)).toBeNull();
    expect(asDocker({ type: "volume", command: { type: "sizes" } }, names)).toBeNull();
  });
});
