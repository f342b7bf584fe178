//! The whole file: arguments before the first stage, and the stages.

use std::collections::HashSet;

use crate::{
    error::{Error, Result, at},
    flags::Flags,
    instruction::{self, Instruction},
    lines::{self, Line},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// Escapes, and continues lines.
    pub escape: char,
    /// `ARG` before the first `FROM`: for `FROM` lines, and for stages that ask for them by an `ARG` of their own.
    pub arguments: Vec<Argument>,
    /// At least one.
    pub stages: Vec<Stage>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub line: usize,
    pub text: String,
    pub name: String,
    pub default: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    pub line: usize,
    /// The `FROM` line as written.
    pub text: String,
    /// An image, an earlier stage, or `scratch`; not expanded.
    pub base: String,
    pub platform: Option<String>,
    /// In lower case.
    pub name: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub line: usize,
    /// As written, continuations joined.
    pub text: String,
    pub instruction: Instruction,
}

impl Dockerfile {
    /// # Errors
    /// In dockerd's words, with the line.
    pub fn parse(text: &str) -> Result<Self> {
        let (directives, lines) = lines::read(text)?;
        if lines.is_empty() {
            return Err(Error::Whole("file with no instructions".to_owned()));
        }
        let mut file = Self { escape: directives.escape, arguments: Vec::new(), stages: Vec::new() };
        for line in &lines {
            file.add(line).map_err(at(line.number))?;
        }
        if file.stages.is_empty() {
            return Err(Error::Whole("No build stage in current context".to_owned()));
        }
        Ok(file)
    }

    fn add(&mut self, line: &Line) -> std::result::Result<(), String> {
        let keyword = line.text.split_whitespace().next().unwrap_or_default();
        if keyword.eq_ignore_ascii_case("FROM") {
            let stage = from(line, keyword.len(), self.escape)?;
            self.stages.push(stage);
            return Ok(());
        }
        let instruction = instruction::parse(&line.text, &line.documents, self.escape)?;
        let step = Step { line: line.number, text: line.text.clone(), instruction };
        match (self.stages.last_mut(), step) {
            (Some(stage), step) => stage.steps.push(step),
            (None, Step { instruction: Instruction::Arg(pairs), line, text }) => {
                let argument = |(name, default)| Argument { line, text: text.clone(), name, default };
                self.arguments.extend(pairs.into_iter().map(argument));
            }
            (None, _) => return Err("no build stage in current context".to_owned()),
        }
        Ok(())
    }

    /// The stage of that name or number.
    pub fn stage(&self, name: &str) -> Option<usize> {
        let named = |stage: &Stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        // Why the last: a later stage hides an earlier one of its name.
        let named = self.stages.iter().rposition(named);
        named.or_else(|| name.parse().ok().filter(|number| *number < self.stages.len()))
    }

    /// The stages that `target` needs, itself included. `base` tells what a stage's base is, expanded.
    pub fn needed(&self, target: usize, base: &dyn Fn(&Stage) -> String) -> HashSet<usize> {
        let mut needed = HashSet::new();
        let mut left = vec![target];
        while let Some(stage) = left.pop() {
            if !needed.insert(stage) {
                continue;
            }
            let before = |name: &str| self.stage_before(name, stage);
            left.extend(before(&base(&self.stages[stage])));
            for step in &self.stages[stage].steps {
                left.extend(sources(&step.instruction).iter().filter_map(|name| before(name)));
            }
        }
        needed
    }

    /// The stage a name means to the stage number `reader`: only earlier ones count.
    pub fn stage_before(&self, name: &str, reader: usize) -> Option<usize> {
        let named = |stage: &Stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        let named = self.stages[..reader].iter().rposition(named);
        named.or_else(|| name.parse().ok().filter(|number| *number < reader))
    }
}

/// The stages or images that an instruction reads files from.
fn sources(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run.mounts.iter().filter_map(|mount| mount_source(mount)).collect(),
        _ => Vec::new(),
    }
}

/// `from=` of a `--mount`.
fn mount_source(mount: &str) -> Option<String> {
    mount.split(',').find_map(|part| part.strip_prefix("from=")).map(str::to_owned)
}

fn from(line: &Line, keyword_len: usize, escape: char) -> std::result::Result<Stage, String> {
    let (mut flags, rest) = Flags::split(&line.text[keyword_len..], escape);
    let platform = flags.value("platform")?;
    flags.finish()?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (base, name) = match words.as_slice() {
        [base] => (*base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => (*base, Some(stage_name(name)?)),
        [_, keyword, _] => {
            return Err(format!("second argument to FROM should be \"AS\", not {keyword:?}"));
        }
        _ => return Err("FROM requires either one or three arguments".to_owned()),
    };
    let (base, text) = (base.to_owned(), line.text.clone());
    Ok(Stage { line: line.number, text, base, platform, name, steps: Vec::new() })
}

fn stage_name(name: &str) -> std::result::Result<String, String> {
    let lower = name.to_ascii_lowercase();
    let begins = lower.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on = lower.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if begins && goes_on {
        return Ok(lower);
    }
    Err(format!("invalid name for build stage: {name:?}, name can't start with a number or contain symbols"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "ARG V=1\nFROM --platform=linux/amd64 a:$V AS Build\nRUN x\nFROM scratch\nCOPY --from=build a b\n\
                        FROM build AS last\nCOPY --from=image c d\nRUN --mount=type=bind,from=1,target=/x y";

    #[test]
    fn stages_are_found_by_name_and_number() {
        let file = Dockerfile::parse(FILE).unwrap();
        assert_eq!((file.arguments.len(), file.stages.len()), (1, 3));
        assert_eq!(file.stages[0].base, "a:$V");
        assert_eq!(
            (file.stage("BUILD"), file.stage("1"), file.stage("3"), file.stage("none")),
            (Some(0), Some(1), None, None)
        );
        assert_eq!(file.stages[1].steps[0].text, "COPY --from=build a b");
    }

    #[test]
    fn a_target_needs_what_it_is_made_from() {
        let file = Dockerfile::parse(FILE).unwrap();
        let base = |stage: &Stage| stage.base.clone();
        assert_eq!(file.needed(0, &base), HashSet::from([0]));
        assert_eq!(file.needed(2, &base), HashSet::from([0, 1, 2]));
    }

    #[test]
    fn a_stage_never_means_itself() {
        let file = Dockerfile::parse("FROM busybox AS busybox\nCOPY --from=busybox a b").unwrap();
        assert_eq!(file.stage_before("busybox", 0), None);
        assert_eq!(file.needed(0, &|stage| stage.base.clone()), HashSet::from([0]));
    }

    #[test]
    fn refusals_name_the_line() {
        let refused = |text: &str| Dockerfile::parse(text).unwrap_err().to_string();
        assert_eq!(refused(""), "file with no instructions");
        assert_eq!(refused("ARG x"), "No build stage in current context");
        assert_eq!(refused("RUN x"), "dockerfile parse error on line 1: no build stage in current context");
        assert_eq!(refused("FROM a\n\nFOO b"), "dockerfile parse error on line 3: unknown instruction: FOO");
        assert_eq!(
            refused("FROM a b"),
            "dockerfile parse error on line 1: FROM requires either one or three arguments"
        );
        assert!(refused("FROM a AS 1x").contains("invalid name for build stage: \"1x\""));
    }
}
