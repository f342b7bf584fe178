//! Here-documents: text of several lines after the line that announces it.
//!
//! Only `RUN`, `COPY` and `ADD` have them. Source: buildkit `parser/parser.go` `ParseHeredoc`, `heredocsFromLine`.

use crate::words;

/// A document as an instruction gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HereDoc {
    /// The word that ends it; for `COPY` also the file's name.
    pub name: String,
    /// Variables in it count: its name was not quoted.
    pub expand: bool,
    /// Tabs at the beginning of lines were taken away.
    pub chomp: bool,
    pub text: String,
}

/// The documents that a logical line announces, in order, without text yet.
///
/// # Errors
/// Quotes without end.
pub fn announced(line: &str, escape: char) -> Result<Vec<HereDoc>, String> {
    let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let keyword = keyword.to_ascii_uppercase();
    let rest = rest.trim_start();
    match keyword.as_str() {
        "ONBUILD" => return announced(rest, escape),
        "RUN" | "COPY" | "ADD" => {}
        _ => return Ok(Vec::new()),
    }
    // Why: the exec form has no shell that could read a document.
    if !rest.contains("<<") || serde_json::from_str::<Vec<String>>(rest).is_ok() {
        return Ok(Vec::new());
    }
    words::split(rest, escape).into_iter().map(|word| Ok(announcement(&word))).filter_map(Result::transpose).collect()
}

/// `<<NAME`, `<<-NAME`, `3<<"NAME"`; anything else announces nothing.
pub fn announcement(word: &str) -> Option<HereDoc> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (chomp, name) = rest.strip_prefix('-').map_or((false, rest), |name| (true, name));
    if name.is_empty() || name.contains('<') {
        return None;
    }
    let bare: String = name.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
    let plain = bare.chars().all(|c| !c.is_whitespace()) && !bare.is_empty();
    plain.then(|| HereDoc { expand: bare == name, name: bare, chomp, text: String::new() })
}

/// Takes the document's lines out of `lines`, its end included.
///
/// # Errors
/// The file ends first.
pub fn collect<'a>(mut document: HereDoc, lines: impl Iterator<Item = &'a str>) -> Result<HereDoc, String> {
    for line in lines {
        let line = if document.chomp { line.trim_start_matches('\t') } else { line };
        if line.trim_end_matches('\r') == document.name {
            return Ok(document);
        }
        document.text += line;
        document.text.push('\n');
    }
    Err("unterminated heredoc".to_owned())
}
