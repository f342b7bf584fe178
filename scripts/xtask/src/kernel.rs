//! `cargo xtask kernel`: the guest's kernel, from the distribution's source package and `guest/image/kernel/*.config`.
//!
//! Half an hour of compiling, so the result is kept outside the clone, under a key of everything that goes into it; a
//! changed configuration is a changed key. Works without the cache, installs nothing.
//!
//! ```text
//!  CACHE/kernel/<key>/{vmlinuz,config,release}      whole or absent: built in CACHE/kernel/.build-<pid>, then renamed
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::guest::arch::{Arch, image_sources};
use crate::guest::files;
use crate::guest::kconfig::Config;

const SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";
const PACKAGE: &str = "linux-source-6.12";
/// Raised when the steps below change what comes out of the same inputs.
const RECIPE: &str = "1";

/// Programs that the kernel's makefiles call, and the packages that have them.
const TOOLS: &[(&str, &str)] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("bc", "bc"),
    ("bison", "bison"),
    ("flex", "flex"),
    ("lz4", "lz4"),
    ("xz", "xz-utils"),
    ("perl", "perl"),
];
const ELF_HEADER: (&str, &str) = ("/usr/include/libelf.h", "libelf-dev");

#[derive(clap::Args)]
pub struct Arguments {
    /// The guest's architecture; this machine's unless given
    #[arg(long)]
    arch: Option<Arch>,
    #[command(flatten)]
    effort: Effort,
    /// Only print the cache directory that the kernel has or would have
    #[arg(long)]
    print_dir: bool,
}

/// How much of this machine the build may take.
#[derive(clap::Args, Default)]
pub struct Effort {
    /// Parallel jobs; all processors unless given
    #[arg(long)]
    jobs: Option<usize>,
    /// Niceness of the compilers
    #[arg(long, default_value_t = 0)]
    nice: u8,
}

/// A built kernel.
pub struct Kernel {
    pub image: PathBuf,
    /// `uname -r` inside.
    pub release: String,
}

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let arch = arguments.arch.unwrap_or_else(Arch::host);
    if arguments.print_dir {
        println!("{}", Inputs::gather(root, arch)?.cache_dir()?.display());
        return Ok(());
    }
    let kernel = built(root, arch, &arguments.effort)?;
    println!("{} {}", kernel.image.display(), kernel.release);
    Ok(())
}

/// The kernel from the cache, or built now.
pub fn built(root: &Path, arch: Arch, effort: &Effort) -> anyhow::Result<Kernel> {
    let inputs = Inputs::gather(root, arch)?;
    let dir = inputs.cache_dir()?;
    if !dir.join("release").exists() {
        inputs.build(&dir, effort)?;
    }
    let release = files::read_text(&dir.join("release"))?.trim().to_owned();
    Ok(Kernel { image: dir.join("vmlinuz"), release })
}

/// Everything that decides what the kernel is.
struct Inputs {
    arch: Arch,
    source: PathBuf,
    package_version: String,
    compiler: String,
    config: String,
}

impl Inputs {
    fn gather(root: &Path, arch: Arch) -> anyhow::Result<Inputs> {
        let missing = missing_packages(arch);
        if !missing.is_empty() {
            bail!("the kernel's build needs packages that are missing: apt-get install {}", missing.join(" "));
        }
        let sources = image_sources(root).join("kernel");
        let config = files::read_text(&sources.join("common.config"))?
            + &files::read_text(&sources.join(format!("{}.config", arch.name())))?;
        let compiler = format!("{}gcc", arch.cross_prefix().unwrap_or_default());
        Ok(Inputs {
            arch,
            source: source(),
            package_version: files::first_line(Command::new("dpkg-query").args(["-W", "-f", "${Version}", PACKAGE]))
                .unwrap_or_default(),
            compiler: files::first_line(Command::new(compiler).arg("--version"))?,
            config,
        })
    }

    fn cache_dir(&self) -> anyhow::Result<PathBuf> {
        let parts = [
            RECIPE,
            self.arch.name(),
            &self.package_version,
            &self.compiler,
            &files::sha256(&self.source)?,
            &self.config,
        ];
        Ok(cache()?.join("kernel").join(files::sha256_of(parts.join("\0").as_bytes())))
    }

    fn build(&self, dir: &Path, effort: &Effort) -> anyhow::Result<()> {
        let parent = dir.parent().context("the cache has a parent")?;
        fs::create_dir_all(parent)?;
        let scratch = tempfile::Builder::new().prefix(".build-").tempdir_in(parent)?;
        eprintln!("xtask: building the {} kernel, about half an hour of one processor", self.arch.name());
        let (source, work, result) =
            (scratch.path().join("source"), scratch.path().join("work"), scratch.path().join("result"));
        for directory in [&source, &work, &result] {
            fs::create_dir(directory)?;
        }
        files::run(
            Command::new("tar").arg("-xf").arg(&self.source).arg("-C").arg(&source).arg("--strip-components=1"),
        )?;
        fs::write(work.join("asked.config"), &self.config)?;
        let make = |target: &str| self.make(&source, &work, effort, target);
        files::run(make("allnoconfig").env("KCONFIG_ALLCONFIG", work.join("asked.config")))?;
        let made = files::read_text(&work.join(".config"))?;
        let missing = Config::parse(&self.config).missing_from(&Config::parse(&made));
        if !missing.is_empty() {
            bail!("the kernel's configuration did not come out as asked:\n  {}", missing.join("\n  "));
        }
        let (target, image) = self.arch.kernel_image();
        files::run(&mut make(target))?;
        fs::copy(work.join(image), result.join("vmlinuz"))?;
        fs::write(result.join("config"), made)?;
        fs::copy(work.join("include/config/kernel.release"), result.join("release"))?;
        if let Err(err) = fs::rename(&result, dir)
            && !dir.join("release").exists()
        {
            return Err(err).with_context(|| dir.display().to_string());
        }
        Ok(())
    }

    fn make(&self, source: &Path, work: &Path, effort: &Effort, target: &str) -> Command {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut make = Command::new("nice");
        make.args(["-n", &effort.nice.to_string(), "make", "-s"])
            .arg("-C")
            .arg(source)
            .arg(format!("O={}", work.display()))
            .arg(format!("-j{}", effort.jobs.unwrap_or(processors)))
            .arg(format!("ARCH={}", self.arch.kernel_arch()))
            .arg(format!("CROSS_COMPILE={}", self.arch.cross_prefix().unwrap_or_default()))
            .arg(target)
            // Same inputs, same bytes.
            .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970")
            .env("KBUILD_BUILD_USER", "cubby")
            .env("KBUILD_BUILD_HOST", "cubby")
            .env("KBUILD_BUILD_VERSION", "1")
            .env_remove("MAKEFLAGS");
        make
    }
}

/// The source package's archive, or another that `CUBBY_KERNEL_SOURCE` names.
fn source() -> PathBuf {
    std::env::var_os("CUBBY_KERNEL_SOURCE").map_or_else(|| SOURCE.into(), PathBuf::from)
}

/// Where results outlive the clone: `CUBBY_CACHE`, else `~/.cache/cubby`.
fn cache() -> anyhow::Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CUBBY_CACHE") {
        return Ok(dir.into());
    }
    let home = std::env::var_os("HOME").context("neither CUBBY_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/cubby"))
}

fn missing_packages(arch: Arch) -> Vec<String> {
    let mut missing: Vec<String> =
        TOOLS.iter().filter(|(tool, _)| !on_path(tool)).map(|(_, package)| (*package).into()).collect();
    if let Some(prefix) = arch.cross_prefix()
        && !on_path(&format!("{prefix}gcc"))
    {
        missing.push(format!("gcc-{}", prefix.trim_end_matches('-')).replace('_', "-"));
    }
    if arch == Arch::X86_64 && !Path::new(ELF_HEADER.0).exists() {
        missing.push(ELF_HEADER.1.into());
    }
    if !source().exists() {
        missing.push(format!("{PACKAGE} (Debian backports has it)"));
    }
    missing
}

fn on_path(tool: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).exists()))
}
