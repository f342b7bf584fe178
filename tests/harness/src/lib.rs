//! What every suite needs: a real engine (native or in the guest), the real docker CLI, images made on the spot.
//!
//! Nothing here is a stand-in for a part of Cubby. `CUBBY_TEST_ENGINE` chooses where the engine runs (`native`, the
//! default, or `guest`), so that the same cases run in both places.

mod binaries;
mod docker;
mod engine;
mod http;
mod images;
mod leaks;
mod machine;
mod registry;
mod wait;

pub use binaries::{binary, docker_cli, guest_image};
pub use docker::{Docker, Output, finish};
pub use engine::{Engine, NativeEngine};
pub use http::{Reply, handshake, request, request_with};
pub use images::{IMAGE, busybox_archive, busybox_archive_as, image, layer, noise, sha256};
pub use leaks::{Memory, Traces, children, forget_peak, peak_kib, resident_kib};
pub use machine::Machine;
pub use registry::{Registry, RegistryOptions, free_port};
pub use wait::wait_for;

/// Where the engine under test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Native,
    Guest,
}

impl Place {
    /// The place that this run of the suite is for.
    ///
    /// # Panics
    /// On an unknown value: a suite that silently ran elsewhere would prove nothing.
    pub fn of_this_run() -> Self {
        match std::env::var("CUBBY_TEST_ENGINE").as_deref() {
            Ok("guest") => Self::Guest,
            Ok("native") | Err(_) => Self::Native,
            Ok(other) => panic!("CUBBY_TEST_ENGINE={other}: say native or guest"),
        }
    }
}
