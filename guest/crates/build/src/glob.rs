//! Patterns for names: `*`, `?`, `[a-z]`, `[^a]`, `\x`. Source: Go `path/filepath.Match`, which `COPY` uses.

/// True when `pattern` matches the whole of `path`; `*` and `?` match no `/`.
pub fn matches(pattern: &str, path: &str) -> bool {
    run(&chars(pattern), &chars(path), false)
}

/// The same with `*` and `?` matching everything: the shell's patterns for texts.
pub fn matches_any(pattern: &str, text: &str) -> bool {
    run(&chars(pattern), &chars(text), true)
}

/// True when the text is a pattern and not just a name.
pub fn is_pattern(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|c| {
        let magic = !escaped && matches!(c, '*' | '?' | '[');
        escaped = c == '\\' && !escaped;
        magic
    })
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// Remembers only the last star: enough, and never more than pattern × text steps.
fn run(pattern: &[char], text: &[char], slashes: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, t));
            p += 1;
            continue;
        }
        if let Some(next) = one(pattern, p, text[t], slashes) {
            (p, t) = (next, t + 1);
            continue;
        }
        match star {
            Some((at, from)) if slashes || text[from] != '/' => {
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// The place in the pattern after one character matched.
fn one(pattern: &[char], p: usize, c: char, slashes: bool) -> Option<usize> {
    match pattern.get(p)? {
        '?' => (slashes || c != '/').then_some(p + 1),
        '[' => class(pattern, p, c).filter(|_| slashes || c != '/'),
        '\\' => (*pattern.get(p + 1)? == c).then_some(p + 2),
        literal => (*literal == c).then_some(p + 1),
    }
}

fn class(pattern: &[char], start: usize, c: char) -> Option<usize> {
    let mut p = start + 1;
    let negated = matches!(pattern.get(p), Some('^' | '!'));
    if negated {
        p += 1;
    }
    let (mut found, first) = (false, p);
    while pattern.get(p).is_some_and(|end| *end != ']' || p == first) {
        let low = character(pattern, &mut p)?;
        let mut high = low;
        if pattern.get(p) == Some(&'-') && pattern.get(p + 1).is_some_and(|next| *next != ']') {
            p += 1;
            high = character(pattern, &mut p)?;
        }
        found |= (low..=high).contains(&c);
    }
    pattern.get(p)?;
    (found != negated).then_some(p + 1)
}

fn character(pattern: &[char], p: &mut usize) -> Option<char> {
    if pattern.get(*p) == Some(&'\\') {
        *p += 1;
    }
    let c = *pattern.get(*p)?;
    *p += 1;
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_gos_do() {
        for (pattern, path, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("d/*.txt", "d/a.txt", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a*b*c", "aXbYbZc", true),
            ("*", "", true),
            ("[", "[", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        assert!(matches_any("*/", "a/b/"));
        assert!(is_pattern("a*") && !is_pattern("a\\*") && is_pattern("\\\\*"));
    }

    #[test]
    fn many_stars_cost_little() {
        assert!(!matches(&"*a".repeat(200), &"a".repeat(150)));
    }
}
