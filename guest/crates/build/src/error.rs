//! What is wrong with a Dockerfile, and where.

/// A refusal in dockerd's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("dockerfile parse error on line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: usize,
        reason: String,
    },
    #[error("{0}")]
    Whole(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Says on which line something went wrong.
pub(crate) fn at(line: usize) -> impl Fn(String) -> Error {
    move |reason| Error::Line { line, reason }
}
