//! Dockerfiles: from text to stages of typed instructions. Pure: nothing here runs, reads or writes anything.
//!
//! ```text
//! text ──lines──▶ logical lines (directives, continuations, comments, here-documents)
//!      ──instruction──▶ one typed instruction a line
//!      ──dockerfile──▶ global arguments and stages
//! ```
//!
//! Words are expanded ([`words`]) only when an instruction is carried out: what a variable means depends on the steps before.
//! The text is hostile: sizes and counts are bounded, and every refusal names its line, in dockerd's words.
//!
//! Source: the Dockerfile reference; moby/buildkit `frontend/dockerfile/{parser,instructions,shell}`.

mod dockerfile;
mod error;
mod flags;
pub mod glob;
mod heredoc;
pub mod ignore;
mod instruction;
mod lines;
mod pairs;
pub mod words;

pub use dockerfile::{Dockerfile, Stage, Step};
pub use error::{Error, Result};
pub use heredoc::HereDoc;
pub use instruction::{Command, Copy, Healthcheck, Instruction, Pair, Run, Source, parse_trigger};
