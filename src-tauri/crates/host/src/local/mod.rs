//! What differs between systems when one user's programs talk to each other: sockets or pipes, private files, signals.
//!
//! | | Unix | Windows |
//! |---|---|---|
//! | address | a socket's path | a pipe's name: `\\.\pipe\cubby_engine` |
//! | half-close | `shutdown` | an empty message, as Docker's own pipes have it |
//! | who may open it | mode 0600 in a directory 0700 | an access list with this user and the system |
//!
//! The same names on every system, so that nobody else asks which one it is.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;
