//! `.dockerignore`: which paths of a context are left out.
//!
//! Source: moby/patternmatcher: lines are patterns of [`glob`], `**` stands for any number of directories, `!` takes back,
//! the last that fits decides, and what a pattern fits it fits with everything below.

use crate::glob;

/// True when the text of a `.dockerignore` leaves `path` (relative, clean) out.
pub fn leaves_out(text: &str, path: &str) -> bool {
    let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut out = false;
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (back, pattern) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        let pattern: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if !pattern.is_empty() && (1..=path.len()).any(|depth| fits(&pattern, &path[..depth])) {
            out = !back;
        }
    }
    out
}

/// Remembers only the last `**`, as [`glob`] does with stars.
fn fits(pattern: &[&str], path: &[&str]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut any: Option<(usize, usize)> = None;
    while t < path.len() {
        match pattern.get(p) {
            Some(&"**") => {
                any = Some((p, t));
                p += 1;
                // Why: at the end it stands for at least one part.
                if p == pattern.len() {
                    return true;
                }
            }
            Some(part) if glob::matches(part, path[t]) => (p, t) = (p + 1, t + 1),
            _ => match any {
                Some((at, from)) => {
                    any = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    p == pattern.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_fits_decides() {
        for (text, path, out) in [
            ("Dockerfile", "Dockerfile", true),
            ("# Dockerfile", "Dockerfile", false),
            ("*file\n!Dockerfile", "Dockerfile", false),
            ("/a/", "a/b/c", true),
            ("a/*", "a/b/c", true),
            ("*/c", "a/b/c", false),
            ("**/c", "a/b/c", true),
            ("**/c", "c", true),
            ("a/**/c", "a/c", true),
            ("a/**", "a", false),
            (".dockerignore\n\n", ".dockerignore", true),
            ("**", "x", true),
            ("!**", "x", false),
        ] {
            assert_eq!(leaves_out(text, path), out, "{text:?} {path}");
        }
    }
}
