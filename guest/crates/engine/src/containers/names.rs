//! Container names: what is allowed, and made-up ones.

use crate::error::{Error, Result};

const FIRST: &[&str] = &[
    "agile", "amber", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "cheery", "clever", "cosy",
    "crisp", "curious", "dapper", "daring", "deft", "eager", "earnest", "easy", "fair", "fleet", "fond", "frank",
    "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind",
    "lively", "lucid", "lucky", "mellow", "merry", "mighty", "neat", "nimble", "noble", "patient", "placid", "plucky",
    "polite", "proud", "quick", "quiet", "radiant", "ready", "rosy", "serene", "sharp", "silver", "sincere", "smart",
    "snug", "sober", "spry", "stable", "steady", "stout", "sturdy", "sunny", "swift", "tender", "tidy", "upbeat",
    "valiant", "vivid", "warm", "wise", "witty", "zesty",
];
const SECOND: &[&str] = &[
    "allen",
    "babbage",
    "bardeen",
    "bartik",
    "bell",
    "borg",
    "bose",
    "cerf",
    "clarke",
    "codd",
    "conway",
    "cray",
    "curie",
    "darwin",
    "davinci",
    "dijkstra",
    "einstein",
    "elion",
    "engelbart",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "feynman",
    "franklin",
    "galileo",
    "gauss",
    "goodall",
    "haibt",
    "hamilton",
    "hawking",
    "hertz",
    "hodgkin",
    "holberton",
    "hopper",
    "hypatia",
    "jackson",
    "johnson",
    "keller",
    "kepler",
    "kilby",
    "knuth",
    "lamarr",
    "leakey",
    "liskov",
    "lovelace",
    "maxwell",
    "mccarthy",
    "mclean",
    "meitner",
    "mendel",
    "mirzakhani",
    "newton",
    "nobel",
    "noether",
    "pascal",
    "pasteur",
    "perlman",
    "pike",
    "planck",
    "poincare",
    "ptolemy",
    "raman",
    "ritchie",
    "rosalind",
    "sammet",
    "shannon",
    "shaw",
    "snyder",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "villani",
    "wiles",
    "wing",
    "wozniak",
    "wright",
    "yonath",
];

/// `adjective_surname`, with a digit from the second try on.
pub fn invent(attempt: u32) -> String {
    let pick = |words: &[&'static str]| words[fastrand::usize(..words.len())];
    let digit = if attempt > 0 { fastrand::u8(..10).to_string() } else { String::new() };
    format!("{}_{}{digit}", pick(FIRST), pick(SECOND))
}

/// The name without its slash.
///
/// # Errors
/// Invalid, in dockerd's words.
pub fn check(name: &str) -> Result<&str> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    let mut bytes = bare.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bare.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if good {
        return Ok(bare);
    }
    Err(Error::invalid(format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_dockerd_does() {
        assert_eq!(check("/web-1.x_Y").unwrap(), "web-1.x_Y");
        for bad in ["", "/", "a", "-ab", "a b", "a/b", "ünï", "_a"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert_eq!(
            check("a b").unwrap_err().message(),
            "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
    }

    #[test]
    fn invented_names_are_allowed() {
        for attempt in 0..200 {
            check(&invent(attempt)).unwrap();
        }
    }
}
