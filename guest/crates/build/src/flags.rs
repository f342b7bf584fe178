//! `--name=value` in front of an instruction's arguments. Source: buildkit `parser/split_command.go`, `instructions/bflag.go`.

/// Flags in order, and what follows them.
pub struct Flags {
    pairs: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Takes the flags off the front of `text`.
    pub fn split(text: &str, escape: char) -> (Self, &str) {
        let mut pairs = Vec::new();
        let mut rest = text.trim_start();
        while let Some(flag) = rest.strip_prefix("--") {
            let end = word_end(flag, escape);
            let (word, after) = flag.split_at(end);
            rest = after.trim_start();
            if word.is_empty() {
                break;
            }
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            pairs.push((name.to_owned(), value.map(str::to_owned)));
        }
        (Self { pairs }, rest)
    }

    /// The one value of a flag.
    ///
    /// # Errors
    /// Given twice, or without a value.
    pub fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.values(name)?;
        if values.len() > 1 {
            return Err(format!("duplicate flag specified: --{name}"));
        }
        Ok(values.pop())
    }

    /// Every value of a flag that may come several times.
    pub fn values(&mut self, name: &str) -> Result<Vec<String>, String> {
        let (ours, others) = std::mem::take(&mut self.pairs).into_iter().partition(|(given, _)| given == name);
        self.pairs = others;
        let ours: Vec<(String, Option<String>)> = ours;
        ours.into_iter().map(|(_, value)| value.ok_or_else(|| format!("missing a value on flag: --{name}"))).collect()
    }

    /// A flag that is there or not; `=true` and `=false` are understood.
    pub fn switch(&mut self, name: &str) -> Result<bool, String> {
        let Some(at) = self.pairs.iter().position(|(given, _)| given == name) else { return Ok(false) };
        match self.pairs.remove(at).1.as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(format!("expecting boolean value for flag --{name}, not: {other}")),
        }
    }

    /// # Errors
    /// A flag that nobody asked for.
    pub fn finish(self) -> Result<(), String> {
        match self.pairs.first() {
            Some((name, _)) => Err(format!("unknown flag: --{name}")),
            None => Ok(()),
        }
    }
}

fn word_end(text: &str, escape: char) -> usize {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            _ if c == escape && quote != Some('\'') => escaped = true,
            None if c.is_whitespace() => return at,
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_first_and_are_all_known() {
        let (mut flags, rest) = Flags::split("--from=base  --link --chown=\"a b\":c x --y", '\\');
        assert_eq!(rest, "x --y");
        assert_eq!(flags.value("from"), Ok(Some("base".into())));
        assert_eq!(flags.switch("link"), Ok(true));
        assert_eq!(flags.value("chown"), Ok(Some("\"a b\":c".into())));
        assert_eq!(flags.finish(), Ok(()));
        let (flags, _) = Flags::split("--nope x", '\\');
        assert_eq!(flags.finish(), Err("unknown flag: --nope".into()));
        let (mut flags, _) = Flags::split("--from x", '\\');
        assert_eq!(flags.value("from"), Err("missing a value on flag: --from".into()));
    }
}
