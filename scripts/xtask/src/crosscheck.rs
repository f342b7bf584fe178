//! `cargo xtask crosscheck`: type-checks the host for macOS and Windows.
//!
//! Where the pinned toolchain has a target's standard library (`rustup target add`), that is used. Elsewhere, on Debian, the
//! distribution's newer compiler and its source are unpacked below the target directory (they would conflict with rustup's if
//! they were installed), and the standard library is checked from source: metadata is all that `cargo check` wants.
//!
//! ```text
//!  TARGET/crosscheck/toolchain-<version>/usr/…     packages, unpacked; rustlib/<target>/lib/*.rmeta is added
//!  TARGET/crosscheck/{std,host}/                   what cargo makes
//! ```
//!
//! Nothing is linked, so C sources are not compiled either: a stand-in for the C compiler writes empty objects.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

const TARGETS: &[&str] = &["aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-pc-windows-msvc"];

/// Everything of the host but the window, whose resources only their own systems' tools can make.
const PACKAGES: &[&str] = &["cubby-machine", "cubby-host", "cubby", "cubby-dev-server"];

/// The compiler, its libraries, and the standard library's source; what they depend on follows from the packages.
const DEBIAN: &[&str] = &["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

#[derive(clap::Args)]
pub struct Arguments {
    /// Only these targets
    targets: Vec<String>,
}

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let targets: Vec<&str> = match arguments.targets.is_empty() {
        true => TARGETS.to_vec(),
        false => arguments.targets.iter().map(String::as_str).collect(),
    };
    let dir = crate::target_dir(root).join("crosscheck");
    let stand_ins = StandIns::write(&dir)?;
    let toolchain = match targets.iter().all(|target| has_standard_library(root, target)) {
        true => None,
        false => Some(Toolchain::unpack(&dir)?),
    };
    if let Some(toolchain) = &toolchain {
        toolchain.standard_libraries(&dir, &targets)?;
    }
    let started = Instant::now();
    // Why one by one: asked for several targets at once, cargo gives each the features that any of them wants.
    for target in &targets {
        let mut check = Command::new("cargo");
        check
            .current_dir(root)
            .env("CARGO_TARGET_DIR", dir.join("host"))
            .args(["check", "--locked", "--target", target]);
        if let Some(toolchain) = &toolchain {
            check.env("RUSTC", &toolchain.compiler);
        }
        for package in PACKAGES {
            check.args(["-p", package]);
        }
        stand_ins.name_for(target, &mut check);
        run(&mut check)?;
    }
    println!("{} packages are right for {} ({:.0} s)", PACKAGES.len(), targets.join(", "), secs(started));
    Ok(())
}

fn has_standard_library(root: &Path, target: &str) -> bool {
    let mut command = Command::new("rustc");
    command.current_dir(root).args(["--print", "target-libdir", "--target", target]);
    let Ok(output) = command.output() else { return false };
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
}

/// The distribution's compiler in a directory of its own.
struct Toolchain {
    root: PathBuf,
    compiler: PathBuf,
}

impl Toolchain {
    fn unpack(dir: &Path) -> anyhow::Result<Self> {
        let version = candidate(DEBIAN[0])?;
        let root = dir.join(format!("toolchain-{version}"));
        let compiler = root.join("rustc");
        if !compiler.is_file() {
            let started = Instant::now();
            let unfinished = dir.join(format!(".toolchain-{}", std::process::id()));
            let packages = unfinished.join("packages");
            fs::create_dir_all(&packages).with_context(|| format!("make {}", packages.display()))?;
            for package in download(&packages)? {
                run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unfinished))?;
            }
            fs::remove_dir_all(&packages)?;
            // A whole toolchain or none.
            let _ = fs::remove_dir_all(&root);
            fs::rename(&unfinished, &root)?;
            let usr = root.join("usr").canonicalize()?;
            let libraries = usr.join("lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
            let text = format!(
                "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
                libraries.display(),
                usr.join("bin/rustc").display()
            );
            script(&compiler, &text)?;
            println!("unpacked the compiler {version} ({:.0} s)", secs(started));
        }
        Ok(Self { root, compiler: compiler.canonicalize()? })
    }

    /// Checks the standard library for each target and puts its metadata where the compiler looks.
    fn standard_libraries(&self, dir: &Path, targets: &[&str]) -> anyhow::Result<()> {
        let place = |target: &str| self.root.join("usr/lib/rustlib").join(target).join("lib");
        let missing: Vec<&str> = targets.iter().copied().filter(|target| !place(target).is_dir()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let library = self.root.join("usr/lib/rustlib/src/rust/library").canonicalize()?;
        let project = dir.join("std-project");
        write_project(&project, &library)?;
        let built = dir.join("std");
        // Checked anew for each toolchain: cargo would mix the versions' metadata.
        let _ = fs::remove_dir_all(&built);
        let mut check = Command::new("cargo");
        check
            .current_dir(&project)
            .arg("check")
            .arg("--offline")
            .args(["--config", "source.crates-io.replace-with='v'"]);
        check.args(["--config", &format!("source.v.directory='{}'", library.join("vendor").display())]);
        for target in &missing {
            check.args(["--target", target]);
        }
        check
            .env("CARGO_TARGET_DIR", &built)
            .env("RUSTC", &self.compiler)
            // The standard library uses what is unstable for everybody else.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zforce-unstable-if-unmarked");
        run(&mut check)?;
        for target in &missing {
            let into = place(target);
            let unfinished = into.with_extension("new");
            fs::create_dir_all(&unfinished)?;
            for entry in fs::read_dir(built.join(target).join("debug/deps"))? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "rmeta") {
                    fs::copy(&path, unfinished.join(path.file_name().unwrap_or_default()))?;
                }
            }
            fs::rename(unfinished, into)?;
        }
        println!("checked the standard library for {} ({:.0} s)", missing.join(", "), secs(started));
        Ok(())
    }
}

/// A package that depends on the standard library: the library's own workspace wants crates for its tests that the
/// distribution leaves out.
fn write_project(project: &Path, library: &Path) -> anyhow::Result<()> {
    let library_text = library.display();
    let patches: String = ["core", "alloc", "std"]
        .map(|name| {
            format!("rustc-std-workspace-{name} = {{ path = \"{library_text}/rustc-std-workspace-{name}\" }}\n")
        })
        .concat();
    let manifest = format!(
        "[package]\nname = \"standard-library\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n\
         [dependencies]\nstd = {{ path = \"{library_text}/std\", default-features = false, features = [\"panic-unwind\"] }}\n\
         [patch.crates-io]\n{patches}[profile.dev]\ndebug = false\n"
    );
    fs::create_dir_all(project)?;
    fs::write(project.join("Cargo.toml"), manifest)?;
    fs::write(project.join("lib.rs"), "#![feature(no_core)]\n#![no_core]\n#![allow(internal_features)]\n")?;
    fs::copy(library.join("Cargo.lock"), project.join("Cargo.lock"))?;
    Ok(())
}

/// The version of a package that apt would install.
fn candidate(package: &str) -> anyhow::Result<String> {
    let policy = text(Command::new("apt-cache").args(["policy", package]))
        .context("a standard library of the target is needed: rustup target add, or Debian's packages")?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    match version {
        Some(version) if version != "(none)" => Ok(version.replace([':', '/', '~'], "_")),
        _ => bail!("no package {package}: apt-get update, or rustup target add {}", TARGETS.join(" ")),
    }
}

/// Downloads [`DEBIAN`] and the libraries that the compiler is linked to.
fn download(into: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut names: Vec<String> = DEBIAN.iter().map(|name| (*name).to_owned()).collect();
    names.push(dependency("libstd-rust-web-dev", "libstd-rust-web-")?);
    names.push(dependency(&names[3], "libllvm")?);
    run(Command::new("apt-get").current_dir(into).args(["download", "-q"]).args(&names))?;
    let mut files = Vec::new();
    for entry in fs::read_dir(into)? {
        files.push(entry?.path());
    }
    Ok(files)
}

/// The dependency of a package whose name begins with `prefix`.
fn dependency(package: &str, prefix: &str) -> anyhow::Result<String> {
    let all = text(Command::new("apt-cache").args(["depends", package]))?;
    let found =
        all.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).find(|name| name.starts_with(prefix));
    Ok(found.with_context(|| format!("{package} depends on no {prefix}…"))?.to_owned())
}

/// Programs that stand in for the targets' C compilers and archivers.
struct StandIns {
    compiler: PathBuf,
    archiver: PathBuf,
}

impl StandIns {
    fn write(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let these = Self { compiler: dir.join("no-cc"), archiver: dir.join("no-ar") };
        script(
            &these.compiler,
            "#!/bin/sh\n# Writes an empty object where -o (or MSVC's -Fo) says.\nout=\nwhile [ $# -gt 0 ]; do\n  case $1 in\n    \
             -o) out=$2; shift ;;\n    -o*) out=${1#-o} ;;\n    [-/]Fo*) out=${1#?Fo} ;;\n  esac\n  shift\ndone\n\
             [ -z \"$out\" ] || : >\"$out\"\n",
        )?;
        script(
            &these.archiver,
            "#!/bin/sh\n# Writes an empty archive.\nfor a in \"$@\"; do\n  case $a in\n    [-/][oO][uU][tT]:*) : >\"${a#?????}\" ;;\n    \
             *.a) : >\"$a\" ;;\n  esac\ndone\nexit 0\n",
        )?;
        Ok(these)
    }

    fn name_for(&self, target: &str, command: &mut Command) {
        let target = target.replace('-', "_");
        command.env(format!("CC_{target}"), &self.compiler).env(format!("AR_{target}"), &self.archiver);
    }
}

fn script(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    if !status.success() {
        let arguments: Vec<OsString> = command.get_args().map(Into::into).collect();
        bail!("{} {arguments:?} failed ({status})", command.get_program().display());
    }
    Ok(())
}

fn text(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn secs(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
