//! Physical lines to logical ones.
//!
//! Directives stand before everything else. A line whose last character is the escape character goes on in the next;
//! comments and empty lines in between do not count. Source: buildkit `parser/parser.go`, `parser/directives.go`.

use crate::{
    error::{Error, Result, at},
    heredoc::{self, HereDoc},
};

/// A longer Dockerfile is not read.
pub const MAX_BYTES: usize = 4 << 20;
/// One logical line. Source: buildkit `bufio.MaxScanTokenSize` times what anyone has needed.
const MAX_LINE: usize = 1 << 20;

/// One instruction with its arguments as written, joined, and the documents it announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins, counted from 1.
    pub number: usize,
    pub text: String,
    pub documents: Vec<HereDoc>,
}

/// What the top of the file says about the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directives {
    pub escape: char,
}

/// # Errors
/// A file that is too large or empty, an unknown escape character, a document without end.
pub fn read(text: &str) -> Result<(Directives, Vec<Line>)> {
    if text.len() > MAX_BYTES {
        return Err(Error::Whole(format!("the Dockerfile is larger than {} MiB", MAX_BYTES >> 20)));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directives = directives(text)?;
    let mut lines = Vec::new();
    let mut physical = text.lines().enumerate();
    while let Some((index, first)) = physical.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let (mut joined, mut goes_on) = continued(first, directives.escape);
        while goes_on {
            let Some((_, next)) = physical.next() else { break };
            let bare = next.trim_start();
            if bare.is_empty() || bare.starts_with('#') {
                continue;
            }
            let (part, more) = continued(next, directives.escape);
            joined += &part;
            goes_on = more;
            if joined.len() > MAX_LINE {
                return Err(at(number)(format!("the line is longer than {} KiB", MAX_LINE >> 10)));
            }
        }
        let announced = heredoc::announced(&joined, directives.escape).map_err(at(number))?;
        let mut documents = Vec::with_capacity(announced.len());
        for announcement in announced {
            let document = heredoc::collect(announcement, physical.by_ref().map(|(_, line)| line));
            documents.push(document.map_err(at(number))?);
        }
        lines.push(Line { number, text: joined.trim_end().to_owned(), documents });
    }
    Ok((directives, lines))
}

/// The line without its last escape character, and whether it had one. An escape before it makes it an ordinary character.
fn continued(line: &str, escape: char) -> (String, bool) {
    let trimmed = line.trim_end_matches([' ', '\t', '\r']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest.to_owned(), true),
        _ => (line.trim_end_matches('\r').to_owned(), false),
    }
}

fn directives(text: &str) -> Result<Directives> {
    let mut directives = Directives { escape: '\\' };
    let mut seen = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((name, value)) = line.trim_start().strip_prefix('#').and_then(|rest| rest.split_once('=')) else {
            break;
        };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if !matches!(name.as_str(), "syntax" | "escape" | "check") {
            break;
        }
        if seen.contains(&name) {
            return Err(at(index + 1)(format!("only one {name} parser directive can be used")));
        }
        if name == "escape" {
            directives.escape = match value {
                "\\" => '\\',
                "`" => '`',
                other => {
                    return Err(at(index + 1)(format!("invalid ESCAPE '{other}' does not match ` or \\")));
                }
            };
        }
        seen.push(name);
    }
    Ok(directives)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(usize, String)> {
        read(text).unwrap().1.into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn continuations_skip_comments_and_empty_lines() {
        let text = "\u{feff}# a comment\n\nFROM a  \n  RUN one \\\n# not this\n\n   two \\  \n three\\\\\nCMD x\\";
        assert_eq!(texts(text), [(3, "FROM a".into()), (4, "RUN one    two  three\\\\".into()), (9, "CMD x".into()),]);
    }

    #[test]
    fn windows_line_ends_are_ends() {
        assert_eq!(texts("FROM a\r\nRUN b \\\r\n c\r\n"), [(1, "FROM a".into()), (2, "RUN b  c".into())]);
    }

    #[test]
    fn the_escape_character_is_the_files_choice() {
        let (directives, lines) = read("# syntax=x\n# escape=`\nRUN a `\n b\\\nRUN c").unwrap();
        assert_eq!((directives.escape, lines.len()), ('`', 2));
        assert_eq!(lines[0].text, "RUN a  b\\");
        let error = read("# escape=x\n").unwrap_err();
        assert_eq!(error.to_string(), "dockerfile parse error on line 1: invalid ESCAPE 'x' does not match ` or \\");
    }

    #[test]
    fn documents_follow_their_line() {
        let (_, lines) = read("RUN <<A cat <<-'B'\none\nA\n\ttwo $x\n\tB\nUSER x").unwrap();
        assert_eq!((lines.len(), lines[1].text.as_str(), lines[1].number), (2, "USER x", 6));
        let documents: Vec<_> = lines[0].documents.iter().map(|d| (d.text.as_str(), d.expand)).collect();
        assert_eq!(documents, [("one\n", true), ("two $x\n", false)]);
        assert!(read("RUN <<A\nno end").unwrap_err().to_string().contains("unterminated heredoc"));
    }
}
