//! Names of images, as far as a client has to understand them.

/// The registry that a name without one means, as the docker CLI stores its login.
pub const HUB: &str = "https://index.docker.io/v1/";

/// Repository, and tag or digest; the tag is `latest` when the name has none.
pub fn split(name: &str) -> (&str, &str) {
    if let Some((repository, digest)) = name.split_once('@') {
        return (repository, digest);
    }
    match name.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// Under which name a login for `repository` is kept. Source: distribution/reference, `splitDockerDomain`.
pub fn registry(repository: &str) -> String {
    match repository.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => match first {
            "docker.io" | "index.docker.io" => HUB.to_owned(),
            domain => domain.to_owned(),
        },
        _ => HUB.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fall_apart_where_docker_s_do() {
        assert_eq!(split("nginx"), ("nginx", "latest"));
        assert_eq!(split("localhost:5000/a/b"), ("localhost:5000/a/b", "latest"));
        assert_eq!(split("localhost:5000/a:1.2"), ("localhost:5000/a", "1.2"));
        assert_eq!(split("a@sha256:00"), ("a", "sha256:00"));
        assert_eq!(registry("nginx"), HUB);
        assert_eq!(registry("library/nginx"), HUB);
        assert_eq!(registry("ghcr.io/a/b"), "ghcr.io");
        assert_eq!(registry("localhost:5000/a"), "localhost:5000");
    }
}
