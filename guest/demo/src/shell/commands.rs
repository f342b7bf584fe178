//! The shell's commands, each a few lines over the standard library and `/proc`.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::terminate;

const HELP: &str = "\
This is a very small shell inside your container. It knows:
  ls [-la] [DIR…]   list files          cat FILE…     show files
  cd [DIR], pwd     walk around         ps            list programs that run here
  env               settings            hostname      this container's name
  echo TEXT…        say something       uname [-a]    the system
  id, whoami        who you are         sleep SECONDS wait
  true, false       succeed, fail       exit [CODE]   leave
What you see here is the container's own file system: your computer's files are not in it.
Real images bring a real shell.";

pub fn run(words: &[String], last: u8) -> Outcome {
    let Some((command, arguments)) = words.split_first() else { return Outcome::Code(last) };
    let name = Path::new(command).file_name().and_then(|name| name.to_str()).unwrap_or(command);
    let done = match name {
        "exit" => {
            let code = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(last);
            return Outcome::Exit(code);
        }
        "false" => return Outcome::Code(1),
        "true" | ":" => Ok(()),
        "help" => say(HELP),
        "ls" => list(arguments),
        "cat" => arguments.iter().try_for_each(|path| copy(path)),
        "ps" => processes(),
        "env" => {
            std::env::vars_os().try_for_each(|(name, value)| say(&format!("{}={}", name.display(), value.display())))
        }
        "pwd" => say(&current_dir()),
        "cd" => {
            let target = arguments.first().map_or("/", String::as_str);
            std::env::set_current_dir(target).map_err(named(target))
        }
        "echo" => echo(arguments),
        "hostname" => say(&crate::hostname()),
        "uname" => uname(arguments),
        "id" => identity().and_then(|(user, group)| say(&format!("uid={user} gid={group}"))),
        "whoami" => identity().and_then(|(user, _)| say(&user_name(&user))),
        "sleep" => {
            let seconds = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(0.0);
            return sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
        }
        _ => {
            eprintln!("sh: {command}: not found. Type help for what there is.");
            return Outcome::Code(127);
        }
    };
    match done {
        Ok(()) => Outcome::Code(0),
        // Whoever read our output has gone.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => Outcome::Exit(141),
        Err(err) => {
            eprintln!("{name}: {err}");
            Outcome::Code(1)
        }
    }
}

pub fn current_dir() -> String {
    std::env::current_dir().map_or_else(|_| "?".into(), |dir| dir.display().to_string())
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

fn named(path: &str) -> impl Fn(io::Error) -> io::Error + '_ {
    move |err| io::Error::new(err.kind(), format!("{path}: {err}"))
}

fn echo(words: &[String]) -> io::Result<()> {
    match words.split_first() {
        Some((flag, rest)) if flag == "-n" => {
            print!("{}", rest.join(" "));
            io::stdout().flush()
        }
        _ => say(&words.join(" ")),
    }
}

fn sleep(time: Duration) -> Outcome {
    const STEP: Duration = Duration::from_millis(50);
    const BY_INTERRUPT: u8 = 130;
    let start = Instant::now();
    terminate::interrupted();
    while let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::sleep(left.min(STEP));
        if terminate::interrupted() {
            return Outcome::Code(BY_INTERRUPT);
        }
    }
    Outcome::Code(0)
}

fn copy(path: &str) -> io::Result<()> {
    let mut file = fs::File::open(path).map_err(named(path))?;
    io::copy(&mut file, &mut io::stdout()).map(drop).map_err(named(path))
}

fn list(arguments: &[String]) -> io::Result<()> {
    let (flags, mut paths): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|word| word.starts_with('-'));
    let long = flags.iter().any(|flag| flag.contains('l'));
    let all = flags.iter().any(|flag| flag.contains('a'));
    if paths.is_empty() {
        paths.push(".");
    }
    for path in paths {
        if !fs::metadata(path).map_err(named(path))?.is_dir() {
            say(path)?;
            continue;
        }
        let mut entries = fs::read_dir(path).map_err(named(path))?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') && !all {
                continue;
            }
            if long { say(&long_line(&entry, &name))? } else { say(&name)? }
        }
    }
    Ok(())
}

fn long_line(entry: &fs::DirEntry, name: &str) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = entry.metadata() else { return name.to_owned() };
    let kind = match data.file_type() {
        kind if kind.is_dir() => 'd',
        kind if kind.is_symlink() => 'l',
        _ => '-',
    };
    let mode: String =
        (0..9).map(|bit| if data.mode() & (0o400 >> bit) != 0 { ['r', 'w', 'x'][bit % 3] } else { '-' }).collect();
    let target =
        fs::read_link(entry.path()).map_or_else(|_| String::new(), |target| format!(" -> {}", target.display()));
    format!("{kind}{mode} {:5} {:5} {:>10} {name}{target}", data.uid(), data.gid(), data.len())
}

fn processes() -> io::Result<()> {
    say("  PID COMMAND")?;
    let mut numbers: Vec<u32> =
        fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    for number in numbers {
        // A process that ended meanwhile is no error.
        let Ok(line) = fs::read(format!("/proc/{number}/cmdline")) else { continue };
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        say(&format!("{number:5} {}", words.join(" ").trim()))?;
    }
    Ok(())
}

fn uname(arguments: &[String]) -> io::Result<()> {
    let kernel = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).map(|text| text.trim().to_owned());
    if arguments.is_empty() {
        return say("Linux");
    }
    match arguments[0].as_str() {
        "-r" => say(&kernel("osrelease")?),
        "-m" => say(std::env::consts::ARCH),
        "-n" => say(&crate::hostname()),
        "-s" => say("Linux"),
        _ => say(&format!("Linux {} {} {}", crate::hostname(), kernel("osrelease")?, std::env::consts::ARCH)),
    }
}

/// User and group id as the kernel sees them.
fn identity() -> io::Result<(String, String)> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_ascii_whitespace().nth(2).unwrap_or("?").to_owned()
    };
    Ok((field("Uid:"), field("Gid:")))
}

fn user_name(id: &str) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    known.unwrap_or_else(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: &[&str]) -> u8 {
        let words: Vec<String> = words.iter().map(|word| (*word).into()).collect();
        match run(&words, 3) {
            Outcome::Code(code) => code,
            Outcome::Exit(code) => 100 + code,
        }
    }

    #[test]
    fn exit_codes_are_those_that_scripts_know() {
        assert_eq!(code(&["true"]), 0);
        assert_eq!(code(&["/bin/false"]), 1);
        assert_eq!(code(&["no-such-command"]), 127);
        assert_eq!(code(&["cat", "/no/such/file"]), 1);
        assert_eq!(code(&["exit", "7"]), 107);
        assert_eq!(code(&["exit"]), 103, "without a code: that of the last command");
        assert_eq!(code(&[]), 3);
    }
}
