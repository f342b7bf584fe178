//! The table. Rows run in order: what one makes the next ones use. Source: Docker Engine API 1.50.

use bollard_stubs::models as docker;
use serde_json::{Value, json};

use super::{
    objects,
    shape::{has, is, is_with},
};

pub type Check = fn(&Value) -> Vec<String>;

#[derive(Clone)]
pub enum Body {
    None,
    Json(Value),
    Tar(fn() -> Vec<u8>),
}

/// What an answer's body is.
pub enum Expect {
    Nothing,
    Text(&'static str),
    /// Bytes of this content type.
    Raw(&'static str),
    Json(Check),
    /// A list with something in it.
    List(Check),
    /// `[]`
    Empty,
    /// JSON, one object a line.
    Lines(Check),
    /// `{"message": …}`, beginning so.
    Error(&'static str),
}

impl Expect {
    pub fn content_type(&self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Text(_) => "text/plain; charset=utf-8",
            Self::Raw(kind) => kind,
            Self::Json(_) | Self::List(_) | Self::Empty | Self::Lines(_) | Self::Error(_) => "application/json",
        }
    }
}

pub struct Row {
    pub method: &'static str,
    /// As the router has it.
    pub route: &'static str,
    /// As it is asked for; `{name}` is a fixture or what an earlier row remembered.
    pub path: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    pub body: Body,
    /// The request's published type.
    pub sent: Option<Check>,
    pub status: u16,
    pub expect: Expect,
    /// The answer's `Id` gets this name.
    pub remember: Option<&'static str>,
}

pub fn row(method: &'static str, route: &'static str, path: &'static str, status: u16, expect: Expect) -> Row {
    Row { method, route, path, headers: &[], body: Body::None, sent: None, status, expect, remember: None }
}

impl Row {
    pub fn sends(mut self, sent: Check, body: Value) -> Self {
        (self.sent, self.body) = (Some(sent), Body::Json(body));
        self
    }

    pub fn tar(mut self, archive: fn() -> Vec<u8>) -> Self {
        self.body = Body::Tar(archive);
        self
    }

    pub fn with(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    pub fn remembered_as(mut self, name: &'static str) -> Self {
        self.remember = Some(name);
        self
    }
}

pub fn rows() -> Vec<Row> {
    [system(), containers(), streams(), files(), exec(), lives(), objects::rows(), off()]
        .into_iter()
        .flatten()
        .collect()
}

fn system() -> Vec<Row> {
    use Expect::{Error, Json, Lines, Text};
    vec![
        row("GET", "/_ping", "/_ping", 200, Text("OK")),
        row("HEAD", "/_ping", "/_ping", 200, Text("OK")),
        row("GET", "/version", "/version", 200, Json(is::<docker::SystemVersion>)),
        row("GET", "/info", "/v1.50/info", 200, Json(is::<docker::SystemInfo>)),
        row("GET", "/system/df", "/system/df", 200, Json(is::<docker::SystemDataUsageResponse>)),
        row("GET", "/system/df", "/system/df?type=nothing", 400, Error("unknown object type: nothing")),
        row("GET", "/events", "/events?since=0&until=1", 200, Expect::Raw("application/json")),
        row(
            "GET",
            "/events",
            "/events?since=yesterday",
            400,
            Error("failed to parse value as time or duration: \"yesterday\""),
        ),
        row(
            "GET",
            "/events",
            "/events?since=1&until={now}&filters={\"container\":[\"endpoints-done\"]}",
            200,
            Lines(event),
        ),
        row("POST", "/auth", "/auth", 500, Error("")).sends(
            is::<docker::AuthConfig>,
            json!({ "username": "nobody", "password": "x", "serveraddress": "127.0.0.1:1" }),
        ),
    ]
}

/// Older clients read the members in small letters. Source: moby api/types/events.
fn event(value: &Value) -> Vec<String> {
    is_with::<docker::EventMessage>(value, &["status", "id", "from"])
}

fn containers() -> Vec<Row> {
    use Expect::{Error, Json, List, Nothing};
    let create = json!({
        "Image": "{image}", "Cmd": ["true"], "Env": ["A=b"], "Labels": { "endpoints": "1" }, "ExposedPorts": { "80/tcp": {} },
        "HostConfig": {
            "Binds": ["endpoints-used:/data:ro"], "Memory": 67_108_864, "PortBindings": { "80/tcp": [{ "HostPort": "" }] },
            "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 2 }, "CapAdd": ["NET_ADMIN"],
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "1m" } },
        },
        "NetworkingConfig": { "EndpointsConfig": { "endpoints-other": { "Aliases": ["other"] } } },
    });
    let mut create_on = create.clone();
    create_on["HostConfig"]["NetworkMode"] = json!("endpoints-other");
    vec![
        row(
            "GET",
            "/containers/json",
            "/containers/json?all=1&size=1&filters={\"label\":[\"endpoints\"]}",
            200,
            List(summary),
        ),
        row(
            "GET",
            "/containers/json",
            "/containers/json?filters={\"colour\":[\"red\"]}",
            400,
            Error("invalid filter 'colour'"),
        ),
        row(
            "POST",
            "/containers/create",
            "/containers/create?name=endpoints-made",
            201,
            Json(is::<docker::ContainerCreateResponse>),
        )
        .sends(is::<docker::ContainerCreateBody>, create_on)
        .remembered_as("made"),
        row(
            "POST",
            "/containers/create",
            "/containers/create?name=endpoints-made",
            409,
            Error("Conflict. The container name \"/endpoints-made\" is already in use by container"),
        )
        .sends(is::<docker::ContainerCreateBody>, json!({ "Image": "{image}", "Cmd": ["true"] })),
        row("POST", "/containers/create", "/containers/create", 404, Error("No such image: nobody:latest"))
            .sends(is::<docker::ContainerCreateBody>, json!({ "Image": "nobody" })),
        row("GET", "/containers/{id}/json", "/containers/{made}/json?size=1", 200, Json(inspected)),
        row("GET", "/containers/{id}/json", "/containers/{run}/json", 200, Json(inspected)),
        row("GET", "/containers/{id}/json", "/containers/nobody/json", 404, Error("No such container: nobody")),
        row(
            "GET",
            "/containers/{id}/top",
            "/containers/{run}/top?ps_args=aux",
            200,
            Json(is::<docker::ContainerTopResponse>),
        ),
        row("GET", "/containers/{id}/top", "/containers/{idle}/top", 409, Error("container")),
        row("GET", "/containers/{id}/stats", "/containers/{run}/stats?stream=0&one-shot=1", 200, Json(figures)),
        row(
            "POST",
            "/containers/{id}/update",
            "/containers/{run}/update",
            200,
            Json(is::<docker::ContainerUpdateResponse>),
        )
        .sends(is::<docker::ContainerUpdateBody>, json!({ "Memory": 134_217_728, "MemorySwap": 134_217_728 })),
        row("POST", "/containers/{id}/rename", "/containers/{made}/rename?name=endpoints-renamed", 204, Nothing),
        row(
            "POST",
            "/containers/{id}/rename",
            "/containers/{made}/rename?name=endpoints-run",
            409,
            Error("Error when allocating new name: Conflict. The container name"),
        ),
        row("POST", "/containers/{id}/resize", "/containers/{run}/resize?h=20&w=80", 200, Nothing),
        row("DELETE", "/containers/{id}", "/containers/{run}", 409, Error("cannot remove container")),
        row("DELETE", "/containers/{id}", "/containers/{made}", 204, Nothing),
    ]
}

/// The generated type has the member's name in small letters.
pub fn id(value: &Value) -> Vec<String> {
    let members: Vec<_> = value.as_object().into_iter().flat_map(|object| object.keys()).collect();
    if members == ["Id"] && value["Id"].is_string() { Vec::new() } else { vec![format!("not an Id: {value}")] }
}

/// Members that dockerd always sends in a list.
fn summary(value: &Value) -> Vec<String> {
    let members = [
        "Id",
        "Names",
        "Image",
        "ImageID",
        "Command",
        "Created",
        "Ports",
        "Labels",
        "State",
        "Status",
        "HostConfig",
        "NetworkSettings",
        "Mounts",
        "SizeRootFs",
    ];
    [is::<docker::ContainerSummary>(value), has(value, &members)].concat()
}

fn inspected(value: &Value) -> Vec<String> {
    let members = [
        "Id",
        "Created",
        "Path",
        "Args",
        "State",
        "Image",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "LogPath",
        "Name",
        "RestartCount",
        "Driver",
        "Platform",
        "MountLabel",
        "ProcessLabel",
        "AppArmorProfile",
        "ExecIDs",
        "HostConfig",
        "GraphDriver",
        "Mounts",
        "Config",
        "NetworkSettings",
    ];
    let state = [
        "Status",
        "Running",
        "Paused",
        "Restarting",
        "OOMKilled",
        "Dead",
        "Pid",
        "ExitCode",
        "Error",
        "StartedAt",
        "FinishedAt",
    ];
    [is::<docker::ContainerInspectResponse>(value), has(value, &members), has(&value["State"], &state)].concat()
}

fn figures(value: &Value) -> Vec<String> {
    let members = [
        "read",
        "preread",
        "pids_stats",
        "blkio_stats",
        "cpu_stats",
        "precpu_stats",
        "memory_stats",
        "name",
        "id",
        "networks",
    ];
    [is::<docker::ContainerStatsResponse>(value), has(value, &members)].concat()
}

const RAW: &str = "application/vnd.docker.raw-stream";
const MULTIPLEXED: &str = "application/vnd.docker.multiplexed-stream";

fn streams() -> Vec<Row> {
    use Expect::{Error, Nothing, Raw};
    vec![
        row(
            "GET",
            "/containers/{id}/logs",
            "/containers/{run}/logs?stdout=1&stderr=1&timestamps=1&tail=5",
            200,
            Raw(MULTIPLEXED),
        ),
        row("GET", "/containers/{id}/logs", "/v1.41/containers/{run}/logs?stdout=1", 200, Raw(RAW)),
        row(
            "GET",
            "/containers/{id}/logs",
            "/containers/{run}/logs",
            400,
            Error("Bad parameters: you must choose at least one stream"),
        ),
        row("POST", "/containers/{id}/attach", "/containers/{run}/attach?logs=1&stdout=1&stderr=1", 200, Raw(RAW)),
        row(
            "POST",
            "/containers/{id}/attach",
            "/containers/{run}/attach?logs=1&stdout=1&stderr=1",
            101,
            Raw(MULTIPLEXED),
        )
        .with(&[("Connection", "Upgrade"), ("Upgrade", "tcp")]),
        row(
            "POST",
            "/containers/{id}/attach",
            "/containers/nobody/attach?stdout=1",
            404,
            Error("No such container: nobody"),
        ),
        row("GET", "/containers/{id}/attach/ws", "/containers/{run}/attach/ws?logs=1&stdout=1", 101, Nothing).with(&[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Origin", "http://localhost"),
        ]),
    ]
}

pub fn small_tar() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    archive.append_data(&mut header, "new-file", b"new".as_slice()).expect("memory does not fail");
    archive.into_inner().expect("memory does not fail")
}

fn files() -> Vec<Row> {
    use Expect::{Error, List, Nothing, Raw};
    vec![
        row("HEAD", "/containers/{id}/archive", "/containers/{run}/archive?path=/bin/busybox", 200, Nothing),
        row(
            "GET",
            "/containers/{id}/archive",
            "/containers/{run}/archive?path=/bin/true",
            200,
            Raw("application/x-tar"),
        ),
        row(
            "GET",
            "/containers/{id}/archive",
            "/containers/{run}/archive?path=/nothing",
            404,
            Error("Could not find the file /nothing in container"),
        ),
        row("PUT", "/containers/{id}/archive", "/containers/{run}/archive?path=/tmp", 200, Nothing).tar(small_tar),
        row(
            "PUT",
            "/containers/{id}/archive",
            "/containers/{run}/archive?path=/nothing",
            404,
            Error("Could not find the file /nothing in container"),
        )
        .tar(small_tar),
        row("GET", "/containers/{id}/changes", "/containers/{done}/changes", 200, List(is::<docker::FilesystemChange>)),
        row("GET", "/containers/{id}/export", "/containers/{idle}/export", 200, Raw("application/octet-stream")),
    ]
}

fn exec() -> Vec<Row> {
    use Expect::{Error, Json, Nothing, Raw};
    let config = json!({
        "Cmd": ["sh", "-c", "echo said; exit 7"], "AttachStdout": true, "AttachStderr": true, "Env": ["A=b"],
        "WorkingDir": "/tmp", "User": "root", "Tty": false, "DetachKeys": "ctrl-p,ctrl-q", "Privileged": false,
    });
    vec![
        row("POST", "/containers/{id}/exec", "/containers/{run}/exec", 201, Json(id))
            .sends(is::<docker::ExecConfig>, config.clone())
            .remembered_as("exec"),
        row("POST", "/containers/{id}/exec", "/containers/{idle}/exec", 409, Error("container"))
            .sends(is::<docker::ExecConfig>, config),
        row("GET", "/exec/{id}/json", "/exec/{exec}/json", 200, Json(is::<docker::ExecInspectResponse>)),
        row("POST", "/exec/{id}/start", "/exec/{exec}/start", 200, Raw(RAW))
            .sends(is::<docker::ExecStartConfig>, json!({ "Detach": false, "Tty": false })),
        row("GET", "/exec/{id}/json", "/exec/{exec}/json", 200, Json(exited_7)),
        row("POST", "/exec/{id}/resize", "/exec/nobody/resize?h=20&w=80", 404, Error("No such exec instance: nobody")),
        row("POST", "/exec/{id}/start", "/exec/nobody/start", 404, Error("No such exec instance: nobody"))
            .sends(is::<docker::ExecStartConfig>, json!({ "Detach": true })),
        row(
            "POST",
            "/containers/{id}/resize",
            "/containers/nobody/resize?h=1&w=1",
            404,
            Error("No such container: nobody"),
        ),
        row("HEAD", "/containers/{id}/archive", "/containers/nobody/archive?path=/", 404, Nothing),
    ]
}

fn exited_7(value: &Value) -> Vec<String> {
    let mut faults = is::<docker::ExecInspectResponse>(value);
    if value["ExitCode"] != 7 || value["Running"] != false {
        faults.push("it ended with 7".to_owned());
    }
    faults
}

/// Changes of state, in an order in which each is possible.
fn lives() -> Vec<Row> {
    use Expect::{Error, Json, Nothing};
    let wait = is::<docker::ContainerWaitResponse>;
    vec![
        row("POST", "/containers/{id}/pause", "/containers/{run}/pause", 204, Nothing),
        row("POST", "/containers/{id}/pause", "/containers/{run}/pause", 409, Error("Container")),
        row("POST", "/containers/{id}/unpause", "/containers/{run}/unpause", 204, Nothing),
        row("POST", "/containers/{id}/restart", "/containers/{run}/restart?t=0", 204, Nothing),
        row("POST", "/containers/{id}/stop", "/containers/{run}/stop?t=0", 204, Nothing),
        row("POST", "/containers/{id}/stop", "/containers/{run}/stop", 304, Nothing),
        row("POST", "/containers/{id}/start", "/containers/{run}/start", 204, Nothing),
        row("POST", "/containers/{id}/start", "/containers/{run}/start", 304, Nothing),
        row("POST", "/containers/{id}/kill", "/containers/{run}/kill?signal=KILL", 204, Nothing),
        row("POST", "/containers/{id}/wait", "/containers/{run}/wait", 200, Json(wait)),
        row(
            "POST",
            "/containers/{id}/wait",
            "/containers/{run}/wait?condition=never",
            400,
            Error("invalid condition: \"never\""),
        ),
        row("POST", "/containers/{id}/kill", "/containers/{idle}/kill", 409, Error("cannot kill container")),
        row(
            "POST",
            "/containers/{id}/kill",
            "/containers/{idle}/kill?signal=NONE",
            400,
            Error("cannot kill container: endpoints-idle: invalid signal: NONE"),
        ),
        row("POST", "/containers/{id}/start", "/containers/{idle}/start", 204, Nothing),
        row("POST", "/containers/{id}/wait", "/containers/{idle}/wait", 200, Json(wait)),
    ]
}

/// What Cubby does not have, as from a dockerd on which it is off.
fn off() -> Vec<Row> {
    use Expect::{Empty, Error};
    const NOT_A_MANAGER: &str = "This node is not a swarm manager.";
    vec![
        row("GET", "/{page}", "/swarm", 503, Error(NOT_A_MANAGER)),
        row("GET", "/{page}", "/services", 503, Error(NOT_A_MANAGER)),
        row("GET", "/{page}/{*rest}", "/tasks/x/logs", 503, Error(NOT_A_MANAGER)),
        row("POST", "/{page}/{*rest}", "/configs/create", 503, Error(NOT_A_MANAGER)),
        row("POST", "/swarm/leave", "/swarm/leave", 503, Error("This node is not part of a swarm")),
        row("POST", "/swarm/init", "/swarm/init", 501, Error("")),
        row("POST", "/swarm/join", "/swarm/join", 501, Error("")),
        row("GET", "/plugins", "/plugins", 200, Empty),
        row("GET", "/plugins/{name}/json", "/plugins/nobody/json", 404, Error("plugin \"nobody\" not found")),
        row("DELETE", "/plugins/{name}", "/plugins/nobody", 404, Error("plugin \"nobody\" not found")),
        row("POST", "/plugins/{name}/{verb}", "/plugins/nobody/enable", 404, Error("plugin \"nobody\" not found")),
        row("GET", "/plugins/privileges", "/plugins/privileges?remote=x", 501, Error("plugins are not supported")),
        row("POST", "/plugins/pull", "/plugins/pull?remote=x", 501, Error("plugins are not supported")),
        row("POST", "/plugins/create", "/plugins/create?name=x", 501, Error("plugins are not supported")),
    ]
}
