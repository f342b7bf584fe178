//! Rows of images, builds, networks and volumes, and of prune.

use bollard_stubs::models as docker;
use cubby_harness::busybox_archive;
use serde_json::{Value, json};

use super::{
    shape::{has, is},
    table::{Expect, Row, id, row, small_tar},
};

pub fn rows() -> Vec<Row> {
    [images(), registries(), builds(), networks(), volumes(), prunes()].into_iter().flatten().collect()
}

fn images() -> Vec<Row> {
    use Expect::{Error, Json, Lines, List, Nothing, Raw};
    vec![
        row("GET", "/images/json", "/images/json?all=1&shared-size=1", 200, List(image_summary)),
        row("GET", "/images/{*rest}", "/images/{image}/json", 200, Json(is::<docker::ImageInspect>)),
        row("GET", "/images/{*rest}", "/images/nobody/json", 404, Error("No such image: nobody:latest")),
        row("GET", "/images/{*rest}", "/images/{image}/history", 200, List(is::<docker::HistoryResponseItem>)),
        row("GET", "/images/{*rest}", "/images/{image}/get", 200, Raw("application/x-tar")),
        row("GET", "/images/get", "/images/get?names={image}", 200, Raw("application/x-tar")),
        row("POST", "/images/{*rest}", "/images/{image}/tag?repo=endpoints&tag=one", 201, Nothing),
        row("POST", "/images/{*rest}", "/images/nobody/tag?repo=endpoints", 404, Error("No such image: nobody:latest")),
        row(
            "POST",
            "/images/{*rest}",
            "/images/nobody/push",
            404,
            Error("An image does not exist locally with the tag: nobody"),
        )
        .with(&[("X-Registry-Auth", "e30=")]),
        row("POST", "/commit", "/commit?container={done}&repo=endpoints&tag=two", 201, Json(id))
            .sends(is::<docker::ContainerConfig>, json!({ "Cmd": ["true"], "Labels": { "endpoints": "1" } })),
        row("POST", "/images/load", "/images/load?quiet=1", 200, Raw("application/json")).tar(busybox_archive),
        row(
            "POST",
            "/images/create",
            "/images/create?fromSrc=-&repo=endpoints&tag=three",
            200,
            Lines(is::<docker::CreateImageInfo>),
        )
        .tar(small_tar),
        row("POST", "/images/create", "/images/create?fromImage=127.0.0.1:1/nobody&tag=x", 500, Error("")),
        row("DELETE", "/images/{*rest}", "/images/endpoints:one", 200, List(is::<docker::ImageDeleteResponseItem>)),
        row("DELETE", "/images/{*rest}", "/images/endpoints:two", 200, List(is::<docker::ImageDeleteResponseItem>)),
        row("DELETE", "/images/{*rest}", "/images/endpoints:three", 200, List(is::<docker::ImageDeleteResponseItem>)),
        row("DELETE", "/images/{*rest}", "/images/nobody", 404, Error("No such image: nobody:latest")),
    ]
}

/// No registry is within reach here: what these answer with one is a matter of the registry's cases.
fn registries() -> Vec<Row> {
    use Expect::Error;
    vec![
        row("GET", "/images/search", "/images/search?term=127.0.0.1:1/x", 500, Error("Get \"http://127.0.0.1:1/v2/\"")),
        row(
            "GET",
            "/distribution/{*rest}",
            "/distribution/127.0.0.1:1/x/json",
            500,
            Error("Get \"http://127.0.0.1:1/v2/\""),
        ),
    ]
}

fn builds() -> Vec<Row> {
    use Expect::{Error, Json, Nothing};
    vec![
        row("POST", "/build", "/build", 500, Error("Cannot locate specified Dockerfile: Dockerfile")),
        row(
            "POST",
            "/build/prune",
            "/build/prune?filters={\"id\":[\"nobody\"]}",
            200,
            Json(is::<docker::BuildPruneResponse>),
        ),
        row("POST", "/build/cancel", "/build/cancel?id=nobody", 204, Nothing),
        row("POST", "/build/cancel", "/build/cancel", 400, Error("build ID not provided")),
        row(
            "DELETE",
            "/containers/{id}/{alias}",
            "/containers/nobody/alias",
            404,
            Error("No such container: nobody/alias"),
        ),
    ]
}

fn image_summary(value: &Value) -> Vec<String> {
    let members =
        ["Id", "ParentId", "RepoTags", "RepoDigests", "Created", "Size", "SharedSize", "Labels", "Containers"];
    [is::<docker::ImageSummary>(value), has(value, &members)].concat()
}

fn networks() -> Vec<Row> {
    use Expect::{Error, Json, List, Nothing};
    let create = json!({
        "Name": "endpoints-net", "Driver": "bridge", "Internal": true, "Labels": { "endpoints": "1" },
        "Options": { "com.docker.network.bridge.enable_icc": "true" },
        "IPAM": { "Driver": "default", "Config": [{ "Subnet": "10.213.7.0/24", "Gateway": "10.213.7.1" }] },
    });
    vec![
        row("GET", "/networks", "/networks", 200, List(network)),
        row("GET", "/networks/", "/networks/", 200, List(network)),
        row("POST", "/networks/create", "/networks/create", 201, Json(is::<docker::NetworkCreateResponse>))
            .sends(is::<docker::NetworkCreateRequest>, create.clone())
            .remembered_as("net"),
        row("POST", "/networks/create", "/networks/create", 409, Error("network with name endpoints-net already exists"))
            .sends(is::<docker::NetworkCreateRequest>, create),
        row("GET", "/networks/{id}", "/networks/{net}?verbose=1", 200, Json(network)),
        row("GET", "/networks/{id}", "/networks/nobody", 404, Error("network nobody not found")),
        row("POST", "/networks/{id}/connect", "/networks/{net}/connect", 200, Nothing)
            .sends(is::<docker::NetworkConnectRequest>, json!({
                "Container": "{idle}", "EndpointConfig": { "Aliases": ["idle"], "IPAMConfig": { "IPv4Address": "10.213.7.9" } },
            })),
        row("POST", "/networks/{id}/disconnect", "/networks/{net}/disconnect", 200, Nothing)
            .sends(is::<docker::NetworkDisconnectRequest>, json!({ "Container": "{idle}", "Force": true })),
        row("POST", "/networks/{id}/connect", "/networks/{net}/connect", 404, Error("No such container: nobody"))
            .sends(is::<docker::NetworkConnectRequest>, json!({ "Container": "nobody" })),
        row("DELETE", "/networks/{id}", "/networks/{net}", 204, Nothing),
        row("DELETE", "/networks/{id}", "/networks/bridge", 403, Error("bridge is a pre-defined network and cannot be removed")),
    ]
}

fn network(value: &Value) -> Vec<String> {
    let members = [
        "Name",
        "Id",
        "Created",
        "Scope",
        "Driver",
        "EnableIPv4",
        "EnableIPv6",
        "IPAM",
        "Internal",
        "Attachable",
        "Ingress",
        "ConfigFrom",
        "ConfigOnly",
        "Containers",
        "Options",
        "Labels",
    ];
    [is::<docker::Network>(value), has(value, &members)].concat()
}

fn volumes() -> Vec<Row> {
    use Expect::{Error, Json, Nothing};
    let create = json!({
        "Name": "endpoints-vol", "Driver": "local", "Labels": { "endpoints": "1" },
        "DriverOpts": { "type": "tmpfs", "device": "tmpfs", "o": "size=1m" },
    });
    vec![
        row("POST", "/volumes/create", "/volumes/create", 201, Json(is::<docker::Volume>))
            .sends(is::<docker::VolumeCreateOptions>, create),
        row("POST", "/volumes/create", "/volumes/create", 400, Error("create a: volume name is too short"))
            .sends(is::<docker::VolumeCreateOptions>, json!({ "Name": "a" })),
        row("GET", "/volumes", "/volumes", 200, Json(is::<docker::VolumeListResponse>)),
        row("GET", "/volumes/{name}", "/volumes/endpoints-vol", 200, Json(is::<docker::Volume>)),
        row("GET", "/volumes/{name}", "/volumes/nobody", 404, Error("get nobody: no such volume")),
        row(
            "PUT",
            "/volumes/{name}",
            "/volumes/endpoints-vol?version=1",
            503,
            Error("volume update only valid for cluster"),
        ),
        row("DELETE", "/volumes/{name}", "/volumes/endpoints-vol", 204, Nothing),
        row(
            "DELETE",
            "/volumes/{name}",
            "/volumes/endpoints-used",
            409,
            Error("remove endpoints-used: volume is in use"),
        ),
    ]
}

/// Of what these rows have made alone: other cases run beside them.
fn prunes() -> Vec<Row> {
    use Expect::Json;
    vec![
        row(
            "POST",
            "/containers/prune",
            "/containers/prune?filters={\"label\":[\"endpoints\"]}",
            200,
            Json(is::<docker::ContainerPruneResponse>),
        ),
        row(
            "POST",
            "/images/prune",
            "/images/prune?filters={\"label\":[\"endpoints\"]}",
            200,
            Json(is::<docker::ImagePruneResponse>),
        ),
        row(
            "POST",
            "/networks/prune",
            "/networks/prune?filters={\"label\":[\"endpoints\"]}",
            200,
            Json(is::<docker::NetworkPruneResponse>),
        ),
        row(
            "POST",
            "/volumes/prune",
            "/volumes/prune?filters={\"label\":[\"endpoints\"]}",
            200,
            Json(is::<docker::VolumePruneResponse>),
        ),
    ]
}
