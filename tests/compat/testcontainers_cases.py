"""Testcontainers against the engine that DOCKER_HOST names; tests/README.md says how to run it."""

import os
import sys
import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

IMAGE = "cubby-test/busybox:latest"
SERVE = "sh -c 'mkdir /w; echo hello > /w/index.html; echo ready; httpd -f -p 80 -h /w'"


def ports_logs_and_exec():
    with DockerContainer(IMAGE).with_command(SERVE).with_exposed_ports(80).with_env("A", "b") as container:
        wait_for_logs(container, "ready", timeout=30)
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(80)}/"
        assert urllib.request.urlopen(url, timeout=30).read() == b"hello\n"
        assert container.exec(["sh", "-c", "echo $A; exit 3"]) == (3, b"b\n")
        assert b"ready" in container.get_logs()[0]


def names_on_a_network():
    with Network() as network:
        server = DockerContainer(IMAGE).with_command("httpd -f -p 80 -h /etc").with_network(network)
        client = DockerContainer(IMAGE).with_command("sleep 1000").with_network(network)
        with server.with_network_aliases("web"), client:
            assert client.exec(["wget", "-qO-", "http://web/passwd"]).exit_code == 0


if "--leave" in sys.argv:
    # Dies without cleaning up: the reaper has to.
    print(DockerContainer(IMAGE).with_command("sleep 1000").start().get_wrapped_container().id, flush=True)
    os._exit(0)
ports_logs_and_exec()
names_on_a_network()
print("2 passed, 0 failed")
