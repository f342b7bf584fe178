//! How a command fails: what to say, and the exit code.

use std::fmt;
use std::process::ExitCode;

use cubby_host::hardware::chain;
use cubby_host::schema::{AppError, ErrorCode, Problem, Remedy};

#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    pub fn not_running() -> Self {
        Self { message: "the machine is not running; start it: cubby up".into(), code: 3 }
    }

    /// Why the machine does not run, and what to do.
    pub fn problem(problem: &Problem) -> Self {
        let remedy = match problem.remedy {
            Some(Remedy::ShowConsoleLog) => "\nSee: cubby logs console",
            Some(Remedy::RestartMachine) => "\nTry: cubby restart, cubby doctor",
            _ => "",
        };
        Self::failed(format!("{}\n{}{remedy}", problem.title, problem.detail))
    }

    /// Everything was said already.
    pub fn silent(code: u8) -> Self {
        Self { message: String::new(), code }
    }

    pub fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("cubby: {self}");
        }
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(err: E) -> Self {
        match (&err as &dyn std::any::Any).downcast_ref::<AppError>() {
            Some(err) if err.code == ErrorCode::MachineOff => Self::not_running(),
            _ => Self::failed(chain(&err)),
        }
    }
}
