//! Running commands as named steps: their output is shown as it comes, what test runners say is counted.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Context;

/// Tests counted over all steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// Steps run so far.
#[derive(Debug, Default)]
pub struct Steps {
    pub tally: Tally,
    /// Names of the steps that failed.
    pub failures: Vec<String>,
}

impl Steps {
    /// Runs `command` to its end. A failure is remembered and the steps go on, so that one run tells everything.
    pub fn run(&mut self, name: &str, command: &mut Command) -> bool {
        println!("\n\x1b[1m==> {name}\x1b[0m");
        let start = Instant::now();
        let (success, tally) = match watch(command) {
            Ok(result) => result,
            Err(error) => {
                println!("{name}: {error:#}");
                (false, Tally::default())
            }
        };
        self.tally.add(tally);
        let word = if success { "done" } else { "FAILED" };
        println!("\x1b[1m<== {name}: {word} in {:.1} s\x1b[0m", start.elapsed().as_secs_f64());
        if !success {
            self.failures.push(name.to_owned());
            if tally.failed == 0 {
                self.tally.failed += 1;
            }
        } else if tally.passed == 0 {
            // A check without tests of its own (formatting, lints) counts as one.
            self.tally.passed += 1;
        }
        success
    }
}

fn watch(command: &mut Command) -> anyhow::Result<(bool, Tally)> {
    let shown = format!("{command:?}");
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| format!("run {shown}"))?;
    let stdout = child.stdout.take().context("stdout is piped")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        if let Some(result) = result_line(&line) {
            tally.add(result);
        }
    }
    Ok((child.wait()?.success(), tally))
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …` of cargo, ` Tests  3 passed (3)` of vitest, and `# pass 3` of
/// node's own runner, which has a line per count.
fn result_line(line: &str) -> Option<Tally> {
    let plain = strip_ansi(line);
    if let Some(count) = plain.strip_prefix("# ").or_else(|| plain.strip_prefix("\u{2139} ")) {
        return node_count(count);
    }
    let counts = plain.strip_prefix("test result: ").or_else(|| plain.trim_start().strip_prefix("Tests "))?;
    let count = |word: &str| {
        let mut last = None;
        for text in counts.split([' ', ';', '|', '.', ',']).filter(|text| !text.is_empty()) {
            if text == word {
                return last;
            }
            last = text.parse::<u64>().ok();
        }
        None
    };
    Some(Tally {
        passed: count("passed").unwrap_or(0),
        failed: count("failed").unwrap_or(0),
        ignored: count("ignored").unwrap_or(0),
    })
}

fn node_count(text: &str) -> Option<Tally> {
    let (word, count) = text.split_once(' ')?;
    let count = count.trim().parse().ok()?;
    let mut tally = Tally::default();
    match word {
        "pass" => tally.passed = count,
        "fail" => tally.failed = count,
        "skipped" | "todo" => tally.ignored = count,
        _ => return None,
    }
    Some(tally)
}

fn strip_ansi(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_runners_are_counted() {
        let cargo =
            "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(result_line(cargo), Some(Tally { passed: 12, failed: 1, ignored: 2 }));
        let vitest = "\x1b[2m      Tests \x1b[22m \x1b[1m\x1b[32m7 passed\x1b[39m\x1b[22m\x1b[90m (7)\x1b[39m";
        assert_eq!(result_line(vitest), Some(Tally { passed: 7, failed: 0, ignored: 0 }));
        assert_eq!(result_line("# pass 4"), Some(Tally { passed: 4, failed: 0, ignored: 0 }));
        assert_eq!(result_line("# duration_ms 4"), None);
        assert_eq!(result_line("running 3 tests"), None);
    }

    #[test]
    fn a_failing_command_is_remembered_and_counted_once() {
        let mut steps = Steps::default();
        assert!(
            !steps.run(
                "fails",
                Command::new("sh").args(["-c", "echo 'test result: FAILED. 1 passed; 2 failed;'; exit 1"])
            )
        );
        assert!(!steps.run("breaks", Command::new("sh").args(["-c", "exit 1"])));
        assert!(steps.run("checks", Command::new("sh").args(["-c", "true"])));
        assert_eq!(steps.tally, Tally { passed: 2, failed: 3, ignored: 0 });
        assert_eq!(steps.failures, ["fails", "breaks"]);
    }
}
