//! `cubbyd clean`: what a native engine left that was killed and is not to run again.
//!
//! Only the engine itself knows what is its own (the keeper and its processes, mounts of volumes, bridges and firewall
//! rules, control groups), so this is an engine that takes all of it back, serves nobody, and stops as any other does.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use cubby_engine::{Config, Engine, ports::Publisher};

use crate::{engine, publish};

#[derive(clap::Args)]
pub struct Arguments {
    /// The engine's directory for everything persistent; containers, images and volumes in it stay
    #[arg(long, default_value = "/var/lib/cubby")]
    data_root: PathBuf,
    /// The engine's directory for everything volatile
    #[arg(long, default_value = "/run/cubby")]
    run_dir: PathBuf,
}

pub fn main(arguments: Arguments) -> ExitCode {
    engine::block_on(clean(arguments))
}

async fn clean(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = Config {
        data_root: engine::absolute(arguments.data_root)?,
        run_dir: engine::absolute(arguments.run_dir)?,
        exe: std::env::current_exe().context("find this program's own file")?,
        in_guest: false,
    };
    let _lock = engine::lock(&config)?;
    let run_dir = config.run_dir.clone();
    let publisher: Arc<dyn Publisher> = publish::Native::new();
    let engine = Engine::open(config, Some(publisher)).await.context("take back what the engine left")?;
    engine.shutdown(None).await;
    engine::clean(&run_dir);
    Ok(ExitCode::SUCCESS)
}
