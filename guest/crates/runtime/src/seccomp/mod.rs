//! Seccomp: profiles (Docker's JSON format, and our default) compiled to BPF by our own compiler.
//!
//! ```text
//! profile ── capabilities, kernel, architecture ──▶ rules by number ──▶ binary search tree ──▶ Program
//! ```
//!
//! Why not libseccomp: the kernel runs a new filter over every system call number when it is loaded; a linear one of docker's
//! length costs over a millisecond per container start, a search tree a tenth of that (measured).
//!
//! Covered: x86-64 with i386 programs; aarch64. What libseccomp-based runtimes do differently, on purpose: the x32 variants
//! (which distributions switch off) do not exist here (ENOSYS), and 32-bit Arm programs are killed at their first call.

mod bpf;
mod compile;
mod default;
mod profile;
mod syscalls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use profile::Profile;

/// A compiled filter: `struct sock_filter` after `struct sock_filter`, ready for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub(crate) bytes: Vec<u8>,
}

impl Program {
    /// Number of BPF instructions.
    pub fn len(&self) -> usize {
        self.bytes.len() / 8
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error("decoding seccomp profile failed: {0}")]
    Syntax(#[from] serde_json::Error),
    #[error("seccomp profile: {0}")]
    Unsupported(String),
}

/// Filters are few (one per set of capabilities in use), but sets come from clients.
const CACHE_MAX: usize = 64;

/// The default profile for a process whose bounding set is these capabilities ("CAP_SYS_ADMIN", …). Compiled once per set.
pub fn default_profile(capabilities: &[String]) -> Arc<Program> {
    static CACHE: OnceLock<Mutex<HashMap<Vec<String>, Arc<Program>>>> = OnceLock::new();
    let mut key = capabilities.to_vec();
    key.sort();
    key.dedup();
    let cache = CACHE.get_or_init(Mutex::default);
    // Nothing panics while holding it.
    let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = cache.get(&key) {
        return program.clone();
    }
    let compiled = Profile::standard().compile(capabilities).expect("our own profile compiles (tested)");
    if cache.len() >= CACHE_MAX {
        cache.clear();
    }
    cache.insert(key, compiled.clone());
    compiled
}

/// A profile in Docker's JSON format, for a process with these capabilities.
pub fn compile_json(profile: &str, capabilities: &[String]) -> Result<Arc<Program>, SeccompError> {
    Profile::from_json(profile)?.compile(capabilities)
}

impl Profile {
    /// For this machine's architecture and kernel.
    pub fn compile(&self, capabilities: &[String]) -> Result<Arc<Program>, SeccompError> {
        let machine = profile::Machine::this();
        Ok(Arc::new(compile::compile(self, capabilities, &machine)?))
    }
}
