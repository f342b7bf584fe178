//! The demo container: one static program that is a web server, its own health check, and a tiny shell.
//!
//! | called as | does |
//! |---|---|
//! | `/demo` | serves a friendly page on `$PORT` (8080) |
//! | `/demo --health` | asks that server's `/healthz`; exit code 0 when it answers |
//! | `/bin/sh`, `sh -c "…"` | a shell with a dozen commands, so that a first terminal has something to show |

mod health;
mod page;
mod server;
mod shell;
mod terminate;

use std::path::Path;
use std::process::ExitCode;

const DEFAULT_PORT: u16 = 8080;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let name =
        arguments.first().map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or("demo");
    let rest = arguments.get(1..).unwrap_or_default();
    match (name.trim_start_matches('-'), rest.first().map(String::as_str)) {
        ("sh", _) => shell::main(rest),
        (_, Some("--health")) => health::main(port()),
        (_, Some("sh")) => shell::main(&rest[1..]),
        (_, None) => server::main(port()),
        (_, Some(other)) => {
            eprintln!("demo: unknown argument {other}; usage: demo [--health | sh]");
            ExitCode::from(2)
        }
    }
}

fn port() -> u16 {
    std::env::var("PORT").ok().and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_PORT)
}

/// The container's host name, which is its short id unless someone named it.
fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "this container".into(), |name| name.trim().into())
}
