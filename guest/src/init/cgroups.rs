//! The cgroup tree's top: `init` for pid 1, `engine` for the engine, every controller handed down to whatever else.
//!
//! Processes may live only in leaves once controllers are on, so pid 1 leaves the root first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// Moves pid 1 into its leaf and enables all controllers of the root for its children.
pub fn set_up() -> io::Result<()> {
    let root = Path::new(ROOT);
    for leaf in ["init", "engine"] {
        fs::create_dir_all(root.join(leaf))?;
    }
    enter("init", std::process::id())?;
    let controllers = fs::read_to_string(root.join("cgroup.controllers"))?;
    for controller in controllers.split_ascii_whitespace() {
        // One at a time: one that cannot be enabled must not take the others with it.
        if let Err(err) = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")) {
            super::console::say(&format!("init: cgroup controller {controller}: {err}"));
        }
    }
    // The engine is the last thing the kernel should sacrifice when memory is short.
    fs::write(root.join("engine/memory.low"), (64 << 20).to_string())
}

/// Moves a process into one of the leaves.
pub fn enter(leaf: &str, pid: u32) -> io::Result<()> {
    let procs: PathBuf = [ROOT, leaf, "cgroup.procs"].iter().collect();
    fs::write(procs, pid.to_string())
}
