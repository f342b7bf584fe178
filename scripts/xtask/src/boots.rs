//! `cargo xtask boots`: the machine up and down many times in a row, each on a new data disk or all on one. One failure fails it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};

#[derive(clap::Args)]
pub struct Arguments {
    /// How many
    #[arg(default_value_t = 50)]
    count: usize,
    /// All on one data disk, as a user has it
    #[arg(long)]
    same_disk: bool,
    /// The `cubby` to use; the one in the target directory's debug/ unless given
    #[arg(long)]
    cubby: Option<PathBuf>,
}

pub fn main(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let cubby = arguments.cubby.clone().unwrap_or_else(|| crate::target_dir(root).join("debug/cubby"));
    let mut home = tempfile::tempdir()?;
    let mut took_ms = Vec::new();
    let mut failed = 0;
    for number in 1..=arguments.count {
        if !arguments.same_disk && number > 1 {
            home = tempfile::tempdir()?;
        }
        let began = Instant::now();
        let up = cubby_command(&cubby, home.path(), "up")?;
        if up.0 {
            took_ms.push(began.elapsed().as_millis());
        } else {
            failed += 1;
            println!("boot {number} failed: {}\n{}", up.1, cubby_command(&cubby, home.path(), "logs")?.1);
        }
        let down = cubby_command(&cubby, home.path(), "down")?;
        if !down.0 {
            failed += 1;
            println!("stop {number} failed: {}", down.1);
        }
    }
    took_ms.sort_unstable();
    if let (Some(least), Some(most)) = (took_ms.first(), took_ms.last()) {
        println!(
            "{} boots: median {} ms, least {least}, most {most}; {failed} failures",
            took_ms.len(),
            took_ms[took_ms.len() / 2]
        );
    }
    if failed > 0 { bail!("{failed} of {} boots or stops failed", arguments.count) } else { Ok(()) }
}

fn cubby_command(cubby: &Path, home: &Path, command: &str) -> anyhow::Result<(bool, String)> {
    let output = Command::new(cubby)
        .arg(command)
        .env("CUBBY_HOME", home)
        .output()
        .with_context(|| format!("{} cannot be run: cargo build -p cubby", cubby.display()))?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}
