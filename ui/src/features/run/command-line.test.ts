import { expect, it } from "vitest";
import { dockerRun, dockerRunLines, otherFlags } from "./command-line";
import { emptyRun } from "./spec";

it("writes the docker line with shell quoting", () => {
  const line = dockerRun({
    ...emptyRun("cubby/hello:1"),
    name: "my app",
    ports: [{ container_port: 80, protocol: "tcp", host_port: 8080 }, { container_port: 53, protocol: "udp", host_port: null }],
    env: [{ name: "GREETING", value: "it's me; $HOME" }],
  });
  expect(line).toBe(`docker run -d --name 'my app' -p 8080:80 -p 53/udp -e 'GREETING=it'\\''s me; $HOME' cubby/hello:1`);
});

it("puts a flag on each line when there are many", () => {
  const run = { ...emptyRun("web"), name: "w", restart: "always", init: true, command: ["serve", "a b"] };
  expect(dockerRunLines(run)).toBe("docker run -d \\\n  --name w \\\n  --init \\\n  --restart always \\\n  web serve 'a b'");
});

it("tells what has no field of its own in the form", () => {
  expect(otherFlags({ ...emptyRun("web"), name: "w", privileged: true, dns: ["1.1.1.1"], memory_bytes: 1024 })).toBe("--privileged --dns 1.1.1.1");
});
