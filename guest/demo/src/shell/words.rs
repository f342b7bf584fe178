//! A line becomes commands: quotes, `\`, `$NAME`, `;`, `&&`, `||`. Everything else of a real shell is refused by name, because
//! running half of a pipeline would be worse than running none.

/// When a command runs, given how the one before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    Always,
    IfGood,
    IfBad,
}

/// One command: its words.
pub type Step = Vec<String>;

/// Splits `line`; `variable` gives a variable's value.
pub fn parse(line: &str, variable: impl Fn(&str) -> String) -> Result<Vec<(Join, Step)>, String> {
    let mut steps = Vec::new();
    let mut join = Join::Always;
    let mut step = Step::new();
    let mut word: Option<String> = None;
    let mut chars = line.trim().chars().peekable();
    let finish = |word: &mut Option<String>, step: &mut Step| step.extend(word.take());
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() && c != '\n' => finish(&mut word, &mut step),
            '#' if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            ';' | '\n' | '&' | '|' => {
                finish(&mut word, &mut step);
                let doubled = chars.next_if_eq(&c).is_some();
                let next = match (c, doubled) {
                    (';' | '\n', _) => Join::Always,
                    ('&', true) => Join::IfGood,
                    ('|', true) => Join::IfBad,
                    _ => return Err(format!("{c} is more than this little shell can do")),
                };
                if !step.is_empty() {
                    steps.push((join, std::mem::take(&mut step)));
                }
                join = next;
            }
            '<' | '>' | '`' | '(' | ')' => return Err(format!("{c} is more than this little shell can do")),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a quote is not closed".into()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('$') => word.push_str(&expand(&mut chars, &variable)),
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => {}
                        },
                        Some(c) => word.push(c),
                        None => return Err("a quote is not closed".into()),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '$' => word.get_or_insert_default().push_str(&expand(&mut chars, &variable)),
            c => word.get_or_insert_default().push(c),
        }
    }
    finish(&mut word, &mut step);
    if !step.is_empty() {
        steps.push((join, step));
    }
    Ok(steps)
}

fn expand(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, variable: &impl Fn(&str) -> String) -> String {
    if chars.next_if_eq(&'?').is_some() {
        return variable("?");
    }
    let braced = chars.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    if braced {
        chars.next_if_eq(&'}');
    }
    if name.is_empty() { "$".into() } else { variable(&name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Vec<(Join, Vec<String>)> {
        parse(line, |name| format!("<{name}>")).unwrap()
    }

    fn one(line: &str) -> Vec<String> {
        let mut steps = parsed(line);
        assert_eq!(steps.len(), 1, "{steps:?}");
        steps.remove(0).1
    }

    #[test]
    fn quotes_keep_words_together_and_single_ones_keep_dollars() {
        assert_eq!(one(r#"echo 'a $B' "c $D ${E}x" f\ g """#), ["echo", "a $B", "c <D> <E>x", "f g", ""]);
        assert_eq!(one("echo $? # comment"), ["echo", "<?>"]);
    }

    #[test]
    fn commands_are_joined() {
        let steps = parsed("a; b && c || d\ne");
        let joins: Vec<_> = steps.iter().map(|(join, _)| *join).collect();
        assert_eq!(joins, [Join::Always, Join::Always, Join::IfGood, Join::IfBad, Join::Always]);
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        for line in ["a | b", "a > b", "a &", "$(a)", "echo 'open"] {
            assert!(parse(line, |_| String::new()).is_err(), "{line}");
        }
    }
}
