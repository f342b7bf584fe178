//! What `image`, `kernel`, `demo` and `sizes` share: architectures, places, and the parts that a guest image is made of.

pub mod arch;
pub mod binary;
pub mod cpio;
pub mod files;
pub mod initramfs;
pub mod kconfig;
pub mod manifest;
pub mod template;
