//! One logical line as a typed instruction. Source: buildkit `instructions/{commands,parse}.go`.

use crate::{
    flags::Flags,
    heredoc::{self, HereDoc},
    pairs, words,
};

/// A name and its value as written: neither is expanded.
pub type Pair = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    Add(Copy),
    Arg(Vec<(String, Option<String>)>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    Env(Vec<Pair>),
    Expose(Vec<String>),
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(String),
    /// The instruction that images built on this one begin with, as text; it is known to be one.
    Onbuild(String),
    Run(Run),
    Shell(Vec<String>),
    Stopsignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// The exec form, or text for a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Exec(Vec<String>),
    Shell(String),
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    pub sources: Vec<Source>,
    pub destination: String,
    /// A stage, its number, or an image; `None` is the build context.
    pub from: Option<String>,
    pub chown: Option<String>,
    pub chmod: Option<String>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// Keeps the sources' directories.
    pub parents: bool,
    /// What a downloaded file must have, `sha256:…`.
    pub checksum: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, or for `ADD` an address.
    Path(String),
    Document(HereDoc),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub command: Command,
    pub documents: Vec<HereDoc>,
    /// `--mount=…`, as written.
    pub mounts: Vec<String>,
    /// `default`, `none` or `host`.
    pub network: Option<String>,
}

/// Durations as written (`30s`); empty is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    None,
    Check {
        command: Command,
        interval: Option<String>,
        timeout: Option<String>,
        start_period: Option<String>,
        start_interval: Option<String>,
        retries: Option<u32>,
    },
}

/// The keywords that [`parse`] knows, `FROM` aside.
const KEYWORDS: [&str; 17] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads an instruction of a trigger (`ONBUILD` of a base image).
///
/// # Errors
/// The reason, without a line.
pub fn parse_trigger(text: &str) -> Result<Instruction, String> {
    parse(text, &[], '\\')
}

/// # Errors
/// The reason, without a line.
pub fn parse(text: &str, documents: &[HereDoc], escape: char) -> Result<Instruction, String> {
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let upper = keyword.to_ascii_uppercase();
    if !KEYWORDS.contains(&upper.as_str()) {
        return Err(format!("unknown instruction: {keyword}"));
    }
    let (mut flags, arguments) = Flags::split(rest, escape);
    let arguments = arguments.trim();
    let may_be_empty = matches!(upper.as_str(), "CMD" | "ENTRYPOINT");
    if arguments.is_empty() && !may_be_empty && upper != "HEALTHCHECK" {
        let wanted = if matches!(upper.as_str(), "USER" | "WORKDIR" | "STOPSIGNAL" | "MAINTAINER") {
            "exactly"
        } else {
            "at least"
        };
        return Err(format!("{upper} requires {wanted} one argument"));
    }
    let instruction = match upper.as_str() {
        "ADD" => Instruction::Add(copy("ADD", &mut flags, arguments, documents, escape)?),
        "COPY" => Instruction::Copy(copy("COPY", &mut flags, arguments, documents, escape)?),
        "ARG" => Instruction::Arg(pairs::arguments(arguments, escape)?),
        "CMD" => Instruction::Cmd(command(arguments)),
        "ENTRYPOINT" => Instruction::Entrypoint(command(arguments)),
        "ENV" => Instruction::Env(pairs::pairs("ENV", arguments, escape)?),
        "LABEL" => Instruction::Label(pairs::pairs("LABEL", arguments, escape)?),
        "EXPOSE" => Instruction::Expose(words::split(arguments, escape)),
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(&mut flags, arguments)?),
        "MAINTAINER" => Instruction::Maintainer(arguments.to_owned()),
        "ONBUILD" => onbuild(rest.trim(), documents, escape)?,
        "RUN" => run(&mut flags, arguments, documents)?,
        "SHELL" => match list(arguments) {
            Some(shell) if !shell.is_empty() => Instruction::Shell(shell),
            Some(_) => return Err("SHELL requires at least one argument".to_owned()),
            None => return Err("SHELL requires the arguments to be in JSON form".to_owned()),
        },
        "STOPSIGNAL" => Instruction::Stopsignal(single("STOPSIGNAL", arguments, escape)?),
        "USER" => Instruction::User(single("USER", arguments, escape)?),
        "WORKDIR" => Instruction::Workdir(arguments.to_owned()),
        _ => match list(arguments).unwrap_or_else(|| words::split(arguments, escape)) {
            volumes if volumes.iter().any(|volume| volume.trim().is_empty()) => {
                return Err("VOLUME specified can not be an empty string".to_owned());
            }
            volumes => Instruction::Volume(volumes),
        },
    };
    // Why not for ONBUILD: its flags are those of the instruction in it, which has looked at them.
    if upper != "ONBUILD" {
        flags.finish()?;
    }
    Ok(instruction)
}

/// A JSON array of strings; anything else is none.
fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(text: &str) -> Command {
    list(text).map_or_else(|| Command::Shell(text.to_owned()), Command::Exec)
}

fn single(keyword: &str, text: &str, escape: char) -> Result<String, String> {
    match words::split(text, escape).as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(format!("{keyword} requires exactly one argument")),
    }
}

fn copy(keyword: &str, flags: &mut Flags, text: &str, documents: &[HereDoc], escape: char) -> Result<Copy, String> {
    let mut copy = Copy {
        chown: flags.value("chown")?,
        chmod: flags.value("chmod")?,
        exclude: flags.values("exclude")?,
        ..Copy::default()
    };
    // Why the value is let go: with or without it the files are the same; it only says how layers may be cached.
    flags.switch("link")?;
    if keyword == "COPY" {
        copy.from = flags.value("from")?;
        copy.parents = flags.switch("parents")?;
    } else {
        copy.checksum = flags.value("checksum")?;
        flags.switch("keep-git-dir")?;
    }
    let mut words = list(text).unwrap_or_else(|| words::split(text, escape));
    let destination = words.pop().filter(|_| !words.is_empty());
    let Some(destination) = destination else {
        return Err(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ));
    };
    let mut documents = documents.iter();
    for word in words {
        let document = heredoc::announcement(&word).and_then(|_| documents.next());
        copy.sources.push(document.map_or(Source::Path(word), |document| Source::Document(document.clone())));
    }
    copy.destination = destination;
    Ok(copy)
}

fn run(flags: &mut Flags, text: &str, documents: &[HereDoc]) -> Result<Instruction, String> {
    let mounts = flags.values("mount")?;
    let network = flags.value("network")?;
    if let Some(other) = network.as_deref().filter(|network| !matches!(*network, "default" | "none" | "host")) {
        return Err(format!("invalid network mode: {other:?}"));
    }
    if flags.value("security")?.is_some_and(|security| security != "sandbox") {
        return Err("only sandbox is allowed for --security".to_owned());
    }
    Ok(Instruction::Run(Run { command: command(text), documents: documents.to_vec(), mounts, network }))
}

fn onbuild(text: &str, documents: &[HereDoc], escape: char) -> Result<Instruction, String> {
    let keyword = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match keyword.as_str() {
        "ONBUILD" => return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "FROM" | "MAINTAINER" => return Err(format!("{keyword} isn't allowed as an ONBUILD trigger")),
        _ => {}
    }
    parse(text, documents, escape)?;
    Ok(Instruction::Onbuild(text.to_owned()))
}

fn healthcheck(flags: &mut Flags, text: &str) -> Result<Healthcheck, String> {
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    match kind.to_ascii_uppercase().as_str() {
        "" => Err("HEALTHCHECK requires at least one argument".to_owned()),
        "NONE" if rest.trim().is_empty() => Ok(Healthcheck::None),
        "NONE" => Err("HEALTHCHECK NONE takes no arguments".to_owned()),
        "CMD" if rest.trim().is_empty() => Err("Missing command after HEALTHCHECK CMD".to_owned()),
        "CMD" => {
            let retries = flags.value("retries")?.filter(|text| !text.is_empty());
            let retries = retries.map(|text| text.parse().map_err(|_| format!("--retries cannot be {text:?}")));
            Ok(Healthcheck::Check {
                command: command(rest.trim()),
                interval: flags.value("interval")?,
                timeout: flags.value("timeout")?,
                start_period: flags.value("start-period")?,
                start_interval: flags.value("start-interval")?,
                retries: retries.transpose()?,
            })
        }
        other => Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Instruction {
        parse(text, &[], '\\').unwrap()
    }

    fn refused(text: &str) -> String {
        parse(text, &[], '\\').unwrap_err()
    }

    #[test]
    fn forms_of_commands() {
        assert_eq!(ok("cmd [\"a\", \"b c\"]"), Instruction::Cmd(Command::Exec(vec!["a".into(), "b c".into()])));
        assert_eq!(ok("CMD ['a']"), Instruction::Cmd(Command::Shell("['a']".into())));
        assert_eq!(ok("CMD"), Instruction::Cmd(Command::Shell(String::new())));
        assert_eq!(ok("CMD []"), Instruction::Cmd(Command::Exec(Vec::new())));
        let Instruction::Run(run) = ok("RUN --network=none --mount=type=tmpfs,target=/t echo \"a  b\"") else {
            panic!()
        };
        assert_eq!(run.command, Command::Shell("echo \"a  b\"".into()));
        assert_eq!((run.mounts.len(), run.network.as_deref()), (1, Some("none")));
    }

    #[test]
    fn copies_name_their_places() {
        let Instruction::Copy(copy) = ok("COPY --from=base --chown=1:2 a b/ \"c d\" /to/") else { panic!() };
        assert_eq!(copy.sources.len(), 3);
        assert_eq!(
            (copy.from.as_deref(), copy.chown.as_deref(), copy.destination.as_str()),
            (Some("base"), Some("1:2"), "/to/")
        );
        let Instruction::Copy(copy) = ok("COPY [\"a b\", \"/to\"]") else { panic!() };
        assert_eq!(copy.sources, [Source::Path("a b".into())]);
        assert!(refused("COPY x").starts_with("COPY requires at least two arguments"));
        assert_eq!(refused("ADD --from=x a b"), "unknown flag: --from");
    }

    #[test]
    fn documents_stand_where_they_were_announced() {
        let document = HereDoc { name: "EOF".into(), expand: true, chomp: false, text: "hi\n".into() };
        let Instruction::Copy(copy) = parse("COPY a <<EOF /to/", std::slice::from_ref(&document), '\\').unwrap() else {
            panic!()
        };
        assert_eq!(copy.sources, [Source::Path("a".into()), Source::Document(document)]);
    }

    #[test]
    fn refusals_are_dockerds() {
        assert_eq!(refused("BOGUS x"), "unknown instruction: BOGUS");
        assert_eq!(refused("ENV"), "ENV requires at least one argument");
        assert_eq!(refused("ENV a"), "ENV must have two arguments");
        assert_eq!(refused("ENV a=b c"), "Syntax error - can't find = in \"c\". Must be of the form: name=value");
        assert_eq!(refused("ENV =b"), "ENV names can not be blank");
        assert_eq!(refused("USER a b"), "USER requires exactly one argument");
        assert_eq!(refused("SHELL bash"), "SHELL requires the arguments to be in JSON form");
        assert_eq!(refused("ONBUILD ONBUILD RUN x"), "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
        assert_eq!(refused("ONBUILD FROM x"), "FROM isn't allowed as an ONBUILD trigger");
        assert_eq!(refused("HEALTHCHECK MAYBE x"), "Unknown type \"MAYBE\" in HEALTHCHECK (try CMD)");
        assert_eq!(refused("ONBUILD RUN --x=y z"), "unknown flag: --x");
    }

    #[test]
    fn the_rest() {
        assert_eq!(ok("ENV a b c"), Instruction::Env(vec![("a".into(), "b c".into())]));
        assert_eq!(
            ok("ENV a=\"b c\" d=e"),
            Instruction::Env(vec![("a".into(), "\"b c\"".into()), ("d".into(), "e".into())])
        );
        assert_eq!(ok("ARG a b=c"), Instruction::Arg(vec![("a".into(), None), ("b".into(), Some("c".into()))]));
        assert_eq!(ok("VOLUME /a /b"), Instruction::Volume(vec!["/a".into(), "/b".into()]));
        assert_eq!(ok("ONBUILD COPY a b"), Instruction::Onbuild("COPY a b".into()));
        let Instruction::Healthcheck(Healthcheck::Check { interval, retries, .. }) =
            ok("HEALTHCHECK --interval=5s --retries=2 CMD true")
        else {
            panic!()
        };
        assert_eq!((interval.as_deref(), retries), (Some("5s"), Some(2)));
    }
}
