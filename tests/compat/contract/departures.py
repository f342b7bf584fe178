"""Where dockerd 28 itself departs from the swagger that it publishes, and where Cubby must: pattern of a fault, reason.

A fault reads `METHOD /path STATUS text`. On the newest swagger every entry has to be needed by somebody: one that is not fails the run.
"""

DEPARTURES = [
    # Statuses. The swagger names few of those that moby's error kinds become.
    (r".* 400 status 400 is not published", "what cannot be understood is 400 on every endpoint (errdefs.InvalidParameter)"),
    (r"POST /containers/{id}/pause 409 status", "one that is paused or does not run is a conflict (daemon/pause.go)"),
    (r"(GET /containers/{id}/top|POST /containers/{id}/resize) 409 status", "one that does not run is a conflict (errNotRunning)"),
    (r"POST /exec/{id}/start 101 status", "asked to upgrade, it does (postContainerExecStart)"),
    (r"POST /networks/create 409 status", "a name that exists is a conflict (NetworkNameError)"),
    (r"POST /volumes/create 404 status", "a driver that does not exist is not found (driverNotFoundError)"),
    (r"GET /images/(get|{name}/get) 404 status", "an image that does not exist is not found, as everywhere"),
    (r"GET /distribution/{name}/json 404 status", "what the registry answers is handed on (statusCodeFromDistributionError)"),
    # Members.
    (r"GET /containers/{id}/json 200 .HostConfig.MemorySwappiness: null", "a pointer without omitempty, which is not marked as nullable"),
    (r"GET /exec/{id}/json 200 .ExitCode: null", "a pointer: null until the process has ended"),
    (r"GET /images/(json|{name}/json) 200 .*Manifests\[\].ImageData: 'UnpackedSize' is a required", "its Go type has Size.Unpacked alone"),
    (r"POST /images/{name}/push 200 .(id|aux): is not published", "progress has the layer's id, the end the digest (jsonmessage.JSONMessage)"),
    (r"GET /events 200 .(status|id|from): is not published \(\".+\"\)", "kept for old clients in every version before 1.52 (events.Message)"),
    # What Cubby does not have, where dockerd would have it.
    (r"(GET /plugins/privileges|POST /plugins/(pull|create)|POST /swarm/(init|join)) 501 status", "errdefs.NotImplemented"),
]

# Departures from older swaggers only, as their time published them; moby has corrected most of it in its own copies since.
OLDER = [
    (r"GET /(info|containers/{id}/json) 200 .*Isolation: \"\" does not fit enum", "empty on Linux: a later correction"),
    (r"GET /containers/{id}/json 200 .HostConfig.RestartPolicy.Name: \"no\"", "what it is by default: a later correction"),
    (r"GET /system/df 200 .Containers\[\]: .* does not fit type", "a list of lists there: a later correction"),
    (r"GET /containers/{id}/logs 200 content type", "the types of streams are published since 1.42"),
    (r"GET /images/{name}/json 200 .: 'Container' is a required", "left out when empty, since dockerd 25"),
    (r"POST /auth 401 status", "a wrong password: a later correction"),
]

# Nothing in this request can be wrong.
NEVER_REFUSED = ("GET /plugins",)

# What Cubby does not have: asked and refused only.
NEVER_SERVED = ("PUT /volumes", "GET /swarm", "POST /swarm", "GET /nodes", "POST /nodes", "DELETE /nodes", "GET /services",
                "POST /services", "DELETE /services", "GET /tasks", "GET /secrets", "POST /secrets", "DELETE /secrets", "GET /configs",
                "POST /configs", "DELETE /configs", "GET /plugins/", "POST /plugins/", "DELETE /plugins/")
