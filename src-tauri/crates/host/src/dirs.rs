//! Where one profile of Cubby keeps its files.
//!
//! ```text
//! state    ~/.local/share/cubby/<profile>/        data.raw (the data disk), logs/, daemon.lock
//! runtime  $XDG_RUNTIME_DIR/cubby/<profile>/      docker.sock, daemon.sock       (else /tmp/cubby-<uid>/<profile>)
//! ```
//!
//! On macOS the state is below `~/Library/Application Support`, on Windows below `%LOCALAPPDATA%`, where sockets are named pipes
//! (`\\.\pipe\cubby_engine` for the default profile) and the runtime directory is below the state.
//!
//! `CUBBY_HOME` moves both below one directory (tests, portable installs). Both directories are private to their owner:
//! whoever can open `docker.sock` is root in the guest. Socket paths always fit into `sun_path`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::local;

/// Longest socket path that every supported system takes, without the closing zero. Source: `sun_path` in macOS' sys/un.h.
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// Where the user's programs keep data, below the home directory.
#[cfg(target_os = "macos")]
const DATA_HOME: &str = "Library/Application Support";
#[cfg(windows)]
const DATA_HOME: &str = r"AppData\Local";
#[cfg(not(any(target_os = "macos", windows)))]
const DATA_HOME: &str = ".local/share";

/// The longest file name that we put into the runtime directory.
const LONGEST_SOCKET_NAME: &str = "vhost-user-00.sock";

#[derive(Debug, thiserror::Error)]
pub enum DirsError {
    #[error("profile name {0:?} is not made of 1 to 24 of a-z, 0-9, - and _")]
    Profile(String),
    #[error("no home directory: set HOME or CUBBY_HOME")]
    NoHome,
    #[error("{0} is not usable: {1}; remove it or make it yours alone (chmod 700)")]
    NotPrivate(PathBuf, &'static str),
    #[error("could not make {0}")]
    Make(PathBuf, #[source] io::Error),
}

/// What the environment says; a value of its own so that tests need not touch the process's.
#[derive(Clone, Debug, Default)]
pub struct Env {
    pub home: Option<PathBuf>,
    pub cubby_home: Option<PathBuf>,
    pub xdg_data_home: Option<PathBuf>,
    pub xdg_runtime_dir: Option<PathBuf>,
    pub uid: u32,
}

impl Env {
    pub fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|v: &OsString| !v.is_empty()).map(PathBuf::from);
        Self {
            home: home(),
            cubby_home: path("CUBBY_HOME"),
            xdg_data_home: path(if cfg!(windows) { "LOCALAPPDATA" } else { "XDG_DATA_HOME" }),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            uid: local::user_id(),
        }
    }
}

/// The user's home directory, as this system's environment names it.
pub fn home() -> Option<PathBuf> {
    let named = std::env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    named.filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The directories of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    pub profile: String,
    pub state: PathBuf,
    pub runtime: PathBuf,
}

impl Dirs {
    /// The directories of `profile` for this process. Makes nothing.
    pub fn of_process(profile: &str) -> Result<Self, DirsError> {
        Self::new(profile, &Env::of_process())
    }

    pub fn new(profile: &str, env: &Env) -> Result<Self, DirsError> {
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
        if profile.is_empty() || profile.len() > 24 || !profile.bytes().all(good) {
            return Err(DirsError::Profile(profile.to_owned()));
        }
        let short = PathBuf::from(format!("/tmp/cubby-{}", env.uid));
        let absolute = |path: &Option<PathBuf>| path.clone().filter(|p| p.is_absolute());
        let (state, runtime) = match &env.cubby_home {
            Some(home) => {
                let home = std::path::absolute(home).map_err(|e| DirsError::Make(home.clone(), e))?;
                (home.join(profile), home.join(profile).join("run"))
            }
            None => {
                let data = match absolute(&env.xdg_data_home) {
                    Some(data) => data,
                    None => absolute(&env.home).ok_or(DirsError::NoHome)?.join(DATA_HOME),
                };
                let runtime = absolute(&env.xdg_runtime_dir).map(|dir| dir.join("cubby")).unwrap_or(short.clone());
                (data.join("cubby").join(profile), runtime.join(profile))
            }
        };
        // Pipes have names instead of paths, and nothing of ours lies in directories that everybody may write to.
        let runtime = if cfg!(windows) { state.join("run") } else { runtime };
        let fits = cfg!(windows) || runtime.join(LONGEST_SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH_BYTES;
        // Why a digest: two long CUBBY_HOMEs with the same profile must not share a machine.
        let runtime = if fits { runtime } else { short.join(format!("{profile}-{:016x}", fnv1a(&runtime))) };
        Ok(Self { profile: profile.to_owned(), state, runtime })
    }

    /// Makes both directories, private to their owner; refuses those that somebody else prepared.
    pub fn make(&self) -> Result<(), DirsError> {
        make_private(&self.state)?;
        make_private(&self.logs())?;
        if self.runtime.starts_with("/tmp")
            && let Some(parent) = self.runtime.parent()
            && parent != Path::new("/tmp")
            && !self.runtime.starts_with(&self.state)
        {
            make_private(parent)?;
        }
        make_private(&self.runtime)
    }

    /// The Docker API on the host.
    pub fn docker_socket(&self) -> PathBuf {
        if cfg!(windows) { self.pipe("engine") } else { self.runtime.join("docker.sock") }
    }

    /// `unix:///…/docker.sock`, `npipe:////./pipe/cubby_engine`
    pub fn docker_host(&self) -> String {
        local::address(&self.docker_socket())
    }

    pub fn daemon_socket(&self) -> PathBuf {
        if cfg!(windows) { self.pipe("daemon") } else { self.runtime.join("daemon.sock") }
    }

    /// Pipes have no directories: other profiles, and other homes, have names of their own.
    fn pipe(&self, what: &str) -> PathBuf {
        let usual = Self::new(&self.profile, &Env { cubby_home: None, ..Env::of_process() });
        let elsewhere = !usual.is_ok_and(|usual| usual.runtime == self.runtime);
        let home = elsewhere.then(|| format!("-{:016x}", fnv1a(&self.runtime)));
        let profile = (self.profile != "default").then(|| format!("-{}", self.profile));
        let name = [Some(format!("cubby_{what}")), profile, home].into_iter().flatten().collect::<String>();
        PathBuf::from(format!(r"\\.\pipe\{name}"))
    }

    /// Held by the one daemon of this profile.
    pub fn lock(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }

    pub fn data_disk(&self) -> PathBuf {
        self.state.join(if cfg!(windows) { "data.vhdx" } else { "data.raw" })
    }

    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    pub fn console_log(&self) -> PathBuf {
        self.logs().join("console.log")
    }

    pub fn daemon_log(&self) -> PathBuf {
        self.logs().join("daemon.log")
    }
}

/// FNV-1a: stable across builds, which `DefaultHasher` does not promise.
fn fnv1a(path: &Path) -> u64 {
    path.as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

fn make_private(dir: &Path) -> Result<(), DirsError> {
    match local::make_private_dir(dir) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(DirsError::NotPrivate(dir.to_owned(), why)),
        Err(err) => Err(DirsError::Make(dir.to_owned(), err)),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn env() -> Env {
        Env { home: Some("/home/ada".into()), uid: 1000, ..Env::default() }
    }

    #[test]
    fn follows_xdg_and_falls_back_to_tmp() {
        let dirs = Dirs::new("default", &env()).unwrap();
        assert_eq!(dirs.state, Path::new("/home/ada/.local/share/cubby/default"));
        assert_eq!(dirs.docker_socket(), Path::new("/tmp/cubby-1000/default/docker.sock"));
        let xdg = Env { xdg_runtime_dir: Some("/run/user/1000".into()), xdg_data_home: Some("/d".into()), ..env() };
        let dirs = Dirs::new("work", &xdg).unwrap();
        assert_eq!(dirs.docker_host(), "unix:///run/user/1000/cubby/work/docker.sock");
        assert_eq!(dirs.state, Path::new("/d/cubby/work"));
    }

    #[test]
    fn a_long_home_keeps_sockets_short_and_apart() {
        let at = |tail: &str| {
            let home = PathBuf::from(format!("/{}/{tail}", "x".repeat(120)));
            Dirs::new("default", &Env { cubby_home: Some(home), ..env() }).unwrap()
        };
        let (a, b) = (at("a"), at("b"));
        assert!(a.runtime.join(LONGEST_SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH_BYTES);
        assert_ne!(a.runtime, b.runtime);
        assert_ne!(a.state, b.state);
    }

    #[test]
    fn refuses_names_that_are_paths() {
        for name in ["", "..", "a/b", "A", "a b", "ü", "aaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(matches!(Dirs::new(name, &env()), Err(DirsError::Profile(_))), "{name:?}");
        }
    }

    #[test]
    fn makes_private_directories_and_refuses_links() {
        let tmp = tempfile::tempdir().unwrap();
        let env = Env { cubby_home: Some(tmp.path().join("home")), ..env() };
        let dirs = Dirs::new("t", &env).unwrap();
        dirs.make().unwrap();
        fs::set_permissions(&dirs.runtime, fs::Permissions::from_mode(0o755)).unwrap();
        dirs.make().unwrap();
        assert_eq!(fs::metadata(&dirs.runtime).unwrap().mode() & 0o777, 0o700);

        fs::remove_dir(&dirs.runtime).unwrap();
        std::os::unix::fs::symlink(tmp.path(), &dirs.runtime).unwrap();
        assert!(matches!(dirs.make(), Err(DirsError::NotPrivate(..))));
    }
}
