"""Exec: more processes in a container."""

from pictures import IMAGE
from tour import UPGRADE

import wire

MISSING = "contract-missing"


def run(tour, world):
    body = {"Image": IMAGE, "Cmd": ["sleep", "100000"]}
    tour.ask("POST", "/containers/create", 201, query={"name": "contract-exec"}, body=body)
    tour.ask("POST", "/containers/{id}/exec", 409, body={"Cmd": ["true"]}, id="contract-exec")
    tour.ask("POST", "/containers/{id}/exec", 404, body={"Cmd": ["true"]}, id=MISSING)
    tour.ask("POST", "/containers/{id}/start", 204, id="contract-exec")
    tour.ask("POST", "/containers/{id}/exec", 400, body={"Cmd": []}, id="contract-exec")
    framed(tour)
    terminal(tour)
    detached(tour)
    tour.ask("POST", "/exec/{id}/start", 404, body={}, id=MISSING)
    tour.ask("GET", "/exec/{id}/json", 404, id=MISSING)
    tour.ask("POST", "/exec/{id}/resize", 404, query={"h": 1, "w": 1}, id=MISSING)
    tour.ask("DELETE", "/containers/{id}", 204, query={"force": True}, id="contract-exec")


def create(tour, command, **more):
    body = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, **more}
    return tour.ask("POST", "/containers/{id}/exec", 201, body=body, id="contract-exec").json()["Id"]


def framed(tour):
    endpoint = ("POST", "/exec/{id}/start")
    made = create(tour, ["sh", "-c", "echo $A; echo err >&2; exit 4"], Env=["A=out"], User="0:0", WorkingDir="/tmp", Privileged=True)
    tour.ask("GET", "/exec/{id}/json", 200, id=made)
    ran = tour.ask(*endpoint, 200, body={"Detach": False, "Tty": False}, id=made, whole=False)
    said = sorted(wire.frames(ran.read()))
    tour.require(endpoint, said == [(1, b"out\n"), (2, b"err\n")], f"not what was said: {said}")
    # Frames all the same: only who asks to upgrade is told of them (postContainerExecStart).
    tour.require(endpoint, ran.type == "application/vnd.docker.raw-stream", f"content type {ran.type}")
    ran.close()
    found = tour.ask("GET", "/exec/{id}/json", 200, id=made).json()
    tour.require(("GET", "/exec/{id}/json"), found["ExitCode"] == 4, f"exit code {found['ExitCode']}")
    tour.ask(*endpoint, 409, body={}, id=made)
    inspected = tour.ask("GET", "/containers/{id}/json", 200, id="contract-exec").json()
    tour.require(("GET", "/containers/{id}/json"), "ExecIDs" in inspected, "no ExecIDs")


def terminal(tour):
    endpoint = ("POST", "/exec/{id}/start")
    made = create(tour, ["cat"], AttachStdin=True, Tty=True)
    size = {"h": 40, "w": 100}
    taken = tour.ask(*endpoint, 101, body={"Detach": False, "Tty": True}, headers=UPGRADE, id=made, whole=False)
    taken.send(b"hello\n")
    tour.require(endpoint, taken.read(14) == b"hello\r\nhello\r\n", "no terminal's echo")
    tour.ask("POST", "/exec/{id}/resize", 200, query=size, id=made)
    tour.ask("POST", "/exec/{id}/resize", 400, query={"h": "x", "w": 1}, id=made, wrong=True)
    tour.ask("GET", "/exec/{id}/json", 200, id=made)
    taken.send(b"\x04")
    tour.require(endpoint, taken.read() == b"", "more than the echo")
    taken.close()


def detached(tour):
    made = create(tour, ["true"])
    tour.ask("POST", "/exec/{id}/start", 200, body={"Detach": True}, id=made)
