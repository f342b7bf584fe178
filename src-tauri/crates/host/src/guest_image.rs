//! Where the guest image is.

use std::path::{Path, PathBuf};

/// Names a directory with the guest image; wins over everything else.
pub const VARIABLE: &str = "CUBBY_GUEST_IMAGE";

/// File of the bundled demo image, beside the guest image's.
pub const DEMO_IMAGE: &str = "demo-image.tar";

/// The guest image of this installation: what [`VARIABLE`] names, else what lies beside the program (installed, portable,
/// or cargo's target directory). `Err` has the places that were looked at.
pub fn find() -> Result<PathBuf, Vec<PathBuf>> {
    if let Some(dir) = std::env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    let program = std::env::current_exe().unwrap_or_default();
    let places = candidates(&program);
    places.iter().find(|dir| dir.join("manifest.json").is_file()).cloned().ok_or(places)
}

fn candidates(program: &Path) -> Vec<PathBuf> {
    let Some(dir) = program.parent() else { return Vec::new() };
    let mut places = vec![dir.join("../share/cubby/guest"), dir.join("guest"), dir.join("../lib/cubby/guest")];
    // target/release/cubby, and tests in target/debug/deps
    let built = Path::new("guest").join(std::env::consts::ARCH);
    places.extend([dir.join("..").join(&built), dir.join("../..").join(&built)]);
    // As the system writes them: Windows would show both kinds of slashes.
    places.iter().map(|place| place.components().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_beside_the_program_and_in_cargo_s_target_directory() {
        let places = candidates(Path::new("/x/target/release/cubby"));
        assert!(places.contains(&Path::new("/x/target/release/../guest").join(std::env::consts::ARCH)), "{places:?}");
        let places = candidates(Path::new("/usr/bin/cubby"));
        assert_eq!(places[0], Path::new("/usr/bin/../share/cubby/guest"));
    }
}
