"""Images, registries and builds."""

from pictures import IMAGE, archive, busybox, saved
from routes_system import credentials
from tour import filters

MISSING = "contract/nothing:here"


def load(tour):
    """First of all: everything else needs it."""
    endpoint = ("POST", "/images/load")
    tour.values(*endpoint, tour.ask(*endpoint, 200, body=saved(), whole=False), "BuildInfo")
    tour.values(*endpoint, tour.ask(*endpoint, 200, query={"quiet": True}, body=saved(), whole=False), "BuildInfo")
    wrong = tour.ask(*endpoint, 200, body=archive({"nothing": b"here"}), whole=False)
    tour.require(endpoint, "error" in tour.values(*endpoint, wrong, "BuildInfo")[-1], "loaded from nothing")
    if tour.knows(*endpoint, "platform"):
        tour.ask(*endpoint, 400, query={"platform": "nonsense"}, body=saved())


def run(tour, world):
    looks(tour)
    saves(tour)
    names(tour, world)
    registries(tour, world)
    commits(tour)
    builds(tour)
    removals(tour, world)


def looks(tour):
    endpoint = ("GET", "/images/json")
    tour.ask(*endpoint, 200)
    query = {"all": True, "digests": True, "filters": filters(reference="contract/*")}
    listed = tour.ask(*endpoint, 200, query=query, optional={"shared-size": True, "manifests": True}).json()
    tour.require(endpoint, any(IMAGE in row["RepoTags"] for row in listed), f"{IMAGE} is not listed")
    tour.ask(*endpoint, 400, query={"filters": filters(nonsense="1")})
    tour.ask("GET", "/images/{name}/json", 200, optional={"manifests": True}, name=IMAGE)
    tour.ask("GET", "/images/{name}/json", 404, name=MISSING)
    tour.ask("GET", "/images/{name}/history", 200, name=IMAGE)
    tour.ask("GET", "/images/{name}/history", 404, name=MISSING)


def saves(tour):
    one = tour.ask("GET", "/images/{name}/get", 200, name=IMAGE)
    tour.require(("GET", "/images/{name}/get"), b"manifest.json" in one.body, "no manifest.json")
    tour.ask("GET", "/images/{name}/get", 404, name=MISSING)
    both = tour.ask("GET", "/images/get", 200, query={"names": [IMAGE]})
    tour.require(("GET", "/images/get"), b"manifest.json" in both.body, "no manifest.json")
    tour.ask("GET", "/images/get", 404, query={"names": [MISSING]})


def names(tour, world):
    endpoint = ("POST", "/images/{name}/tag")
    tour.ask(*endpoint, 201, query={"repo": "contract/other", "tag": "1"}, name=IMAGE)
    tour.ask(*endpoint, 201, query={"repo": f"{world.registry}/contract/pushed", "tag": "1"}, name=IMAGE)
    tour.ask(*endpoint, 201, query={"repo": f"{world.secured}/contract/pushed", "tag": "1"}, name=IMAGE)
    tour.ask(*endpoint, 400, query={"repo": "Not A Name"}, name=IMAGE)
    tour.ask(*endpoint, 404, query={"repo": "contract/other"}, name=MISSING)


def registries(tour, world):
    push = ("POST", "/images/{name}/push")
    pushed = f"{world.registry}/contract/pushed"
    stream = tour.ask(*push, 200, query={"tag": "1"}, headers=credentials(), name=pushed, whole=False)
    values = tour.values(*push, stream, "PushImageInfo")
    tour.require(push, any("Tag" in value.get("aux", {}) for value in values), f"no digest: {values[-3:]}")
    tour.ask(*push, 404, query={"tag": "other"}, headers=credentials(), name=f"{world.registry}/contract/nothing")
    secured = f"{world.secured}/contract/pushed"
    refused = tour.ask(*push, 200, query={"tag": "1"}, headers=credentials(), name=secured, whole=False)
    tour.require(push, "errorDetail" in tour.values(*push, refused, "PushImageInfo")[-1], "pushed without a password")
    password = credentials(username="user", password="secret", serveraddress=world.secured)
    tour.values(*push, tour.ask(*push, 200, query={"tag": "1"}, headers=password, name=secured, whole=False), "PushImageInfo")
    pulls(tour, pushed, secured, password)
    told = ("GET", "/distribution/{name}/json")
    tour.ask(*told, 200, name=f"{pushed}:1")
    tour.ask(*told, 401, name=f"{secured}:1")
    tour.ask(*told, 404, name=f"{pushed}:other")
    tour.ask(*told, 400, name="Not:A:Name")
    found = tour.ask("GET", "/images/search", 200, query={"term": f"{world.index}/contract", "limit": 5, "filters": filters(stars="1")})
    tour.require(("GET", "/images/search"), found.json()[0]["star_count"] == 3, f"not the index's answer: {found.body}")
    tour.ask("GET", "/images/search", 400, query={"term": f"{world.index}/contract", "limit": 1000})


def pulls(tour, pushed, secured, password):
    create = ("POST", "/images/create")
    tour.ask("DELETE", "/images/{name}", 200, name=f"{pushed}:1")
    tour.values(*create, tour.ask(*create, 200, query={"fromImage": pushed, "tag": "1"}, whole=False), "CreateImageInfo")
    query = {"fromImage": secured, "tag": "1"}
    tour.values(*create, tour.ask(*create, 200, query=query, headers=password, whole=False), "CreateImageInfo")
    tour.ask(*create, 404, query={"fromImage": pushed, "tag": "other"})
    tour.ask(*create, 500, query=query)
    tour.ask(*create, 400, query={"fromImage": "Not A Name"})
    optional = {"changes": ["ENV A=b", "CMD [\"true\"]"], "message": "imported"}
    imported = tour.ask(*create, 200, query={"fromSrc": "-", "repo": "contract/imported", "tag": "1"}, optional=optional,
                        body=busybox(), whole=False)
    tour.values(*create, imported, "CreateImageInfo")
    tour.ask("GET", "/images/{name}/json", 200, name="contract/imported:1")


def commits(tour):
    tour.ask("POST", "/containers/create", 201, query={"name": "contract-commit"}, body={"Image": IMAGE, "Cmd": ["true"]})
    endpoint = ("POST", "/commit")
    query = {"container": "contract-commit", "repo": "contract/committed", "tag": "1", "comment": "c", "author": "a",
             "pause": True, "changes": "ENV X=y"}
    tour.ask(*endpoint, 201, query=query, body={"Labels": {"committed": "1"}})
    tour.ask("GET", "/images/{name}/json", 200, name="contract/committed:1")
    tour.ask("GET", "/images/{name}/history", 200, name="contract/committed:1")
    tour.ask(*endpoint, 404, query={"container": "contract-missing"})
    tour.ask(*endpoint, 400, query={"container": "contract-commit", "repo": "Not A Name"})


def builds(tour):
    endpoint = ("POST", "/build")
    steps = f"FROM {IMAGE} AS first\nARG WORD\nRUN echo $WORD > /word\nFROM first\nLABEL a=b\nCMD [\"sh\"]\n"
    query = {"t": "contract/built:1", "buildargs": '{"WORD":"said"}', "labels": '{"l":"1"}', "rm": True, "forcerm": True, "target": "first",
             "memory": 67108864, "networkmode": "none", "dockerfile": "Dockerfile.other", "pull": "", "nocache": True}
    context = archive({"Dockerfile.other": steps.encode()})
    values = tour.values(*endpoint, tour.ask(*endpoint, 200, query=query, optional={"version": "1"}, body=context, whole=False), "BuildInfo")
    tour.require(endpoint, any("Successfully tagged" in value.get("stream", "") for value in values), f"not built: {values[-2:]}")
    tour.ask("GET", "/images/{name}/history", 200, name="contract/built:1")
    quiet = tour.ask(*endpoint, 200, query={"q": True, "dockerfile": "Dockerfile.other"}, body=context, whole=False)
    tour.values(*endpoint, quiet, "BuildInfo")
    tour.ask(*endpoint, 400, query={"q": False}, body=archive({"Dockerfile": b"NONSENSE\n"}))
    tour.ask(*endpoint, 400, query={"t": "Not A Name"}, body=context)
    tour.ask("GET", "/system/df", 200)
    prune = ("POST", "/build/prune")
    tour.ask(*prune, 200, query={"all": True})
    tour.ask(*prune, 400, query={"filters": "nonsense"})


def removals(tour, world):
    endpoint = ("DELETE", "/images/{name}")
    tour.ask(*endpoint, 404, name=MISSING)
    tour.ask(*endpoint, 200, query={"force": False, "noprune": False}, name="contract/committed:1")
    tour.ask("DELETE", "/containers/{id}", 204, id="contract-commit")
    tour.ask("POST", "/containers/create", 201, query={"name": "contract-user"}, body={"Image": "contract/imported:1", "Cmd": ["true"]})
    tour.ask(*endpoint, 409, name="contract/imported:1")
    tour.ask("DELETE", "/containers/{id}", 204, id="contract-user")
    prune = ("POST", "/images/prune")
    tour.ask(*prune, 200, query={"filters": filters(dangling="true")})
    tour.ask(*prune, 400, query={"filters": filters(nonsense="1")})
