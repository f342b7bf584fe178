//! Paths of a Windows host in requests. Its clients name a bind's source as they know it: `C:\src:/app`, which lies at `/c/src` in
//! the guest.

use cubby_wire::paths::of_windows;

use super::model::HostConfig;

/// Puts the guest's paths in place of the host's.
pub fn translate(host: &mut HostConfig) {
    for raw in host.binds.iter_mut().flatten() {
        if let Some(translated) = bind(raw) {
            *raw = translated;
        }
    }
    for mount in host.mounts.iter_mut().flatten().filter(|mount| mount.kind == "bind") {
        if let Some(path) = of_windows(&mount.source) {
            mount.source = path;
        }
    }
}

/// Why a target must follow: `c:/data:ro` could as well be a volume; nobody else's names have one letter, though.
fn bind(raw: &str) -> Option<String> {
    let end = 2 + raw.get(2..)?.find(':')?;
    let (source, target) = raw.split_at(end);
    target.starts_with(":/").then(|| of_windows(source))?.map(|source| source + target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::model::MountSpec;

    #[test]
    fn sources_of_windows_become_the_guest_s_and_others_stay() {
        for (raw, translated) in [
            (r"C:\Users\jo\my app:/app", Some("/c/Users/jo/my app:/app")),
            (r"d:\x:/app:ro,z", Some("/d/x:/app:ro,z")),
            ("E:/src:/dst", Some("/e/src:/dst")),
            ("c:/data:ro", None),
            ("c:/data", None),
            ("/c/src:/dst", None),
            ("data:/var:ro", None),
            ("ä:/x:/y", None),
            ("", None),
        ] {
            assert_eq!(bind(raw).as_deref(), translated, "{raw}");
        }
        let mount = |kind: &str| MountSpec { kind: kind.into(), source: r"C:\src".into(), ..MountSpec::default() };
        let mut host = HostConfig {
            binds: Some(vec![r"C:\a:/a".into(), "v:/v".into()]),
            mounts: Some(vec![mount("bind"), mount("volume")]),
            ..HostConfig::default()
        };
        translate(&mut host);
        assert_eq!(host.binds.unwrap(), ["/c/a:/a", "v:/v"]);
        let sources: Vec<String> = host.mounts.unwrap().into_iter().map(|mount| mount.source).collect();
        assert_eq!(sources, ["/c/src", r"C:\src"]);
    }
}
