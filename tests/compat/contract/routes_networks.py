"""Networks."""

from pictures import IMAGE
from place import address
from tour import filters

MISSING = "contract-missing"


def run(tour, world):
    creation(tour)
    looks(tour)
    connections(tour)
    removals(tour)


def creation(tour):
    endpoint = ("POST", "/networks/create")
    rich = {
        "Name": "contract-rich", "Driver": "bridge", "Internal": True, "Attachable": False, "EnableIPv6": True,
        "Labels": {"contract": "net"}, "Options": {"com.docker.network.bridge.enable_icc": "true"},
        "IPAM": {"Driver": "default", "Config": [
            {"Subnet": address(1, 0) + "/24", "IPRange": address(1, 128) + "/25", "Gateway": address(1, 1)}]},
    }
    if "IPAMConfig" in tour.swagger.definitions:
        # Older swaggers have texts only here, which no dockerd takes.
        rich["IPAM"]["Config"][0]["AuxiliaryAddresses"] = {"kept": address(1, 2)}
    tour.ask(*endpoint, 201, body=rich)
    tour.ask(*endpoint, 409, body={"Name": "contract-rich"})
    tour.ask(*endpoint, 400, body={"Name": ""})
    tour.ask(*endpoint, 400, body={"Name": "contract-wrong", "IPAM": {"Config": [{"Subnet": "nonsense"}]}})
    tour.ask(*endpoint, 404, body={"Name": "contract-wrong", "Driver": "nonsense"})
    tour.ask(*endpoint, 403, body={"Name": "host"})


def looks(tour):
    listed = tour.ask("GET", "/networks", 200).json()
    tour.require(("GET", "/networks"), {"bridge", "host", "none"} <= {row["Name"] for row in listed}, "a predefined one is missing")
    tour.ask("GET", "/networks", 200, query={"filters": filters(label="contract=net", driver="bridge")})
    tour.ask("GET", "/networks", 400, query={"filters": filters(nonsense="1")})
    for name in ("bridge", "host", "none", "contract-rich"):
        tour.ask("GET", "/networks/{id}", 200, query={"verbose": True, "scope": "local"}, id=name)
    tour.ask("GET", "/networks/{id}", 404, id=MISSING)


def connections(tour):
    tour.ask("POST", "/containers/create", 201, query={"name": "contract-wired"}, body={"Image": IMAGE, "Cmd": ["sleep", "100000"]})
    tour.ask("POST", "/containers/{id}/start", 204, id="contract-wired")
    connect, disconnect = ("POST", "/networks/{id}/connect"), ("POST", "/networks/{id}/disconnect")
    body = {"Container": "contract-wired", "EndpointConfig": {"IPAMConfig": {"IPv4Address": address(1, 200)}, "Aliases": ["wire"]}}
    tour.ask(*connect, 200, body=body, id="contract-rich")
    wrong = {"Container": "contract-wired", "EndpointConfig": {"IPAMConfig": {"IPv4Address": "nonsense"}}}
    tour.ask(*connect, 400, body=wrong, id="contract-net")
    inspected = tour.ask("GET", "/networks/{id}", 200, id="contract-rich").json()
    tour.require(("GET", "/networks/{id}"), len(inspected["Containers"]) == 1, f"not connected: {inspected['Containers']}")
    tour.ask("GET", "/containers/{id}/json", 200, id="contract-wired")
    tour.ask("GET", "/containers/json", 200)
    tour.ask(*connect, 403, body={"Container": "contract-wired"}, id="contract-rich")
    tour.ask(*connect, 404, body={"Container": "contract-wired"}, id=MISSING)
    tour.ask(*connect, 404, body={"Container": MISSING}, id="contract-rich")
    tour.ask("DELETE", "/networks/{id}", 403, id="contract-rich")
    tour.ask(*disconnect, 200, body={"Container": "contract-wired"}, id="contract-rich")
    tour.ask(*disconnect, 403, body={"Container": "contract-wired"}, id="contract-rich")
    tour.ask(*disconnect, 404, body={"Container": "contract-wired"}, id=MISSING)
    tour.ask(*disconnect, 404, body={"Container": MISSING}, id="contract-rich")
    tour.ask("DELETE", "/containers/{id}", 204, query={"force": True}, id="contract-wired")


def removals(tour):
    endpoint = ("DELETE", "/networks/{id}")
    tour.ask(*endpoint, 403, id="bridge")
    tour.ask(*endpoint, 404, id=MISSING)
    tour.ask(*endpoint, 204, id="contract-rich")
    prune = ("POST", "/networks/prune")
    pruned = tour.ask(*prune, 200).json()
    tour.require(prune, pruned["NetworksDeleted"] == ["contract-net"], f"not contract-net: {pruned}")
    tour.ask(*prune, 200, query={"filters": filters(label="nobody")})
    tour.ask(*prune, 400, query={"filters": filters(nonsense="1")})
