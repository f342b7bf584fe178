//! Names of images, as Docker's clients write them.
//!
//! ```text
//! reference = [domain "/"] path [":" tag] ["@" digest]
//! busybox                       → docker.io/library/busybox        (canonical; "latest" only where asked for)
//! localhost:5000/a/b:1@sha256:… → as written
//! ```
//! Source: github.com/distribution/reference (grammar, normalisation, wording of errors).

use std::{fmt, str::FromStr};

use crate::digest::Digest;

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

/// A valid image name, normalised: the domain is always there, official images are under `library/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text names no image, in dockerd's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReference {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    #[error("repository name must not be more than {NAME_LIMIT} characters")]
    TooLong,
    #[error("unsupported digest algorithm")]
    DigestAlgorithm,
    #[error("invalid checksum digest length")]
    DigestLength,
}

impl Reference {
    /// Parses what a user typed.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        if is_hex_id(text) {
            return Err(InvalidReference::LooksLikeId(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let remote = &remainder[..remainder.find(':').unwrap_or(remainder.len())];
        if remote.chars().any(char::is_uppercase) {
            return Err(InvalidReference::Uppercase(remote.to_owned()));
        }
        let (name, digest) = match remainder.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest)?)),
            None => (remainder.as_str(), None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        if !is_domain(&domain) || !path.split('/').all(is_path_component) || !tag.is_none_or(is_tag) {
            return Err(InvalidReference::Format);
        }
        if domain.len() + 1 + path.len() > NAME_LIMIT {
            return Err(InvalidReference::TooLong);
        }
        Ok(Self { domain, path: path.to_owned(), tag: tag.map(str::to_owned), digest })
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within its domain: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Domain and path: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The shortest spelling of domain and path: `busybox`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The shortest spelling of everything: `busybox:1`.
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map_or_else(String::new, |digest| format!("@{digest}"));
        tag + &digest
    }

    /// With `latest` when neither tag nor digest is given. Source: `reference.TagNameOnly`.
    pub fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".to_owned());
        }
        self
    }

    /// The same repository under another tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        if !is_tag(tag) {
            return Err(InvalidReference::Format);
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository by digest alone.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Without tag and digest.
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }
}

/// The canonical spelling, which parses back to the same reference.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        Self::parse(text)
    }
}

/// True for a full id: 64 lower-case hexadecimal digits.
pub fn is_hex_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first component is a domain only when it looks like one: otherwise `user/image` could not be told from
/// `host/image`.
fn split_domain(text: &str) -> (String, String) {
    let (mut domain, mut remainder) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase) =>
        {
            (first.to_owned(), rest.to_owned())
        }
        _ => (DEFAULT_DOMAIN.to_owned(), text.to_owned()),
    };
    if domain == LEGACY_DOMAIN {
        domain = DEFAULT_DOMAIN.to_owned();
    }
    if domain == DEFAULT_DOMAIN && !remainder.contains('/') {
        remainder.insert_str(0, OFFICIAL);
    }
    (domain, remainder)
}

fn parse_digest(text: &str) -> Result<Digest, InvalidReference> {
    let (algorithm, hex) = text.split_once(':').ok_or(InvalidReference::Format)?;
    let well_formed = algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
        && algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+.".contains(&b))
        && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit());
    match (well_formed, algorithm) {
        (false, _) => Err(InvalidReference::Format),
        (true, "sha256") => Digest::from_hex(hex).map_err(|_| InvalidReference::DigestLength),
        (true, _) => Err(InvalidReference::DigestAlgorithm),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_fits = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(is_domain_component),
    };
    host_fits && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_domain_component(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Lower-case words joined by one of `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(word) || !bytes.last().copied().is_some_and(word) {
        return false;
    }
    bytes.split(|b| word(*b)).all(|run| matches!(run, b"" | b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-'))
}

fn is_tag(text: &str) -> bool {
    (1..=TAG_LIMIT).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_become_canonical_and_short_again() {
        for (typed, canonical, familiar) in [
            ("busybox", "docker.io/library/busybox", "busybox"),
            ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
            ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
            ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
            ("user/app", "docker.io/user/app", "user/app"),
            ("library/a/b", "docker.io/library/a/b", "library/a/b"),
            ("localhost/app", "localhost/app", "localhost/app"),
            ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
            ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
            ("HOST/app", "HOST/app", "HOST/app"),
            ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f", "a__b/c--d.e_f"),
        ] {
            let reference = Reference::parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.familiar(), familiar);
        }
        let both = Reference::parse(&format!("a:1@sha256:{HEX}")).unwrap();
        assert_eq!((both.tag(), both.digest().map(Digest::hex).as_deref()), (Some("1"), Some(HEX)));
        assert_eq!(Reference::parse("a").unwrap().or_latest().familiar(), "a:latest");
    }

    #[test]
    fn nonsense_is_refused_in_dockerds_words() {
        for (typed, message) in [
            ("", "invalid reference format"),
            (":a", "invalid reference format"),
            ("a:", "invalid reference format"),
            ("a@", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("/a", "invalid reference format"),
            ("a b", "invalid reference format"),
            ("a___b", "invalid reference format"),
            ("a.-b", "invalid reference format"),
            ("-a", "invalid reference format"),
            ("a:-b", "invalid reference format"),
            ("a@sha256:12", "invalid reference format"),
            ("host:port/a", "invalid reference format"),
            ("../etc", "invalid reference format"),
            ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
            ("x/Y:1", "invalid reference format: repository name (x/Y) must be lowercase"),
        ] {
            assert_eq!(Reference::parse(typed).unwrap_err().to_string(), message, "{typed:?}");
        }
        assert!(matches!(Reference::parse(HEX), Err(InvalidReference::LooksLikeId(_))));
        assert_eq!(Reference::parse(&format!("a:{}", "x".repeat(129))), Err(InvalidReference::Format));
        assert_eq!(Reference::parse(&"a".repeat(250)), Err(InvalidReference::TooLong));
        let sha512 = format!("a@sha512:{HEX}");
        assert_eq!(Reference::parse(&sha512), Err(InvalidReference::DigestAlgorithm));
    }

    proptest! {
        #[test]
        fn canonical_and_familiar_spellings_parse_back(
            domain in proptest::option::of("(localhost|[a-z]{1,5}\\.[a-z]{2,3})(:[0-9]{1,5})?"),
            path in "[a-z0-9]{1,8}((_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,8}(\\.[a-z0-9]{1,3})?){0,3}",
            tag in proptest::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
            digest in proptest::option::of("[0-9a-f]{64}"),
        ) {
            let mut text = domain.map_or(String::new(), |domain| domain + "/") + &path;
            text += &tag.map_or(String::new(), |tag| format!(":{tag}"));
            text += &digest.map_or(String::new(), |digest| format!("@sha256:{digest}"));
            prop_assume!(!is_hex_id(&text));
            let reference = Reference::parse(&text).unwrap();
            prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,80}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
            }
        }
    }
}
