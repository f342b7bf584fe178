"""Every endpoint of Docker's published API against a real engine: `python3 tests/compat/contract SWAGGER...`

Each request and each reply is held against the swagger files given (2.0, one tour each). Without `--host` an engine of the tour's own
is started (`--cubbyd`, or the variable CUBBYD), as root. Prints a table of the endpoints; fails when an endpoint was not asked, was
never refused or never served, or when anything did not fit.
"""

import argparse
import contextlib
import os
import sys
import time
import traceback
import types

import place
import routes_containers
import routes_exec
import routes_images
import routes_networks
import routes_system
import routes_volumes
import wire
from departures import DEPARTURES, NEVER_REFUSED, NEVER_SERVED
from swagger import Swagger
from tour import Broken, Tour

# From here on a member that the swagger does not have is a fault: an older client is sent newer members by dockerd, too.
STRICT_FROM = (1, 50)

PARTS = (routes_containers, routes_exec, routes_networks, routes_volumes, routes_images, routes_system)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("swaggers", nargs="+", metavar="SWAGGER")
    parser.add_argument("--host", default=os.environ.get("DOCKER_HOST"), help="an engine that runs, without anything in it")
    parser.add_argument("--cubbyd", default=os.environ.get("CUBBYD", "cubbyd"))
    parser.add_argument("--quiet", action="store_true", help="no table")
    arguments = parser.parse_args()
    if missing := place.programs_missing():
        sys.exit(f"not installed: {' '.join(missing)}")
    passed, faults = 0, 0
    with contextlib.ExitStack() as stack:
        world = types.SimpleNamespace(
            registry=stack.enter_context(place.registry()),
            secured=stack.enter_context(place.registry("secret")),
            index=stack.enter_context(place.index()),
        )
        for path in arguments.swaggers:
            done = one(path, arguments, world)
            passed, faults = passed + done[0], faults + done[1]
    print(f"test result: {'FAILED' if faults else 'ok'}. {passed} passed; {faults} failed")
    sys.exit(1 if faults else 0)


def one(path, arguments, world):
    """One swagger, on an engine that has seen nothing else. Tells how many endpoints were right and how many faults there were."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        host = arguments.host or stack.enter_context(place.engine(arguments.cubbyd))
        highest = wire.ask(host, "GET", "/_ping", {}, None).headers["Api-Version"]
        tour = Tour(Swagger(path, STRICT_FROM), host, tuple(int(part) for part in highest.split(".")))
        for part in (routes_images.load, *(part.run for part in PARTS)):
            try:
                part(tour) if part is routes_images.load else part(tour, world)
            except (Broken, LookupError, OSError, ValueError) as error:
                place_of = traceback.extract_tb(error.__traceback__)[-1]
                tour.faults.append(f"{part.__module__} stopped: {error!r} (line {place_of.lineno})")
        faults = tour.faults + unseen(tour)
        if faults and not arguments.host:
            print("--- log of the engine ---", place.log_of(host), sep="\n")
    wrong = {endpoint: sum(fault.startswith(" ".join(endpoint) + " ") for fault in faults) for endpoint in tour.swagger.operations}
    if not arguments.quiet:
        table(tour, wrong)
    for fault in dict.fromkeys(faults):
        print(f"  {fault}")
    requests = sum(len(statuses) for statuses in tour.statuses.values())
    version = ".".join(map(str, tour.swagger.version))
    print(f"swagger {version}: {len(tour.statuses)} of {len(tour.swagger.operations)} endpoints, {requests} requests, "
          f"{len(tour.used)} known departures, {len(faults)} faults ({time.monotonic() - started:.1f} s)", flush=True)
    return sum(not wrong[endpoint] for endpoint in tour.statuses), len(faults)


def unseen(tour):
    """What was not asked, or asked in one way only; and departures that nobody needs any more."""
    faults = []
    for endpoint in tour.swagger.operations:
        name = " ".join(endpoint)
        statuses = tour.statuses.get(endpoint, [])
        if any(name.startswith(never) for never in NEVER_SERVED) and any(status >= 400 for status in statuses):
            continue
        if name == "POST /session":
            continue
        if not any(status < 400 for status in statuses):
            faults.append(f"{name} was never served")
        refused = endpoint in tour.within or any(status >= 400 for status in statuses)
        # Where nothing can be asked for, nothing can be wrong.
        if tour.swagger.operations[endpoint].get("parameters") and name not in NEVER_REFUSED and not refused:
            faults.append(f"{name} was never refused")
    if tour.swagger.strict:
        faults += [f"nobody needs the departure {pattern}" for pattern, _ in DEPARTURES if pattern not in tour.used]
    return faults


def table(tour, wrong):
    for endpoint, count in wrong.items():
        statuses = tour.statuses.get(endpoint, [])
        seen = " ".join(str(status) for status in sorted(set(statuses)))
        verdict = f"{count} faults" if count else "ok" if statuses else "-"
        print(f"{' '.join(endpoint):<40} {len(statuses):>3} requests  {seen:<28} {verdict}")


if __name__ == "__main__":
    main()
