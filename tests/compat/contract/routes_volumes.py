"""Volumes."""

from pictures import IMAGE
from tour import filters

MISSING = "contract-missing"


def run(tour, world):
    create = ("POST", "/volumes/create")
    tour.ask(*create, 201, body={"Name": "contract-volume", "Driver": "local", "Labels": {"contract": "1"}})
    tour.ask(*create, 201, body={"Name": "contract-tmpfs", "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}})
    tour.ask(*create, 201, body={})
    tour.ask(*create, 400, body={"Name": "not/a/name"})
    tour.ask(*create, 400, body={"Name": "contract-wrong", "DriverOpts": {"nonsense": "1"}})
    tour.ask(*create, 404, body={"Name": "contract-wrong", "Driver": "nonsense"})
    listed = tour.ask("GET", "/volumes", 200).json()
    tour.require(("GET", "/volumes"), len(listed["Volumes"]) >= 3, f"not all: {listed}")
    tour.ask("GET", "/volumes", 200, query={"filters": filters(label="contract=1", dangling="true")})
    tour.ask("GET", "/volumes", 400, query={"filters": filters(nonsense="1")})
    tour.ask("GET", "/volumes/{name}", 200, name="contract-volume")
    tour.ask("GET", "/volumes/{name}", 200, name="contract-tmpfs")
    tour.ask("GET", "/volumes/{name}", 404, name=MISSING)
    if tour.knows("PUT", "/volumes/{name}"):
        tour.ask("PUT", "/volumes/{name}", 503, query={"version": 1}, body={"Spec": {}}, name="contract-volume")
    removals(tour)


def removals(tour):
    endpoint = ("DELETE", "/volumes/{name}")
    body = {"Image": IMAGE, "HostConfig": {"Binds": ["contract-volume:/data"]}}
    tour.ask("POST", "/containers/create", 201, query={"name": "contract-holder"}, body=body)
    tour.ask("GET", "/system/df", 200)
    tour.ask(*endpoint, 409, name="contract-volume")
    tour.ask(*endpoint, 404, name=MISSING)
    tour.ask(*endpoint, 204, query={"force": True}, name=MISSING)
    tour.ask("DELETE", "/containers/{id}", 204, id="contract-holder")
    tour.ask(*endpoint, 204, name="contract-tmpfs")
    prune = ("POST", "/volumes/prune")
    tour.ask(*prune, 200, query={"filters": filters(all="true", label="contract")})
    tour.ask(*prune, 200)
    tour.ask(*prune, 400, query={"filters": filters(nonsense="1")})
