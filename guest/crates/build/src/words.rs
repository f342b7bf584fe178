//! Words: splitting a line into them, and what becomes of one: quotes taken away, variables put in.
//!
//! Source: buildkit `parser/line_parsers.go` `parseWords`, `shell/lex.go`.

use crate::glob;

/// What a word may grow to by its variables.
const MAX_EXPANDED: usize = 1 << 20;
/// `${a:-${b:-…}}`
const MAX_NESTING: usize = 64;

/// Splits at white space outside of quotes; quotes and escapes stay in the words.
pub fn split(line: &str, escape: char) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            // Why not in single quotes: there an escape character is a character.
            _ if c == escape && quote != Some('\'') => {
                word.push(c);
                word.extend(characters.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Puts variables into words.
pub struct Expander<'a> {
    pub escape: char,
    /// A variable's value; unset ones have none.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Expander<'_> {
    /// One word: quotes go, variables are put in and not split.
    ///
    /// # Errors
    /// Quotes or braces without end, modifiers nobody knows, `${name:?text}` of an unset name.
    pub fn word(&self, text: &str) -> Result<String, String> {
        let mut pieces = self.scan(text, false)?;
        Ok(pieces.pop().unwrap_or_default())
    }

    /// Like [`Expander::word`], and split at unquoted white space, that of variables included.
    pub fn words(&self, text: &str) -> Result<Vec<String>, String> {
        let mut pieces = self.scan(text, true)?;
        pieces.retain(|piece| !piece.is_empty());
        Ok(pieces)
    }

    /// Variables alone: quotes stay, as in the text of a document.
    pub fn document(&self, text: &str) -> Result<String, String> {
        let mut scan = Scan { expander: self, rest: text.chars().collect(), at: 0, nesting: 0 };
        let mut out = String::new();
        while let Some(c) = scan.peek() {
            match c {
                '$' => out += &scan.dollar()?,
                '\\' if matches!(scan.rest.get(scan.at + 1), Some('$' | '\\')) => {
                    scan.at += 1;
                    out.extend(scan.next());
                }
                _ => out.extend(scan.next()),
            }
            bounded(&out)?;
        }
        Ok(out)
    }

    fn scan(&self, text: &str, splits: bool) -> Result<Vec<String>, String> {
        let mut scan = Scan { expander: self, rest: text.chars().collect(), at: 0, nesting: 0 };
        let mut words = vec![String::new()];
        while let Some(c) = scan.peek() {
            let last = words.last_mut().expect("there is always one");
            match c {
                '\'' => last.push_str(&scan.single_quoted()?),
                '"' => last.push_str(&scan.double_quoted()?),
                '$' => {
                    let value = scan.dollar()?;
                    if splits { spread(&mut words, &value) } else { last.push_str(&value) }
                }
                c if c == self.escape => {
                    scan.at += 1;
                    // Why kept at the end: there is nothing that it could make ordinary.
                    last.push(scan.next().unwrap_or(c));
                }
                c if splits && c.is_whitespace() => {
                    scan.at += 1;
                    words.push(String::new());
                }
                _ => last.extend(scan.next()),
            }
            bounded(words.last().expect("there is always one"))?;
        }
        Ok(words)
    }
}

fn bounded(text: &str) -> Result<(), String> {
    if text.len() > MAX_EXPANDED { Err("the expanded text is too long".to_owned()) } else { Ok(()) }
}

/// A variable's value in unquoted text: its own white space splits.
fn spread(words: &mut Vec<String>, value: &str) {
    for (index, piece) in value.split(char::is_whitespace).enumerate() {
        match words.last_mut().filter(|_| index == 0) {
            Some(last) => last.push_str(piece),
            None => words.push(piece.to_owned()),
        }
    }
}

struct Scan<'a> {
    expander: &'a Expander<'a>,
    rest: Vec<char>,
    at: usize,
    nesting: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.next() {
                Some('\'') => return Ok(out),
                Some(c) => out.push(c),
                None => return Err("unexpected end of statement while looking for matching single-quote".to_owned()),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('$') => out += &self.dollar()?,
                Some(c) if c == self.expander.escape => {
                    self.at += 1;
                    match self.next() {
                        // Only these are special within double quotes.
                        Some(next) if next == '"' || next == '$' || next == self.expander.escape => out.push(next),
                        Some(next) => out.extend([c, next]),
                        None => return Err(UNCLOSED.to_owned()),
                    }
                }
                Some(_) => out.extend(self.next()),
                None => return Err(UNCLOSED.to_owned()),
            }
        }
    }

    /// At a `$`.
    fn dollar(&mut self) -> Result<String, String> {
        self.at += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() { "$".to_owned() } else { self.value(&name).unwrap_or_default() });
        }
        self.at += 1;
        let name = self.name();
        if name.is_empty() {
            return Err("syntax error: bad substitution".to_owned());
        }
        match self.next() {
            Some('}') => Ok(self.value(&name).unwrap_or_default()),
            Some(':') => {
                let modifier = self.next().ok_or(BRACE)?;
                self.default(&name, modifier, true)
            }
            Some(modifier @ ('+' | '-' | '?')) => self.default(&name, modifier, false),
            Some(edge @ ('#' | '%')) => self.trim(&name, edge),
            Some('/') => self.replace(&name),
            Some(c) => Err(format!("unsupported modifier ({c}) in substitution")),
            None => Err(BRACE.to_owned()),
        }
    }

    /// A name, a digit or one of the shell's own characters; nothing for anything else.
    fn name(&mut self) -> String {
        match self.peek() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.at += 1;
                }
                name
            }
            Some(c) if c.is_ascii_digit() || "@*#?-$!".contains(c) => {
                self.at += 1;
                c.to_string()
            }
            _ => String::new(),
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        (self.expander.lookup)(name)
    }

    /// `${name:-word}` and its like; `empty_counts_as_unset` is the colon.
    fn default(&mut self, name: &str, modifier: char, empty_counts_as_unset: bool) -> Result<String, String> {
        let word = self.until(&['}'])?.0;
        let value = self.value(name).filter(|value| !(empty_counts_as_unset && value.is_empty()));
        match modifier {
            '+' => {
                if value.is_some() {
                    self.inner(&word)
                } else {
                    Ok(String::new())
                }
            }
            '-' => value.map_or_else(|| self.inner(&word), Ok),
            '?' => match value {
                Some(value) => Ok(value),
                None => {
                    let text = self.inner(&word)?;
                    let reason = if text.is_empty() { "is not allowed to be empty or unset".to_owned() } else { text };
                    Err(format!("{name}: {reason}"))
                }
            },
            other => Err(format!("unsupported modifier (:{other}) in substitution")),
        }
    }

    /// `${name#pattern}`, `##`, `%`, `%%`: without what matches at its beginning or end.
    fn trim(&mut self, name: &str, edge: char) -> Result<String, String> {
        let greedy = self.peek() == Some(edge);
        if greedy {
            self.at += 1;
        }
        let pattern = self.until(&['}'])?.0;
        let pattern = self.inner(&pattern)?;
        let value = self.value(name).unwrap_or_default();
        let ends: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
        let matches = |at: &&usize| {
            let piece = if edge == '#' { &value[..**at] } else { &value[**at..] };
            glob::matches_any(&pattern, piece)
        };
        // The shortest piece is the first from the beginning, the last from the end.
        let found = if greedy == (edge == '#') { ends.iter().rev().find(matches) } else { ends.iter().find(matches) };
        Ok(match found {
            Some(at) if edge == '#' => value[*at..].to_owned(),
            Some(at) => value[..*at].to_owned(),
            None => value,
        })
    }

    /// `${name/pattern/with}`, `//`: the first, or every, match replaced.
    fn replace(&mut self, name: &str) -> Result<String, String> {
        let every = self.peek() == Some('/');
        if every {
            self.at += 1;
        }
        let (pattern, end) = self.until(&['/', '}'])?;
        let with = if end == '/' { self.until(&['}'])?.0 } else { String::new() };
        let (pattern, with) = (self.inner(&pattern)?, self.inner(&with)?);
        let value: Vec<char> = self.value(name).unwrap_or_default().chars().collect();
        let (mut out, mut at, mut done) = (String::new(), 0, pattern.is_empty());
        while at < value.len() {
            let longest = (at + 1..=value.len())
                .rev()
                .find(|end| !done && glob::matches_any(&pattern, &value[at..*end].iter().collect::<String>()));
            match longest {
                Some(end) => {
                    out += &with;
                    at = end;
                    done = !every;
                }
                None => {
                    out.push(value[at]);
                    at += 1;
                }
            }
            bounded(&out)?;
        }
        Ok(out)
    }

    /// Raw text up to one of `ends` that is in no braces and no quotes of its own; which one is told.
    fn until(&mut self, ends: &[char]) -> Result<(String, char), String> {
        let (mut text, mut depth) = (String::new(), 0_usize);
        while let Some(c) = self.next() {
            if depth == 0 && ends.contains(&c) {
                return Ok((text, c));
            }
            match c {
                '{' if text.ends_with('$') => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                c if c == self.expander.escape => {
                    text.push(c);
                    text.extend(self.next());
                    continue;
                }
                _ => {}
            }
            text.push(c);
        }
        Err(BRACE.to_owned())
    }

    /// A word within a substitution: variables in it count, too.
    fn inner(&mut self, text: &str) -> Result<String, String> {
        if self.nesting >= MAX_NESTING {
            return Err("substitutions are nested too deeply".to_owned());
        }
        let mut scan = Scan { expander: self.expander, rest: text.chars().collect(), at: 0, nesting: self.nesting + 1 };
        let mut out = String::new();
        while let Some(c) = scan.peek() {
            match c {
                '\'' => out += &scan.single_quoted()?,
                '"' => out += &scan.double_quoted()?,
                '$' => out += &scan.dollar()?,
                c if c == self.expander.escape => {
                    scan.at += 1;
                    out.push(scan.next().unwrap_or(c));
                }
                _ => out.extend(scan.next()),
            }
        }
        Ok(out)
    }
}

const UNCLOSED: &str = "unexpected end of statement while looking for matching double-quote";
const BRACE: &str = "syntax error: missing '}'";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/me".to_owned()),
            "EMPTY" => Some(String::new()),
            "LIST" => Some("a b".to_owned()),
            "FILE" => Some("dir/archive.tar.gz".to_owned()),
            _ => None,
        }
    }

    fn expander() -> Expander<'static> {
        Expander { escape: '\\', lookup: &lookup }
    }

    // Pairs as in buildkit's own table (shell/envVarTest), in words of our own.
    #[test]
    fn variables_quotes_and_escapes() {
        for (text, expected) in [
            ("plain", "plain"),
            ("'$HOME'", "$HOME"),
            ("\"$HOME\"", "/home/me"),
            ("\\$HOME", "$HOME"),
            ("\"\\$HOME\"", "$HOME"),
            ("a\\bc", "abc"),
            ("\"a\\bc\"", "a\\bc"),
            ("$HOMEx", ""),
            ("${HOME}x", "/home/mex"),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("${UNSET:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${HOME:-d}", "/home/me"),
            ("${HOME:+set}", "set"),
            ("${EMPTY:+set}", ""),
            ("${EMPTY+set}", "set"),
            ("${UNSET:-${HOME}/x}", "/home/me/x"),
            ("${UNSET:-a\\}b}", "a}b"),
            ("${FILE#*/}", "archive.tar.gz"),
            ("${FILE%.*}", "dir/archive.tar"),
            ("${FILE%%.*}", "dir/archive"),
            ("${FILE##*.}", "gz"),
            ("${FILE/ar/AR}", "dir/ARchive.tar.gz"),
            ("${FILE//ar/AR}", "dir/ARchive.tAR.gz"),
            ("${FILE//r?/-}", "di-a-hive.ta-gz"),
            ("end\\", "end\\"),
        ] {
            assert_eq!(expander().word(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn words_split_where_nothing_quotes() {
        let words = |text| expander().words(text).unwrap();
        assert_eq!(words("80 $LIST \"$LIST\" 'c d'"), ["80", "a", "b", "a b", "c d"]);
        assert_eq!(split("a \"b c\" d\\ e 'f\\' g", '\\'), ["a", "\"b c\"", "d\\ e", "'f\\'", "g"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text| expander().word(text).unwrap_err();
        assert_eq!(refused("${UNSET:?is missing}"), "UNSET: is missing");
        assert!(refused("'open").contains("single-quote"));
        assert!(refused("\"open").contains("double-quote"));
        assert!(refused("${HOME").contains("missing '}'"));
        assert!(refused("${HOME:x}").contains("unsupported modifier"));
        assert!(refused("${}").contains("bad substitution"));
        assert!(expander().word(&"${U-".repeat(500)).is_err());
    }

    #[test]
    fn documents_keep_their_quotes() {
        assert_eq!(expander().document("\"$HOME\" '\\$HOME' \\n").as_deref(), Ok("\"/home/me\" '$HOME' \\n"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}", escape in prop::sample::select(vec!['\\', '`'])) {
            let expander = Expander { escape, lookup: &lookup };
            let _ = (expander.word(&text), expander.words(&text), expander.document(&text), split(&text, escape));
        }
    }
}
