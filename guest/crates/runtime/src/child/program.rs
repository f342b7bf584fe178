//! The working directory and the program. Texts are runc's (that is, Go's `os/exec`): clients parse them.

use std::ffi::CString;
use std::io;

use rustix::fs::{Access, AtFlags, CWD, FileType};

use super::Step;
use crate::plan::ProcessPlan;
use crate::protocol::{Failure, FailureKind};
use crate::sys;

pub(super) fn enter_directory(cwd: &str) -> Step {
    rustix::process::chdir(cwd)
        .map_err(|err| Failure::setup(format!("chdir to cwd (\"{cwd}\") set in config.json failed"), err))
}

/// Source: CVE-2024-21626: a working directory like /proc/self/fd/7 must not be a way out. Descriptors of the host are closed
/// by now; this is the second lock.
pub(super) fn check_directory() -> Step {
    let cwd = rustix::process::getcwd(Vec::new()).map_err(|err| Failure::setup("getcwd", err))?;
    if cwd.as_bytes().starts_with(b"/") {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::Setup,
        "current working directory is outside of container mount namespace root -- possible container breakout detected",
    ))
}

/// Finds what `args[0]` names, as the user that will run it.
pub(super) fn find(process: &ProcessPlan) -> Step<String> {
    let name = process.args[0].as_str();
    if name.contains('/') {
        return match check(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(problem) => Err(problem.describe(name)),
        };
    }
    let path = process.env.iter().rev().find_map(|var| var.strip_prefix("PATH="));
    for directory in path.unwrap_or_default().split(':').filter(|dir| dir.starts_with('/')) {
        let candidate = format!("{}/{name}", directory.trim_end_matches('/'));
        if !name.is_empty() && check(&candidate).is_ok() {
            return Ok(candidate);
        }
    }
    Err(Failure::new(FailureKind::NotFound, format!("exec: \"{name}\": executable file not found in $PATH")))
}

enum Problem {
    Stat(io::Error),
    Directory,
    NotExecutable,
}

impl Problem {
    fn describe(self, name: &str) -> Failure {
        match self {
            Self::Stat(err) => {
                let kind = match err.kind() {
                    io::ErrorKind::PermissionDenied => FailureKind::NotExecutable,
                    _ => FailureKind::NotFound,
                };
                Failure::new(kind, format!("exec: \"{name}\": stat {name}: {}", sys::errno_text(&err)))
            }
            Self::Directory => Failure::new(FailureKind::NotExecutable, format!("exec: \"{name}\": is a directory")),
            Self::NotExecutable => {
                Failure::new(FailureKind::NotExecutable, format!("exec: \"{name}\": permission denied"))
            }
        }
    }
}

fn check(path: &str) -> Result<(), Problem> {
    let stat = rustix::fs::stat(path).map_err(|err| Problem::Stat(err.into()))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Problem::Directory);
    }
    // Root may read everything, but executes only what somebody may execute.
    let anybody = stat.st_mode & 0o111 != 0;
    if !anybody || rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Err(Problem::NotExecutable);
    }
    Ok(())
}

/// Everything `execve` wants, made before the filter is loaded.
pub(super) struct Exec {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Exec {
    pub fn new(path: String, process: &ProcessPlan) -> Step<Self> {
        let c = |text: &str| {
            CString::new(text).map_err(|_| Failure::new(FailureKind::Invalid, format!("{text:?} contains a NUL byte")))
        };
        let mut env: Vec<CString> = process.env.iter().map(|var| c(var)).collect::<Step<_>>()?;
        if !process.env.iter().any(|var| var.starts_with("HOME=")) {
            env.push(c(&format!("HOME={}", home(process.uid)))?);
        }
        Ok(Self { path: c(&path)?, args: process.args.iter().map(|arg| c(arg)).collect::<Step<_>>()?, env })
    }

    /// Returns only with the reason why not.
    pub fn run(&self) -> Failure {
        let err = sys::execve(&self.path, &self.args, &self.env);
        let kind = match err.kind() {
            io::ErrorKind::NotFound => FailureKind::NotFound,
            _ => FailureKind::NotExecutable,
        };
        Failure::new(kind, format!("exec {}: {}", self.path.to_string_lossy(), sys::errno_text(&err)))
    }
}

/// From the container's /etc/passwd. Bounded: the file is the image's.
fn home(uid: u32) -> String {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let mut text = Vec::new();
    // Non-blocking, lest it is a pipe that nobody writes to.
    let open = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/etc/passwd");
    if let Ok(file) = open
        && file.metadata().is_ok_and(|meta| meta.is_file())
    {
        let _ = file.take(1 << 20).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let uid = uid.to_string();
    let line = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    line.filter(|fields| fields.len() >= 6 && fields[2] == uid)
        .map(|fields| fields[5].to_owned())
        .find(|home| home.starts_with('/') && !home.contains('\0'))
        .unwrap_or_else(|| "/".to_owned())
}
