//! What may stand on the command line.

use clap::{Parser, Subcommand, ValueEnum};

/// Linux containers in a tiny machine of their own.
#[derive(Debug, Parser)]
#[command(name = "cubby", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the machine is not running.")]
pub struct Args {
    /// Which machine: each profile has its own, with its own data
    #[arg(long, global = true, env = "CUBBY_PROFILE", default_value = "default")]
    pub profile: String,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the machine and wait until it is ready
    Up {
        /// Print the status as JSON when done
        #[arg(long)]
        json: bool,
    },
    /// Stop the containers and the machine
    Down,
    /// Stop the machine, start it again and wait until it is ready
    Restart {
        #[arg(long)]
        json: bool,
    },
    /// What runs, where, and what it costs
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Examine everything the machine needs, and say what to do about what is amiss
    Doctor {
        #[arg(long)]
        json: bool,
    },
    /// Collect what others need to help: logs, status, findings, versions; no environment values, no credentials
    Support {
        /// Where to write it; beside you, under a name with the time, unless given
        #[arg(long, short)]
        output: Option<std::path::PathBuf>,
    },
    /// Start the machine at login
    #[command(subcommand)]
    Autostart(Autostart),
    /// Show what the machine's console or the background process said
    Logs {
        #[arg(default_value = "console")]
        which: Log,
        /// Go on with what is said from now on
        #[arg(long, short)]
        follow: bool,
    },
    /// Try published ports hop by hop, and say which fails and why
    Ports {
        /// One container, by name or id; all with published ports unless given
        container: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Make the docker command line use this machine
    #[command(subcommand)]
    Context(Context),
    /// Run the demo container and tell its address
    Demo {
        /// Fetch its page and print that instead
        #[arg(long)]
        print: bool,
        /// Host port; a free one is taken when it is in use
        #[arg(long, default_value_t = 8080)]
        port: u16,
    },
    /// Own the machine (started by the other commands)
    #[command(hide = true)]
    Daemon,
    /// Print the version
    Version,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Log {
    Console,
    Daemon,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Context {
    /// Create or repair the context; the one in use stays in use
    Create,
    /// Create it and make it the one in use
    Use,
    /// Remove it; if it is in use, docker's own default is used again
    Remove,
    /// Whether it exists and is in use
    Status {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Autostart {
    /// From the next login on
    Enable,
    /// No more
    Disable,
    /// Whether it does
    Status,
}
