//! `cargo xtask windows`: links the host's programs for Windows with MinGW, and runs their unit tests under Wine.
//!
//! Not a step of `scripts/test`: it wants a standard library of the target (`rustup target add x86_64-pc-windows-gnu`) and
//! the packages `gcc-mingw-w64-x86-64-posix` and `wine64`, and takes some five minutes of two processors. What Wine cannot show
//! is in `src-tauri/docs/platforms.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

const TARGET: &str = "x86_64-pc-windows-gnu";
const LIBRARIES: &[&str] = &["cubby-wire", "cubby-share-device", "cubby-machine", "cubby-host", "cubby-dev-server"];

/// Rust's standard library asks this library for random bytes; Wine has it since version 9. Source: `ProcessPrng` in
/// "Windows API reference", `RtlGenRandom` (`SystemFunction036`).
const PRNG: &str = "#include <windows.h>\nBOOLEAN NTAPI SystemFunction036(PVOID, ULONG);\n\
    __declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, size); }\n";

pub fn main(root: &Path) -> anyhow::Result<()> {
    let wine = Wine::new(&crate::target_dir(root).join("wine"))?;
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.current_dir(root).args(arguments).args(["--locked", "--target", TARGET]);
        wine.configure(&mut command);
        run(&mut command)
    };
    cargo(&["build", "-p", "cubby"])?;
    let libraries = LIBRARIES.iter().flat_map(|name| ["-p", name]);
    cargo(&["test", "--lib", "--no-fail-fast"].into_iter().chain(libraries).collect::<Vec<_>>())?;

    let program = crate::target_dir(root).join(TARGET).join("debug/cubby.exe");
    let cubby = |arguments: &[&str]| {
        let mut command = Command::new(&wine.program);
        command.arg(&program).args(arguments).args(["--profile", "xtask"]);
        wine.configure(&mut command);
        command.status().with_context(|| format!("run cubby.exe {arguments:?}"))
    };
    ensure!(cubby(&["version"])?.success(), "cubby.exe does not run");
    // No Hyper-V here: what it says of that is for people to read.
    ensure!(cubby(&["up"])?.code() == Some(1), "cubby.exe up: not the refusal");
    ensure!(cubby(&["status"])?.code() == Some(3), "cubby.exe status: its daemon does not answer");
    ensure!(cubby(&["doctor"])?.code() == Some(1), "cubby.exe doctor");
    ensure!(cubby(&["down"])?.success(), "cubby.exe down");
    Ok(())
}

struct Wine {
    program: PathBuf,
    dir: PathBuf,
}

impl Wine {
    fn new(dir: &Path) -> anyhow::Result<Wine> {
        fs::create_dir_all(dir)?;
        let (source, library) = (dir.join("prng.c"), dir.join("bcryptprimitives.dll"));
        fs::write(&source, PRNG)?;
        let mut compile = Command::new("x86_64-w64-mingw32-gcc");
        run(compile.args(["-shared", "-o"]).arg(library).arg(source).arg("-ladvapi32"))?;
        // Debian's `wine` complains about a missing 32-bit one.
        let program = PathBuf::from("/usr/lib/wine/wine64");
        let program = if program.is_file() { program } else { "wine".into() };
        Ok(Wine { program, dir: dir.canonicalize()? })
    }

    fn configure(&self, command: &mut Command) {
        command
            .env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", &self.program)
            .env("WINEPREFIX", self.dir.join("prefix"))
            .env("WINEPATH", format!("Z:{}", self.dir.display().to_string().replace('/', "\\")))
            .env("WINEDEBUG", "-all")
            .env("WINEDLLOVERRIDES", "mscoree,mshtml=")
            .env_remove("DISPLAY");
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {}", command.get_program().display()))?;
    ensure!(status.success(), "{} failed ({status})", command.get_program().display());
    Ok(())
}
