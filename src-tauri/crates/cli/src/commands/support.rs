//! `cubby support`: the bundle for whoever helps.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use cubby_host::dirs::Dirs;
use cubby_host::doctor;
use cubby_host::support::{Bundle, Redactor};

use super::status;
use crate::failure::Failure;
use crate::say;

pub async fn run(dirs: &Dirs, output: Option<PathBuf>) -> Result<(), Failure> {
    let mut bundle = Bundle::new(Redactor::new(cubby_host::dirs::home().as_deref()));
    bundle.text("versions.txt", &versions());
    // A daemon that answers nonsense is a reason to want a bundle, not to get none.
    let status = status::json(dirs).await.unwrap_or_else(|failure| format!("no status: {failure}\n"));
    bundle.text("status.json", &status);
    bundle.text("doctor.json", &serde_json::to_string_pretty(&doctor::examine(dirs).await)?);
    let images = std::fs::read_to_string(dirs.state.join("images.json")).unwrap_or_default();
    bundle.text("images.json", &images);
    for name in ["console.log", "console.log.1", "daemon.log"] {
        bundle.log(name, &dirs.logs().join(name));
    }
    let path = output.unwrap_or_else(|| default_name(&dirs.profile));
    bundle.write(&path).map_err(|err| Failure::failed(format!("could not write {}: {err}", path.display())))?;
    say!("{}", path.display());
    let names: Vec<_> = bundle.names().collect();
    eprintln!("It holds {}. Look through it before you pass it on.", names.join(", "));
    Ok(())
}

fn default_name(profile: &str) -> PathBuf {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("cubby-support-{profile}-{now_s}.tar.gz").into()
}

fn versions() -> String {
    let os = std::fs::read_to_string(Path::new("/etc/os-release")).unwrap_or_default();
    let os = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    format!(
        "cubby {}\nsystem {os}\nkernel {}\nprocessors {}\n",
        env!("CARGO_PKG_VERSION"),
        cubby_host::local::system_version(),
        std::thread::available_parallelism().map_or(0, usize::from),
    )
}
