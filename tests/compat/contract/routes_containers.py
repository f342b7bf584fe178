"""Containers: their life, their streams, their files."""

import base64
import json
import os
import time

import wire
from pictures import IMAGE, archive
from place import address, until
from tour import UPGRADE, filters

MISSING = "contract-missing"
LABELS = {"contract": "1"}

# A bit of everything that inspect shows again.
RICH = {
    "Image": IMAGE, "Cmd": ["sh", "-c", "echo out; echo err >&2; exec sleep 100000"], "Env": ["A=b"], "Labels": LABELS,
    "Hostname": "rich", "WorkingDir": "/tmp", "StopSignal": "SIGTERM", "StopTimeout": 1, "ExposedPorts": {"81/udp": {}},
    "Volumes": {"/anonymous": {}}, "OpenStdin": True,
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 100000000, "Timeout": 60000000000, "Retries": 2, "StartPeriod": 0},
    "HostConfig": {
        "Memory": 67108864, "CpuShares": 512, "PidsLimit": 64, "Binds": ["contract-used:/data:ro"],
        "Tmpfs": {"/scratch": "size=1m"}, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}, "CapAdd": ["NET_ADMIN"], "CapDrop": ["MKNOD"],
        "Dns": ["192.0.2.1"], "ExtraHosts": ["there:192.0.2.2"], "ShmSize": 1048576, "Init": True,
        "Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 128}], "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "Mounts": [{"Type": "tmpfs", "Target": "/more", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}}],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "r"}],
        "Sysctls": {"net.ipv4.ip_forward": "0"}, "SecurityOpt": ["no-new-privileges"], "GroupAdd": ["7"],
    },
    "NetworkingConfig": {"EndpointsConfig": {"contract-net": {"Aliases": ["richly"], "IPAMConfig": {"IPv4Address": address(0, 9)}}}},
}


def run(tour, world):
    creation(tour)
    rich(tour)
    inside(tour)
    usage(tour)
    streams(tour)
    terminal(tour)
    files(tour)
    waiting(tour)
    endings(tour)


def create(tour, name, command, **more):
    body = {"Image": IMAGE, "Cmd": command, "Labels": LABELS, **more}
    tour.ask("POST", "/containers/create", 201, query={"name": name}, body=body)


def creation(tour):
    endpoint = ("POST", "/containers/create")
    create(tour, "contract-idle", ["true"])
    tour.ask(*endpoint, 409, query={"name": "contract-idle"}, body={"Image": IMAGE})
    tour.ask(*endpoint, 404, body={"Image": "contract/nothing:here"})
    tour.ask(*endpoint, 400, query={"name": "_"}, body={"Image": IMAGE})
    tour.ask(*endpoint, 400, body={"Image": IMAGE, "HostConfig": {"Memory": 1}})
    tour.ask(*endpoint, 400, body={"Image": 5}, wrong=True)
    tour.ask(*endpoint, 400, wrong=True)
    if tour.knows(*endpoint, "platform"):
        tour.ask(*endpoint, 400, query={"platform": "no/such/plat/form"}, body={"Image": IMAGE})


def rich(tour):
    """A container with much to show, in every state that lists and inspect can show it in."""
    network = {"Name": "contract-net", "IPAM": {"Config": [{"Subnet": address(0, 0) + "/24"}]}}
    tour.ask("POST", "/networks/create", 201, body=network)
    tour.ask("POST", "/containers/create", 201, query={"name": "contract-run"}, body=RICH)
    shown(tour, "created")
    tour.ask("POST", "/containers/{id}/start", 204, id="contract-run")
    tour.ask("POST", "/containers/{id}/start", 304, id="contract-run")
    tour.ask("POST", "/containers/{id}/start", 404, id=MISSING)
    until("a health check", lambda: inspect(tour, "contract-run").get("State", {}).get("Health", {}).get("Log"))
    shown(tour, "running")
    tour.ask("POST", "/containers/{id}/pause", 204, id="contract-run")
    tour.ask("POST", "/containers/{id}/pause", 409, id="contract-run")
    shown(tour, "paused")
    tour.ask("POST", "/containers/{id}/unpause", 204, id="contract-run")
    tour.ask("POST", "/containers/{id}/unpause", 500, id="contract-run")
    for verb in ("pause", "unpause"):
        tour.ask("POST", f"/containers/{{id}}/{verb}", 404, id=MISSING)
    update = {"Memory": 134217728, "MemorySwap": -1, "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}
    tour.ask("POST", "/containers/{id}/update", 200, id="contract-run", body=update)
    tour.ask("POST", "/containers/{id}/update", 404, id=MISSING, body=update)
    tour.ask("POST", "/containers/{id}/update", 400, id="contract-run", body={"Memory": 1})
    tour.ask("GET", "/containers/{id}/json", 404, id=MISSING)
    tour.ask("GET", "/containers/json", 400, query={"filters": "nonsense"})
    tour.ask("GET", "/containers/json", 400, query={"filters": filters(nonsense="1")})


def inspect(tour, name):
    return tour.ask("GET", "/containers/{id}/json", 200, id=name).json()


def shown(tour, state):
    found = tour.ask("GET", "/containers/{id}/json", 200, query={"size": True}, id="contract-run").json()
    tour.require(("GET", "/containers/{id}/json"), found["State"]["Status"] == state, f"{found['State']} is not {state}")
    query = {"all": True, "size": True, "limit": 5, "filters": filters(status=state, label="contract=1")}
    listed = tour.ask("GET", "/containers/json", 200, query=query).json()
    tour.require(("GET", "/containers/json"), any(row["Id"] == found["Id"] for row in listed), f"{state} is not listed")
    tour.ask("GET", "/containers/json", 200)


def inside(tour):
    top = tour.ask("GET", "/containers/{id}/top", 200, id="contract-run").json()
    tour.require(("GET", "/containers/{id}/top"), any("sleep" in " ".join(row) for row in top["Processes"]), f"no sleep: {top}")
    tour.ask("GET", "/containers/{id}/top", 200, query={"ps_args": "-eo pid,comm"}, id="contract-run")
    tour.ask("GET", "/containers/{id}/top", 404, id=MISSING)
    tour.ask("GET", "/containers/{id}/top", 409, id="contract-idle")
    endpoint = ("GET", "/containers/{id}/stats")
    once = {"one-shot": True}
    tour.ask(*endpoint, 200, query={"stream": False}, optional=once, id="contract-run")
    tour.ask(*endpoint, 200, query={"stream": False}, optional=once, id="contract-idle")
    stream = tour.ask(*endpoint, 200, query={"stream": True}, id="contract-run", whole=False)
    values = stream.lines()
    schema = tour.swagger.operations[endpoint]["responses"][200]["schema"]
    for value in (next(values), next(values)):
        for fault in tour.swagger.faults(schema, value):
            tour.fault(endpoint, 200, fault)
    stream.close()
    tour.ask(*endpoint, 404, query={"stream": False}, id=MISSING)


def usage(tour):
    endpoint = ("GET", "/system/df")
    found = tour.ask(*endpoint, 200).json()
    tour.require(endpoint, all(found[kind] for kind in ("Containers", "Images", "Volumes")), f"something is not counted: {found}")
    if tour.knows(*endpoint, "type"):
        for kind in ("container", "image", "volume", "build-cache"):
            tour.ask(*endpoint, 200, query={"type": [kind]})
        tour.ask(*endpoint, 400, query={"type": ["nonsense"]})


def streams(tour):
    """Logs and attach of a container without a terminal: frames."""
    endpoint = ("GET", "/containers/{id}/logs")
    both = {"stdout": True, "stderr": True}
    until("output", lambda: {one for one, _ in wire.frames(tour.ask(*endpoint, 200, query=both, id="contract-run").body)} == {1, 2})
    query = {**both, "timestamps": True, "tail": "1", "since": 0, "until": int(time.time()) + 60, "follow": False}
    last = wire.frames(tour.ask(*endpoint, 200, query=query, id="contract-run").body)
    tour.require(endpoint, len(last) == 1 and last[0][1][4:5] == b"-", f"not one line with its time: {last}")
    follow = tour.ask(*endpoint, 200, query={"stdout": True, "follow": True}, id="contract-run", whole=False)
    tour.require(endpoint, follow.read(8 + 4) == b"\1\0\0\0\0\0\0\4out\n", "no frame of the standard output")
    follow.close()
    tour.ask(*endpoint, 400, id="contract-run")
    tour.ask(*endpoint, 404, query=both, id=MISSING)
    create(tour, "contract-echo", ["cat"], OpenStdin=True, StdinOnce=True, AttachStdin=True, AttachStdout=True)
    tour.ask("POST", "/containers/{id}/start", 204, id="contract-echo")
    conversation(tour)
    plain = tour.ask("POST", "/containers/{id}/attach", 200, query={"logs": True, "stdout": True}, id="contract-echo", whole=False)
    tour.require(("POST", "/containers/{id}/attach"), wire.frames(plain.read()) == [(1, b"hello\n")], "not what was said")
    plain.close()
    tour.ask("POST", "/containers/{id}/attach", 404, query={"stream": True}, id=MISSING)
    tour.ask("POST", "/containers/{id}/attach", 400, query={"stream": True, "detachKeys": "nonsense-"}, id="contract-run")
    websocket(tour)


def conversation(tour):
    endpoint = ("POST", "/containers/{id}/attach")
    query = {"stream": True, "stdin": True, "stdout": True}
    taken = tour.ask(*endpoint, 101, query=query, headers=UPGRADE, id="contract-echo", whole=False)
    kind = "application/vnd.docker.multiplexed-stream" if tour.version >= (1, 42) else "application/vnd.docker.raw-stream"
    tour.require(endpoint, taken.type == kind, f"content type {taken.type}")
    taken.send(b"hello\n")
    taken.end_input()
    said = wire.frames(taken.read())
    tour.require(endpoint, said == [(1, b"hello\n")], f"not what was said: {said}")
    taken.close()
    wait(tour, "contract-echo")


def websocket(tour):
    endpoint = ("GET", "/containers/{id}/attach/ws")
    key = base64.b64encode(os.urandom(16)).decode()
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
               "Origin": "http://localhost"}
    query = {"stream": True, "stdout": True, "logs": True}
    taken = tour.ask(*endpoint, 101, query=query, headers=headers, id="contract-run", whole=False)
    start = taken.read(2)
    tour.require(endpoint, start[:1] in (b"\x81", b"\x82"), f"no frame of a websocket: {start!r}")
    shown = taken.read(start[1])
    # Before 1.42 all streams were attached, whatever was asked for; both may come in one frame.
    lines = {b"out"} if tour.version >= (1, 42) else {b"out", b"err"}
    tour.require(endpoint, shown and set(shown.splitlines()) <= lines, f"not the output: {shown!r}")
    taken.close()
    tour.ask(*endpoint, 404, query=query, headers=headers, id=MISSING)


def terminal(tour):
    """One with a terminal: raw streams, sizes."""
    create(tour, "contract-tty", ["sh", "-c", "echo raw; exec cat"], Tty=True, OpenStdin=True)
    tour.ask("POST", "/containers/{id}/start", 204, id="contract-tty")
    logs = ("GET", "/containers/{id}/logs")
    until("output", lambda: tour.ask(*logs, 200, query={"stdout": True}, id="contract-tty").body == b"raw\r\n")
    raw = tour.ask(*logs, 200, query={"stdout": True}, id="contract-tty")
    tour.require(logs, raw.type == "application/vnd.docker.raw-stream", f"content type {raw.type}")
    size = {"h": 40, "w": 100}
    tour.ask("POST", "/containers/{id}/resize", 200, query=size, id="contract-tty")
    tour.ask("POST", "/containers/{id}/resize", 404, query=size, id=MISSING)
    tour.ask("POST", "/containers/{id}/resize", 400, query={"h": "x", "w": 1}, id="contract-tty", wrong=True)
    tour.ask("POST", "/containers/{id}/resize", 409, query=size, id="contract-idle")


def files(tour):
    tar = archive({"new": b"content"})
    put = ("PUT", "/containers/{id}/archive")
    tour.ask(*put, 200, query={"path": "/tmp", "noOverwriteDirNonDir": "1", "copyUIDGID": "1"}, body=tar, id="contract-run")
    tour.ask(*put, 404, query={"path": "/nowhere"}, body=tar, id="contract-run")
    tour.ask(*put, 404, query={"path": "/tmp"}, body=tar, id=MISSING)
    tour.ask(*put, 400, query={"path": "/tmp/new"}, body=tar, id="contract-run")
    tour.ask(*put, 400, body=tar, id="contract-run", wrong=True)
    tour.ask(*put, 400, query={"path": "/data"}, body=tar, id="contract-run")
    for method in ("HEAD", "GET"):
        endpoint = (method, "/containers/{id}/archive")
        found = tour.ask(*endpoint, 200, query={"path": "/tmp/new"}, id="contract-run")
        stat = json.loads(base64.b64decode(found.headers["X-Docker-Container-Path-Stat"]))
        tour.require(endpoint, stat["name"] == "new" and stat["size"] == 7, f"not what was put there: {stat}")
        tour.ask(*endpoint, 404, query={"path": "/nowhere"}, id="contract-run")
        tour.ask(*endpoint, 404, query={"path": "/tmp"}, id=MISSING)
        tour.ask(*endpoint, 400, id="contract-run", wrong=True)
    changes = tour.ask("GET", "/containers/{id}/changes", 200, id="contract-run").json()
    tour.require(("GET", "/containers/{id}/changes"), {"Path": "/tmp/new", "Kind": 1} in changes, f"no /tmp/new: {changes}")
    tour.ask("GET", "/containers/{id}/changes", 200, id="contract-idle")
    tour.ask("GET", "/containers/{id}/changes", 404, id=MISSING)
    whole = tour.ask("GET", "/containers/{id}/export", 200, id="contract-run")
    tour.require(("GET", "/containers/{id}/export"), b"tmp/new" in whole.body, "no tmp/new in the export")
    tour.ask("GET", "/containers/{id}/export", 404, id=MISSING)


def wait(tour, name, **query):
    return tour.ask("POST", "/containers/{id}/wait", 200, query=query, id=name).json()


def waiting(tour):
    create(tour, "contract-done", ["sh", "-c", "exit 3"])
    endpoint = ("POST", "/containers/{id}/wait")
    coming = tour.ask(*endpoint, 200, query={"condition": "next-exit"}, id="contract-done", whole=False)
    tour.ask("POST", "/containers/{id}/start", 204, id="contract-done")
    value = next(coming.lines())
    tour.fits(endpoint, 200, "ContainerWaitResponse", value)
    tour.require(endpoint, value["StatusCode"] == 3, f"not 3: {value}")
    coming.close()
    tour.require(endpoint, wait(tour, "contract-done", condition="not-running")["StatusCode"] == 3, "not 3 afterwards")
    inspect(tour, "contract-done")
    tour.ask(*endpoint, 400, query={"condition": "nonsense"}, id="contract-done", wrong=True)
    tour.ask(*endpoint, 404, id=MISSING)


def endings(tour):
    # The signal is the container's own: after another one its restart policy has a say, too, as dockerd has it.
    tour.ask("POST", "/containers/{id}/restart", 204, query={"t": 0}, optional={"signal": "SIGTERM"}, id="contract-run")
    tour.ask("POST", "/containers/{id}/restart", 404, id=MISSING)
    tour.ask("POST", "/containers/{id}/kill", 204, query={"signal": "SIGCONT"}, id="contract-run")
    tour.ask("POST", "/containers/{id}/kill", 400, query={"signal": "SIGNONSENSE"}, id="contract-run")
    tour.ask("POST", "/containers/{id}/kill", 404, id=MISSING)
    tour.ask("POST", "/containers/{id}/kill", 409, id="contract-idle")
    remove = ("DELETE", "/containers/{id}")
    tour.ask(*remove, 409, id="contract-run")
    stop = ("POST", "/containers/{id}/stop")
    tour.ask(*stop, 204, query={"t": 0}, optional={"signal": "SIGTERM"}, id="contract-run")
    tour.ask(*stop, 304, id="contract-run")
    tour.ask(*stop, 404, id=MISSING)
    shown(tour, "exited")
    rename = ("POST", "/containers/{id}/rename")
    tour.ask(*rename, 204, query={"name": "contract-ran"}, id="contract-run")
    tour.ask(*rename, 409, query={"name": "contract-idle"}, id="contract-ran")
    tour.ask(*rename, 404, query={"name": "contract-other"}, id=MISSING)
    tour.ask(*rename, 400, query={"name": "_"}, id="contract-ran")
    tour.ask(*remove, 404, id=MISSING)
    tour.ask(*remove, 500, query={"link": True}, id="contract-ran")
    tour.ask(*remove, 204, query={"force": True, "v": True}, id="contract-tty")
    tour.ask(*remove, 204, id="contract-ran")
    prune = ("POST", "/containers/prune")
    pruned = tour.ask(*prune, 200, query={"filters": filters(label="contract=1")}).json()
    tour.require(prune, len(pruned["ContainersDeleted"]) == 3, f"not three: {pruned}")
    tour.ask(*prune, 200)
    tour.ask(*prune, 400, query={"filters": "nonsense"})
