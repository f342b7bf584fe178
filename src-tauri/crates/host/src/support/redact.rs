//! Takes out of a text what nobody else may see. Rather too much than too little.

use std::borrow::Cow;
use std::path::Path;

use regex_lite::{Captures, Regex};

const GONE: &str = "<redacted>";

/// What is looked for, in this order. The group `keep` stays, everything else of the match goes.
const PATTERNS: &[&str] = &[
    // https://user:password@host
    r"(?P<keep>[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@\x22']+@",
    // Authorization: Bearer …, X-Registry-Auth: …
    r"(?i)(?P<keep>(?:authorization|x-registry-auth|x-registry-config|cookie|set-cookie)[\x22']?\s*[:=]\s*[\x22']?)[^\r\n\x22']+",
    r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}",
    // "password": "…", token=…, --api-key …
    r#"(?i)(?P<keep>[\w.-]*(?:passw(?:or)?d|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|\bauth\b)[\w.-]*\\?["']?\s*[:=]\s*)(?:\\?"[^"\r\n]*"?|'[^'\r\n]*'?|[^\s,;"'}\]]+)"#,
    // NAME=value: environment values, whatever they are
    r#"(?P<keep>\b[A-Z_][A-Z0-9_]{1,}=)(?:"[^"\r\n]*"?|'[^'\r\n]*'?|[^\s"',\]]+)"#,
    // Keys and tokens that are known by their looks
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|dckr_pat_[\w-]{16,}|AKIA[A-Z0-9]{16}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
];

/// Compiled once per bundle.
#[derive(Debug)]
pub struct Redactor {
    home: Option<Regex>,
    patterns: Vec<Regex>,
}

impl Redactor {
    /// `home` becomes `~`: it has the user's name in it.
    pub fn new(home: Option<&Path>) -> Self {
        let home = home.map(|home| home.display().to_string()).filter(|home| home.len() > 1);
        let home = home.map(|home| Regex::new(&home_pattern(&home)).expect("what is escaped is a pattern"));
        let patterns = PATTERNS.iter().map(|pattern| Regex::new(pattern).expect("the patterns are constant")).collect();
        Self { home, patterns }
    }

    pub fn text(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        if let Some(home) = &self.home {
            text = Cow::Owned(home.replace_all(&text, "~").into_owned());
        }
        for pattern in &self.patterns {
            let replaced = pattern.replace_all(&text, |found: &Captures<'_>| {
                format!("{}{GONE}", found.name("keep").map_or("", |keep| keep.as_str()))
            });
            text = Cow::Owned(replaced.into_owned());
        }
        text.into_owned()
    }
}

/// Every spelling of the home directory. On Windows that is many: any case, `\` twice in JSON, `/` in addresses, and
/// `/c/Users/…` for the guest.
fn home_pattern(home: &str) -> String {
    let Some((drive, rest)) = home.split_once(':').filter(|(drive, _)| drive.len() == 1) else {
        return regex_lite::escape(home);
    };
    let names: Vec<String> = rest.split(['\\', '/']).filter(|name| !name.is_empty()).map(regex_lite::escape).collect();
    format!(r"(?i)(?:\b{drive}:|/{drive})[\\/]{{1,4}}{}", names.join(r"[\\/]{1,4}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_whatever_they_stand_in() {
        let redactor = Redactor::new(Some(Path::new("/home/ada")));
        for text in [
            "env: POSTGRES_PASSWORD=S3CRET",
            "Env=[\"DATABASE_URL=postgres://u:S3CRET@db/x\", \"B=1\"]",
            "pull https://ada:S3CRET@registry.example/v2/",
            "Authorization: Basic S3CRETS3CRET",
            "header X-Registry-Auth: S3CRET",
            "{\"auth\": \"S3CRET\", \"identitytoken\":\"S3CRET\"}",
            "{\\\"password\\\": \\\"S3CRET\\\"}",
            "docker login --password=S3CRET",
            "aws_secret_access_key = S3CRET",
            "MY_SETTING='S3CRET with spaces'",
            "ghp_S3CRETS3CRETS3CRETS3CRETS3CRET",
            "-----BEGIN RSA PRIVATE KEY-----\nS3CRET\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nS3CRET cut off",
            "bearer S3CRET.S3CRET",
            "opened /home/ada/S3CRET".trim_end_matches("/S3CRET"),
        ] {
            let clean = redactor.text(text);
            assert!(!clean.contains("S3CRET") && !clean.contains("ada"), "{text} became {clean}");
        }
    }

    #[test]
    fn a_home_on_windows_has_many_spellings() {
        let redactor = Redactor::new(Some(Path::new(r"C:\Users\ada.l")));
        for text in [r"C:\Users\ada.l\x", r#"{"p":"c:\\users\\ADA.L\\x"}"#, "C:/Users/ada.l/x", "bind /c/Users/ada.l/x"]
        {
            let clean = redactor.text(text);
            assert!(clean.contains('~') && !clean.to_lowercase().contains("ada"), "{text} became {clean}");
        }
        assert_eq!(redactor.text(r"C:\Users\adaxl"), r"C:\Users\adaxl");
    }

    #[test]
    fn what_helps_stays() {
        let redactor = Redactor::new(None);
        let text = "2026-11-21T11:00:00Z  INFO machine on machine=\"default\" accelerator=tcg pid=4711\nimage alpine:3.20 started";
        assert_eq!(redactor.text(text), text);
        assert_eq!(redactor.text("PATH=/usr/bin next"), "PATH=<redacted> next");
        assert_eq!(redactor.text("https://example.org/a@b"), "https://example.org/a@b");
    }
}
