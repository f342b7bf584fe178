//! Why a process could not be started, in runc's words: Docker's clients and the engine's exit codes depend on them.

use std::io;

/// The keeper could not be reached or broke the protocol.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("connect to the keeper at {path}")]
    Connect {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("start the keeper {exe}")]
    Start {
        exe: String,
        #[source]
        source: io::Error,
    },
    #[error("talk to the keeper")]
    Talk(#[source] io::Error),
    #[error("the keeper has gone")]
    Lost,
    #[error("the keeper sent a malformed message: {0}")]
    Protocol(String),
}

/// A process did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The spec asks for something impossible or unknown.
    #[error("{0}")]
    Invalid(String),
    /// The program is not there (exit code 127).
    #[error("unable to start container process: {0}")]
    NotFound(String),
    /// The program is there but may not or cannot be executed (exit code 126).
    #[error("unable to start container process: {0}")]
    NotExecutable(String),
    /// Mounts, user, working directory, limits and the like.
    #[error("unable to start container process: {0}")]
    Setup(String),
    /// The container to exec in is not running.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// Something with this key is still kept.
    #[error("a process with the key {0} is still kept")]
    Exists(String),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl SpawnError {
    /// The exit code Docker records for a container that failed to start this way.
    pub fn docker_code(&self) -> i32 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable(_) => 126,
            Self::Setup(text) if text.contains("no such file or directory") => 127,
            Self::Setup(text) if text.contains("permission denied") => 126,
            Self::Setup(text) if text.contains("not a directory") => 127,
            _ => 128,
        }
    }
}
