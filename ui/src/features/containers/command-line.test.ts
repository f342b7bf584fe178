import { expect, it } from "vitest";
import { dockerRun } from "./command-line";

it("writes the docker line with shell quoting", () => {
  const line = dockerRun({
    image: "cubby/hello:1",
    name: "my app",
    ports: [{ container_port: 80, protocol: "tcp", host_port: 8080 }, { container_port: 53, protocol: "udp", host_port: null }],
    env: [{ name: "GREETING", value: "it's me; $HOME" }],
    command: [],
  });
  expect(line).toBe(`docker run -d --name 'my app' -p 8080:80 -p 53/udp -e 'GREETING=it'\\''s me; $HOME' cubby/hello:1`);
});
