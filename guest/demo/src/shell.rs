//! A shell for the first terminal: reads a line, runs one of a dozen commands, says so when it knows none. `sh -c "…"` runs
//! simple commands joined by `;` or `&&`, which is as much as tools ask of a container before they look further.
//!
//! It deliberately starts no other program: there is none in the image.

mod commands;
mod words;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use self::words::Join;
use crate::terminate;

/// What a command leaves behind: its exit code, or the wish to leave.
pub enum Outcome {
    Code(u8),
    Exit(u8),
}

pub fn main(arguments: &[String]) -> ExitCode {
    let mut text = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            flags if flags.starts_with('-') && flags.contains('c') => text = rest.next(),
            flags if flags.starts_with('-') => {}
            script => {
                eprintln!("sh: {script}: this little shell runs no scripts");
                return ExitCode::from(127);
            }
        }
    }
    match text {
        Some(text) => match run_line(text, 0) {
            Outcome::Code(code) | Outcome::Exit(code) => ExitCode::from(code),
        },
        None => interact(),
    }
}

fn interact() -> ExitCode {
    let talks = io::stdin().is_terminal();
    if talks {
        terminate::survive_interrupts();
        println!("You are inside the container {}. Type help.", crate::hostname());
    }
    let mut last = 0;
    loop {
        if talks {
            print!("{} $ ", commands::current_dir());
            let _ = io::stdout().flush();
        }
        let mut line = Vec::new();
        match io::stdin().lock().read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return ExitCode::from(last),
            Ok(_) => {}
        }
        match run_line(&String::from_utf8_lossy(&line), last) {
            Outcome::Code(code) => last = code,
            Outcome::Exit(code) => return ExitCode::from(code),
        }
    }
}

fn run_line(line: &str, mut last: u8) -> Outcome {
    let steps = match words::parse(line, |name| if name == "?" { last.to_string() } else { env(name) }) {
        Ok(steps) => steps,
        Err(reason) => {
            eprintln!("sh: {reason}");
            return Outcome::Code(2);
        }
    };
    for (join, step) in steps {
        let runs = match join {
            Join::Always => true,
            Join::IfGood => last == 0,
            Join::IfBad => last != 0,
        };
        if !runs {
            continue;
        }
        match commands::run(&step, last) {
            Outcome::Code(code) => last = code,
            exit => return exit,
        }
    }
    Outcome::Code(last)
}

fn env(name: &str) -> String {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
}
