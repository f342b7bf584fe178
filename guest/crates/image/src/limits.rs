//! Bounds on what an archive may make us do.

/// What a single layer, and the metadata around it, may cost. Exceeding one is an error that names it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Uncompressed bytes of one layer's tar stream: stops decompression bombs.
    pub layer_bytes: u64,
    /// Entries in one layer.
    pub layer_entries: u64,
    /// Bytes of PAX records, long names and sparse maps in front of one entry.
    pub header_bytes: u64,
    /// Bytes of names kept in memory until a layer is complete (directories whose times are set last).
    pub names_bytes: u64,
    /// A manifest, index or image config.
    pub document_bytes: u64,
    /// Entries in an image archive, its layers not counted.
    pub archive_entries: u64,
    /// Layers of one image. Source: overlayfs `OVL_MAX_STACK`.
    pub layers: usize,
    /// Space that unpacking leaves free on the file system.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes: 64 << 30,
            layer_entries: 4_000_000,
            header_bytes: 4 << 20,
            names_bytes: 256 << 20,
            document_bytes: 8 << 20,
            archive_entries: 20_000,
            layers: 500,
            reserve_bytes: 64 << 20,
        }
    }
}
