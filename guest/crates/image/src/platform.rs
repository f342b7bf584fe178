//! `os/architecture[/variant]`, as images are told apart.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))) {
            return None;
        }
        let native = Self::native();
        let parsed = match parts.as_slice() {
            ["linux" | "windows" | "darwin" | "freebsd"] => Self { os: parts[0].into(), ..native },
            [architecture] => Self { os: native.os, architecture: (*architecture).into(), variant: None },
            [os, architecture] => Self { os: (*os).into(), architecture: (*architecture).into(), variant: None },
            [os, architecture, variant] => {
                Self { os: (*os).into(), architecture: (*architecture).into(), variant: Some((*variant).into()) }
            }
            _ => return None,
        };
        Some(parsed.normalized())
    }

    /// One spelling for each platform. Source: containerd `platforms.Normalize`.
    pub fn normalized(mut self) -> Self {
        self.os = self.os.to_lowercase();
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
        for bad in ["", "/", "a/b/c/d", "linux/", "linux/arm 64"] {
            assert_eq!(Platform::parse(bad), None, "{bad}");
        }
    }
}
