//! `cubby-dev-server`: the user interface in a plain browser. Prints the address, then serves until interrupted.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use cubby_dev_server::DevServer;
use cubby_host::App;
use tracing_subscriber::EnvFilter;

/// Serves Cubby's pages to a browser on this computer.
#[derive(Parser)]
struct Arguments {
    /// 0 takes a free port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The built pages.
    #[arg(long, default_value = "ui/dist")]
    ui: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("CUBBY_LOG").unwrap_or_else(|_| EnvFilter::new("warn,cubby=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let app = Arc::new(App::connect().await.context("the host cannot be reached")?);
    let server = DevServer::bind(arguments.port).await?;
    println!("{}", server.url());
    tokio::select! {
        served = server.serve(app, &arguments.ui) => served,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for an interrupt"),
    }
}
