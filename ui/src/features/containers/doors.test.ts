import { expect, it } from "vitest";
import type { Container, Port } from "../../bindings/schema";
import { openDoors } from "./doors";

const port = (host_port: number | null, host_ip: string, protocol: Port["protocol"] = "tcp"): Port => ({ container_port: 80, protocol, host_ip, host_port, url: null });

it("lists published ports by number, each once", () => {
  const web = { id: "w", ports: [port(8080, "0.0.0.0"), port(8080, "::"), port(null, "")] } as unknown as Container;
  const dns = { id: "d", ports: [port(53, "0.0.0.0", "udp"), port(53, "0.0.0.0")] } as unknown as Container;
  expect(openDoors([web, dns]).map((door) => door.key)).toEqual(["53/udp d", "53/tcp d", "8080/tcp w"]);
});
