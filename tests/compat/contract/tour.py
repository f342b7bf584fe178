"""Asks an engine and holds every request and every reply against a swagger; keeps what was asked and what was wrong."""

import json
import re
from collections import defaultdict
from urllib.parse import quote, urlencode

import wire
from departures import DEPARTURES, OLDER

JSON = {"Content-Type": "application/json"}
UPGRADE = {"Upgrade": "tcp", "Connection": "Upgrade"}


class Broken(Exception):
    """A reply that the rest of a part cannot go on after."""


class Tour:
    """One swagger's tour of one engine."""

    def __init__(self, swagger, host, highest):
        self.swagger = swagger
        self.host = host
        # What is newer than the engine is asked for under the engine's own version.
        self.version = min(swagger.version, highest)
        self.statuses = defaultdict(list)
        self.faults = []
        self.used = set()
        # Endpoints that were seen to refuse within a stream, after a 200.
        self.within = set()

    def knows(self, method, path, parameter=None):
        return self.swagger.knows((method, path), parameter)

    def ask(self, method, path, expect, body=None, query=None, optional=None, headers=None, wrong=False, whole=True, **places):
        """Sends a request of the swagger's and checks both.

        `optional` are parameters that are sent where this swagger has them; `wrong` marks a request that is meant to
        break its own description; with `whole=False` the reply's body is left to the caller.
        """
        endpoint = (method, path)
        query = dict(query or {})
        query.update({name: value for name, value in (optional or {}).items() if self.knows(method, path, name)})
        headers = dict(headers or {})
        if not wrong:
            for fault in self.swagger.request_faults(endpoint, places, query, headers, body):
                self.fault(endpoint, "request", fault)
        target = re.sub(r"{(\w+)}", lambda match: quote(places[match[1]], safe="/:@"), path)
        target = f"/v{self.version[0]}.{self.version[1]}{target}"
        if query:
            target += "?" + urlencode([pair for name, value in query.items() for pair in spelled(name, value)])
        data = body
        if body is not None and not isinstance(body, bytes):
            data, headers = json.dumps(body).encode(), {**JSON, **headers}
        elif body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/x-tar"
        reply = wire.ask(self.host, method, target, headers, data, whole=whole and expect != 101)
        if not whole and reply.status >= 400:
            reply.finish()
        self.seen(endpoint, expect, reply, whole or reply.status >= 400)
        return reply

    def seen(self, endpoint, expect, reply, whole):
        self.statuses[endpoint].append(reply.status)
        if reply.status != expect:
            text = reply.body[:300].decode(errors="replace")
            self.fault(endpoint, reply.status, f"status {reply.status} instead of {expect}: {text}")
        for fault in self.swagger.reply_faults(endpoint, reply, whole):
            self.fault(endpoint, reply.status, fault)
        if reply.status != expect and expect < 400:
            raise Broken(f"{endpoint[0]} {endpoint[1]} answered {reply.status}")

    def values(self, method, path, reply, definition, status=200):
        """The values of a stream of JSON, each checked against a definition; all of them are read."""
        found = []
        for value in reply.lines():
            found.append(value)
            self.fits((method, path), status, definition, value)
            if "error" in value:
                self.within.add((method, path))
        reply.close()
        return found

    def fits(self, endpoint, status, definition, value):
        if definition in self.swagger.text["definitions"]:
            for fault in self.swagger.faults({"$ref": f"#/definitions/{definition}"}, value):
                self.fault(endpoint, status, fault)

    def require(self, endpoint, holds, text):
        if not holds:
            self.fault(endpoint, "reply", text)

    def fault(self, endpoint, status, text):
        """Keeps a fault, unless dockerd itself departs from the swagger there."""
        line = f"{endpoint[0]} {endpoint[1]} {status} {text}"
        known = [pattern for pattern, _ in DEPARTURES + ([] if self.swagger.strict else OLDER) if re.match(pattern, line)]
        self.used.update(known)
        if not known:
            self.faults.append(line)


def spelled(name, value):
    """A query parameter as Docker's clients write it."""
    if isinstance(value, bool):
        return [(name, "1" if value else "0")]
    if isinstance(value, list):
        return [(name, entry) for entry in value]
    return [(name, str(value))]


def filters(**wanted):
    """The `filters` parameter."""
    return json.dumps({name.replace("_", "-"): value if isinstance(value, list) else [value] for name, value in wanted.items()})
