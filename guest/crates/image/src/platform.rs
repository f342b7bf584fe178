//! `os/architecture[/variant]`, as images are told apart.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an operating system with a version, and the other parts, look like: shown in refusals.
const OS: &str = r"^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.-]*)\))?$";
const COMPONENT: &str = "^[A-Za-z0-9_.-]+$";

/// Source: containerd platforms `isKnownOS`, `isKnownArch` (Go's own lists).
const OSES: [&str; 17] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];
const ARCHITECTURES: [&str; 24] = [
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "ppc64",
    "ppc64le",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// Text that names no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: invalid argument")]
pub struct InvalidPlatform(String);

fn refuse(why: String) -> InvalidPlatform {
    InvalidPlatform(why)
}

fn is_component(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// The operating system without its version, `windows(10.0.17763)`, which no image of ours has.
fn os_component(text: &str) -> Option<String> {
    let (name, version) = match text.strip_suffix(')') {
        Some(text) => text.split_once('(')?,
        None => (text, ""),
    };
    let valid = is_component(name) && !name.contains('.') && (version.is_empty() || is_component(version));
    valid.then(|| name.to_owned())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// What this engine runs.
    pub fn native() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }.normalized()
    }

    /// Parses `linux/arm64/v8`, `arm64`, `linux`. Source: containerd `platforms.Parse`.
    ///
    /// # Errors
    /// In that function's words.
    pub fn parse(text: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let os = os_component(parts[0]).ok_or_else(|| {
            refuse(format!(
                "{:?} is an invalid OS component of {text:?}: OSAndVersion specifier component must match {OS:?}",
                parts[0]
            ))
        })?;
        if let Some(part) = parts[1..].iter().find(|part| !is_component(part)) {
            return Err(refuse(format!(
                "{part:?} is an invalid component of {text:?}: platform specifier component must match {COMPONENT:?}"
            )));
        }
        let native = Self::native();
        let made = |os: &str, architecture: &str, variant: Option<&str>| Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        };
        let parsed = match parts.as_slice() {
            [_] => match (Self { os, ..native.clone() }).normalized() {
                known if OSES.contains(&known.os.as_str()) => known,
                _ => {
                    let architecture = made(&native.os, parts[0], None).normalized();
                    let known = ARCHITECTURES.contains(&architecture.architecture.as_str());
                    known
                        .then_some(architecture)
                        .ok_or_else(|| refuse(format!("{text:?}: unknown operating system or architecture")))?
                }
            },
            [_, architecture] => made(&os, architecture, None),
            [_, architecture, variant] => made(&os, architecture, Some(variant)),
            _ => return Err(refuse(format!("{text:?}: cannot parse platform specifier"))),
        };
        Ok(parsed.normalized())
    }

    /// One spelling for each platform. Source: containerd `platforms.Normalize`.
    pub fn normalized(mut self) -> Self {
        self.os = match self.os.to_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let (architecture, variant) = match self.architecture.to_lowercase().as_str() {
            "x86_64" | "x86-64" => ("amd64".to_owned(), self.variant),
            "aarch64" => ("arm64".to_owned(), self.variant),
            "armhf" => ("arm".to_owned(), Some("v7".to_owned())),
            "armel" => ("arm".to_owned(), Some("v6".to_owned())),
            "i386" => ("386".to_owned(), self.variant),
            other => (other.to_owned(), self.variant),
        };
        self.variant = match (architecture.as_str(), variant.as_deref()) {
            ("arm64", Some("v8" | "8" | "")) | ("amd64", Some("v1" | "")) => None,
            ("arm", None | Some("7" | "")) => Some("v7".into()),
            (_, Some("")) => None,
            _ => variant,
        };
        self.architecture = architecture;
        self
    }

    /// True when an image of `self` runs where `wanted` is asked for.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        let (have, want) = (self.clone().normalized(), wanted.clone().normalized());
        have.os == want.os
            && have.architecture == want.architecture
            && (want.variant.is_none() || have.variant == want.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_platform_agree() {
        let arm = Platform::parse("linux/arm64").unwrap();
        assert_eq!(Platform::parse("linux/aarch64/v8").unwrap(), arm);
        assert!(!Platform::parse("linux/amd64").unwrap().satisfies(&arm));
        assert_eq!(Platform::parse("linux/amd64/v3").unwrap().to_string(), "linux/amd64/v3");
        assert_eq!(Platform::parse("linux/arm").unwrap().to_string(), "linux/arm/v7");
        assert_eq!(Platform::parse("LINUX").unwrap(), Platform::native());
        assert_eq!(Platform::parse("macos/arm64").unwrap().to_string(), "darwin/arm64");
        assert_eq!(Platform::parse("windows(10.0.17763)/amd64").unwrap().to_string(), "windows/amd64");
    }

    #[test]
    fn what_is_no_platform_is_refused_in_containerds_words() {
        for (bad, words) in [
            ("", "\"\" is an invalid OS component of \"\": OSAndVersion specifier component must match"),
            ("/", "\"\" is an invalid OS component of \"/\""),
            ("       ", "is an invalid OS component"),
            ("linux/", "\"\" is an invalid component of \"linux/\": platform specifier component must match"),
            ("linux/arm 64", "\"arm 64\" is an invalid component of \"linux/arm 64\""),
            ("a/b/c/d", "\"a/b/c/d\": cannot parse platform specifier: invalid argument"),
            ("foobar", "\"foobar\": unknown operating system or architecture: invalid argument"),
        ] {
            let refused = Platform::parse(bad).unwrap_err().to_string();
            assert!(refused.contains(words), "{bad}: {refused}");
        }
    }
}
