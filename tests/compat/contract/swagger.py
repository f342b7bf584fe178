"""A published swagger (2.0) as something to hold requests and replies against.

Its schemas become JSON schemas, which `jsonschema` checks:

    $ref, allOf        allOf is flattened, so that members that no part knows are found
    x-nullable         null is fine
    arrays and maps    null is fine: it is how Go writes an empty slice or map that was never made
    format             ranges of integers, times
    strict             objects have no members but the published ones (a map's apart)
"""

import copy
import json
import re
from datetime import datetime

import jsonschema
import yaml

VERBS = ("get", "head", "post", "put", "delete")

RANGES = {
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int64": (-(2**63), 2**63 - 1),
}

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")

formats = jsonschema.FormatChecker(formats=())


@formats.checks("date-time")
def is_time(value):
    """RFC 3339, as Go writes it."""
    if not isinstance(value, str):
        return True
    if not TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value[:19])
    except ValueError:
        return False
    return True


class Swagger:
    def __init__(self, path, strict_from):
        with open(path, encoding="utf-8") as file:
            self.text = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.version = tuple(int(part) for part in self.text["info"]["version"].split("."))
        self.strict = self.version >= strict_from
        self.definitions = {name: self.compiled(schema) for name, schema in self.text["definitions"].items()}
        self.operations = {
            (verb.upper(), path): operation
            for path, verbs in self.text["paths"].items()
            for verb, operation in verbs.items()
            if verb in VERBS
        }
        self.checkers = {}

    # Schemas

    def compiled(self, schema):
        """The JSON schema of a swagger's schema."""
        if "$ref" in schema:
            made = {"$ref": schema["$ref"]}
            return {"anyOf": [made, {"type": "null"}]} if schema.get("x-nullable") else made
        if "allOf" in schema:
            schema = self.flattened(schema)
        kind = schema.get("type", "object" if "properties" in schema else None)
        made = {key: schema[key] for key in ("enum", "pattern", "minItems", "maxItems", "minLength", "maxLength") if key in schema}
        if kind:
            made["type"] = kind
        made.update({key: schema[key] for key in ("minimum", "maximum") if key in schema})
        form = schema.get("format")
        if kind == "integer" and form in RANGES:
            made.setdefault("minimum", RANGES[form][0])
            made.setdefault("maximum", RANGES[form][1])
        elif form in ("date-time", "dateTime"):
            made["format"] = "date-time"
        if "items" in schema:
            made["items"] = self.compiled(schema["items"])
        self.members(schema, made)
        is_map = kind == "object" and "properties" not in schema
        if kind and (schema.get("x-nullable") or kind == "array" or is_map):
            made["type"] = [kind, "null"]
            if "enum" in made:
                made["enum"] = [*made["enum"], None]
        return made

    def members(self, schema, made):
        if "properties" in schema:
            made["properties"] = {name: self.compiled(member) for name, member in schema["properties"].items()}
            if isinstance(schema.get("required"), list):
                made["required"] = schema["required"]
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            made["additionalProperties"] = self.compiled(extra)
        elif "properties" in schema and self.strict and extra is not True:
            made["additionalProperties"] = False

    def flattened(self, schema):
        whole = {"type": "object", "properties": {}, "required": []}
        for part in schema["allOf"]:
            while "$ref" in part:
                part = self.text["definitions"][part["$ref"].rsplit("/", 1)[1]]
            if "allOf" in part:
                part = self.flattened(part)
            whole["properties"].update(part.get("properties", {}))
            required = part.get("required")
            whole["required"] += required if isinstance(required, list) else []
        if schema.get("x-nullable"):
            whole["x-nullable"] = True
        if not whole["required"]:
            del whole["required"]
        return whole

    def faults(self, schema, value):
        """What in a value does not fit a swagger's schema: texts that begin with the place."""
        key = json.dumps(schema, sort_keys=True, default=str)
        checker = self.checkers.get(key)
        if not checker:
            compiled = copy.deepcopy(self.compiled(schema))
            compiled["definitions"] = self.definitions
            checker = jsonschema.Draft4Validator(compiled, format_checker=formats)
            self.checkers[key] = checker
        return [text for error in checker.iter_errors(value) for text in told(error)]

    # Operations

    def knows(self, endpoint, parameter=None):
        operation = self.operations.get(endpoint)
        if not operation or parameter is None:
            return operation is not None
        return any(entry["name"] == parameter for entry in operation.get("parameters", []))

    def request_faults(self, endpoint, places, query, headers, body):
        """What in a request is not as published. `body` is a JSON value, bytes, or None."""
        faults = []
        given = {"path": places, "query": query, "header": headers}
        known = {}
        for entry in self.operations[endpoint].get("parameters", []):
            known[(entry["in"], entry["name"])] = entry
            values = given.get(entry["in"], {})
            if entry["in"] == "body":
                faults += self.body_faults(entry, body)
            elif entry["name"] in values:
                faults += parameter_faults(entry, values[entry["name"]])
            elif entry.get("required"):
                faults.append(f"{entry['in']} {entry['name']} is required")
        for place in ("path", "query"):
            faults += [f"{place} {name} is not published" for name in given[place] if (place, name) not in known]
        if body is not None and not any(place == "body" for place, _ in known):
            faults.append("a body is not published")
        return faults

    def body_faults(self, entry, body):
        schema = entry.get("schema", {})
        if body is None:
            return ["a body is required"] if entry.get("required") else []
        if isinstance(body, bytes):
            return [] if schema.get("format") == "binary" or schema.get("type") == "string" else ["bytes, not JSON"]
        return [f"body {fault}" for fault in self.faults(schema, body)]

    def reply_faults(self, endpoint, reply, whole):
        """What in a reply is not as published; of one that is not whole only its head is looked at."""
        operation = self.operations[endpoint]
        published = operation["responses"].get(reply.status)
        if reply.status >= 400:
            return self.refusal_faults(endpoint, reply, published)
        if published is None:
            return [f"status {reply.status} is not published"]
        faults = header_faults(published, reply)
        schema = published.get("schema")
        kinds = operation.get("produces", self.text["produces"])
        # A connection that was taken over has the type of what it carries, which is no reply's body.
        if reply.status != 101 and (reply.type or schema) and reply.type not in kinds:
            faults.append(f"content type {reply.type!r} is none of {kinds}")
        if whole and endpoint[0] != "HEAD":
            faults += self.answer_faults(endpoint, reply, schema)
        return faults

    def answer_faults(self, endpoint, reply, schema):
        """Of a body."""
        if schema and schema.get("type") != "string":
            try:
                return self.faults(schema, reply.json())
            except ValueError as error:
                return [f"no JSON: {error}"]
        bodies = ("/archive", "/export")
        if reply.body and not schema and not (endpoint[0] == "GET" and endpoint[1].endswith(bodies)):
            return [f"a body that is not published: {reply.body[:120]!r}"]
        return []

    def refusal_faults(self, endpoint, reply, published):
        """Refusals are `{"message": …}` everywhere. Source: "Errors" of the swagger's introduction."""
        faults = [] if published else [f"status {reply.status} is not published"]
        if endpoint[0] == "HEAD":
            return faults
        if reply.type != "application/json":
            faults.append(f"content type {reply.type!r} of a refusal")
        try:
            body = reply.json()
        except ValueError as error:
            return [*faults, f"no JSON: {error}"]
        faults += self.faults((published or {}).get("schema", {"$ref": "#/definitions/ErrorResponse"}), body)
        if not (isinstance(body, dict) and isinstance(body.get("message"), str) and body["message"].strip()):
            faults.append("message is empty")
        return faults


def told(error):
    """A fault of jsonschema's as texts: one for each member that nobody knows."""
    if error.validator == "anyOf":
        return [text for part in error.context if part.validator != "type" or part.instance is not None
                and part.validator_value != "null" for text in told(part)]
    place = "".join("[]" if isinstance(step, int) else f".{step}" for step in error.absolute_path) or "."
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        return [f"{place}.{name}: is not published ({short(error.instance[name])})".replace("..", ".")
                for name in error.instance if name not in known]
    if error.validator == "required":
        return [f"{place}: {error.message}"]
    return [f"{place}: {short(error.instance)} does not fit {error.validator} {short(error.validator_value)}"]


def short(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 120 else text[:117] + "..."


def parameter_faults(entry, value):
    """Of one value of the path, query or header."""
    name = f"{entry['in']} {entry['name']}"
    kind = entry.get("type")
    if kind == "array":
        return [] if isinstance(value, (list, str)) else [f"{name}: {value!r} is no list"]
    if "enum" in entry and value not in entry["enum"]:
        return [f"{name}: {value!r} is none of {entry['enum']}"]
    fits = {"boolean": isinstance(value, bool), "integer": isinstance(value, int) and not isinstance(value, bool),
            "string": isinstance(value, str)}
    return [] if fits.get(kind, True) else [f"{name}: {value!r} is no {kind}"]


def header_faults(published, reply):
    faults = []
    for name, entry in published.get("headers", {}).items():
        value = reply.headers.get(name)
        if value is None:
            faults.append(f"header {name} is missing")
        elif entry.get("type") == "boolean" and value not in ("true", "false"):
            faults.append(f"header {name}: {value!r} is no boolean")
        elif "enum" in entry and value not in entry["enum"]:
            faults.append(f"header {name}: {value!r} is none of {entry['enum']}")
    return faults
