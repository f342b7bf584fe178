//! Habits held by a check: what review would otherwise have to look for in every change.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// The top level is fixed; dot-files may stand beside it.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "guest",
    "rust-toolchain.toml",
    "scripts",
    "src-tauri",
    "tests",
    "ui",
    "CHANGELOG.md",
];

/// Longest hand-written source file, in lines: what is longer hides a second concept.
const MAX_LINES: usize = 600;

/// Checks every file git tracks; returns how many there were.
pub fn check(root: &Path) -> anyhow::Result<usize> {
    let files = tracked(root)?;
    let mut faults = Vec::new();
    for file in &files {
        top_level(file, &mut faults);
        if is_source(file) {
            let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("read {}", file.display()))?;
            source(file, &text, &mut faults);
        }
    }
    if faults.is_empty() { Ok(files.len()) } else { bail!("{}", faults.join("\n")) }
}

fn tracked(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git").current_dir(root).args(["ls-files", "-z"]).output().context("git ls-files")?;
    let names = output.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let files = names.map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()));
    // Why: a file that is deleted but not yet committed is still listed.
    Ok(files.filter(|file| root.join(file).exists()).collect())
}

fn top_level(file: &Path, faults: &mut Vec<String>) {
    let first =
        file.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    if !first.starts_with('.') && !TOP.contains(&first.as_str()) {
        faults.push(format!("{}: the top level is fixed", file.display()));
    }
}

fn is_source(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let generated = file.components().any(|part| part.as_os_str() == "bindings");
    matches!(extension, "rs" | "ts" | "svelte") && !generated
}

fn source(file: &Path, text: &str, faults: &mut Vec<String>) {
    let name = file.display();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{name}: {lines} lines; a file has at most {MAX_LINES}"));
    }
    if text.contains('\t') && file.extension().is_some_and(|extension| extension == "rs") && text.contains("\n\t") {
        faults.push(format!("{name}: indented with tabs"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push(format!("{name}: no line break at its end"));
    }
    let tests = file.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("tests"));
    if file.extension().is_some_and(|extension| extension == "rs")
        && !tests
        && !text.starts_with("//!")
        && !text.starts_with("#!")
    {
        faults.push(format!("{name}: no module documentation on its first line"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_and_named() {
        let mut faults = Vec::new();
        top_level(Path::new("stray/file"), &mut faults);
        source(Path::new("a.rs"), &"x\n".repeat(MAX_LINES + 1), &mut faults);
        source(Path::new("b.rs"), "//! Fine.\n", &mut faults);
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[0].starts_with("stray/file") && faults[1].starts_with("a.rs"));
    }
}
