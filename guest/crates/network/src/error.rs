//! What failed, on what, and the kernel's reason.

use std::io;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
#[error("{operation}")]
pub struct Error {
    operation: String,
    #[source]
    source: io::Error,
}

impl Error {
    pub fn new(operation: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { operation: operation.into(), source: source.into() }
    }

    /// The kernel's reason.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Names the operation that an I/O error belongs to.
pub(crate) trait Context<T> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, operation: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::new(operation(), source))
    }
}
