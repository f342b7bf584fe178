"""System, events, auth, and what is switched off (swarm, plugins)."""

import base64
import json
import time

from tour import filters


def run(tour, world):
    pings(tour)
    logins(tour, world)
    events(tour)
    off(tour)


def pings(tour):
    for method in ("GET", "HEAD"):
        tour.ask(method, "/_ping", 200)
    tour.ask("GET", "/version", 200)
    tour.ask("GET", "/info", 200)


def logins(tour, world):
    good = {"username": "user", "password": "secret", "serveraddress": world.secured}
    tour.ask("POST", "/auth", 200, body=good)
    tour.ask("POST", "/auth", 401, body={**good, "password": "wrong"})
    tour.ask("POST", "/auth", 400, body={"username": 5}, wrong=True)


def events(tour):
    endpoint = ("GET", "/events")
    past = tour.ask(*endpoint, 200, query={"since": "0", "until": str(int(time.time()) + 1)}, whole=False)
    kinds = {value["Type"] for value in tour.values(*endpoint, past, "EventMessage")}
    tour.require(endpoint, {"container", "image", "network", "volume"} <= kinds, f"only events of {kinds}")
    coming = tour.ask(*endpoint, 200, query={"filters": filters(type="volume", event="create")}, whole=False)
    tour.ask("POST", "/volumes/create", 201, body={"Name": "contract-event"})
    first = next(coming.lines())
    tour.fits(endpoint, 200, "EventMessage", first)
    tour.require(endpoint, first["Actor"]["ID"] == "contract-event", f"another event: {first}")
    coming.close()
    tour.ask("DELETE", "/volumes/{name}", 204, name="contract-event")
    tour.ask(*endpoint, 400, query={"since": "nonsense"})
    tour.ask(*endpoint, 400, query={"filters": "nonsense"})


def off(tour):
    """Every endpoint of swarm and plugins, with as little as its description lets one ask."""
    for (method, path), operation in tour.swagger.operations.items():
        page = path.split("/")[1]
        if page not in ("swarm", "nodes", "services", "tasks", "secrets", "configs", "plugins"):
            continue
        query = {entry["name"]: 1 if entry.get("type") == "integer" else "contract"
                 for entry in operation.get("parameters", []) if entry["in"] == "query" and entry.get("required")}
        places = {entry["name"]: "contract" for entry in operation.get("parameters", []) if entry["in"] == "path"}
        body = b"" if path == "/plugins/create" else body_of(path, operation)
        tour.ask(method, path, answer_of(method, path), query=query, body=body, **places)


def body_of(path, operation):
    for entry in operation.get("parameters", []):
        if entry["in"] == "body":
            return [] if entry["schema"].get("type") == "array" else {}
    return None


def answer_of(method, path):
    if (method, path) == ("GET", "/plugins"):
        return 200
    if path in ("/swarm/init", "/swarm/join", "/plugins/privileges", "/plugins/pull", "/plugins/create"):
        return 501
    return 404 if path.startswith("/plugins/") else 503


def credentials(**members):
    """The X-Registry-Auth header."""
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(members).encode()).decode()}
