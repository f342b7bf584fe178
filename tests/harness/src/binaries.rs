//! Where the programs under test are.

use std::{env, path::PathBuf};

/// A program of this workspace: `CUBBYD`, `CUBBY`, … in the environment, else beside the running test.
///
/// # Panics
/// When there is none: a suite without the program under test has nothing to say.
pub fn binary(name: &str) -> PathBuf {
    if let Some(path) = env::var_os(name.to_uppercase().replace('-', "_")) {
        return path.into();
    }
    let test = env::current_exe().expect("a running test has a file");
    let profile = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let path = profile.join(name);
    assert!(path.exists(), "{} is not built: cargo build -p {name}", path.display());
    path
}

/// The real docker CLI.
///
/// # Panics
/// When it is not installed.
pub fn docker_cli() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|dir| dir.join("docker"))
        .find(|file| file.exists())
        .expect("the docker CLI is needed: scripts/test installs it")
}

/// The guest image that `cubby` boots in this run: `CUBBY_GUEST_IMAGE`, else the one built beside it.
///
/// # Panics
/// When there is none.
pub fn guest_image() -> PathBuf {
    if let Some(dir) = env::var_os("CUBBY_GUEST_IMAGE") {
        return dir.into();
    }
    let built = PathBuf::from("guest").join(env::consts::ARCH);
    let cubby = binary("cubby");
    let found =
        cubby.ancestors().skip(1).take(3).map(|dir| dir.join(&built)).find(|dir| dir.join("manifest.json").exists());
    found.unwrap_or_else(|| panic!("no guest image beside {}: cargo xtask image", cubby.display()))
}
