//! Tars made by hand, sound ones and others.

use std::io::Write;

use cubby_image::Digest;
use serde_json::json;

/// Writes tar entries; checks nothing.
#[derive(Clone, Default)]
pub struct Tar(pub Vec<u8>);

/// A header under construction.
#[derive(Clone)]
pub struct Head {
    pub path: Vec<u8>,
    pub kind: u8,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub size: u64,
    pub mtime: u64,
    pub device: (u32, u32),
}

impl Head {
    pub fn new(path: &str, kind: u8) -> Self {
        Self {
            path: path.into(),
            kind,
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 1_000_000_000,
            device: (0, 0),
        }
    }

    pub fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.path[..self.path.len().min(100)]);
        put(100, format!("{:07o}", self.mode).as_bytes());
        put(108, &number(self.uid, 8));
        put(116, &number(self.gid, 8));
        put(124, &number(self.size, 12));
        put(136, &number(self.mtime, 12));
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}", self.device.0).as_bytes());
        put(337, format!("{:07o}", self.device.1).as_bytes());
        checksum(&mut block);
        block
    }
}

pub fn checksum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn number(value: u64, width: usize) -> Vec<u8> {
    let octal = format!("{value:0w$o}", w = width - 1);
    if octal.len() < width {
        return octal.into_bytes();
    }
    let mut field = vec![0; width];
    field[width - 8..].copy_from_slice(&value.to_be_bytes());
    field[0] |= 0x80;
    field
}

impl Tar {
    pub fn raw(mut self, head: &Head, payload: &[u8]) -> Self {
        self.0.extend(head.block());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, path: &str, content: &[u8]) -> Self {
        self.raw(&Head { size: content.len() as u64, ..Head::new(path, b'0') }, content)
    }

    pub fn dir(self, path: &str) -> Self {
        self.raw(&Head { mode: 0o755, ..Head::new(path, b'5') }, b"")
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.raw(&Head { link: target.into(), ..Head::new(path, b'2') }, b"")
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.raw(&Head { link: target.into(), ..Head::new(path, b'1') }, b"")
    }

    /// PAX records for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let body = key.len() + value.len() + 3;
            let mut len = body + 1;
            while len != body + len.to_string().len() {
                len = body + len.to_string().len();
            }
            write!(bytes, "{len} {key}=").unwrap();
            bytes.extend(*value);
            bytes.push(b'\n');
        }
        self.raw(&Head { size: bytes.len() as u64, ..Head::new("pax", b'x') }, &bytes)
    }

    /// A GNU long name (`L`) or link target (`K`) for the next entry.
    pub fn gnu_long(self, kind: u8, text: &[u8]) -> Self {
        let text = [text, b"\0"].concat();
        self.raw(&Head { size: text.len() as u64, ..Head::new("././@LongLink", kind) }, &text)
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image config over these uncompressed layers.
pub fn config(layers: &[Vec<u8>], architecture: &str) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    serde_json::to_vec(&config).unwrap()
}

/// A docker-archive with one image.
pub fn docker_archive(names: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let config = config(layers, native());
    let paths: Vec<String> = (0..layers.len()).map(|n| format!("{n}/layer.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": names, "Layers": paths}]);
    let mut tar = Tar::default();
    for (path, layer) in paths.iter().zip(layers) {
        tar = tar.file(path, layer);
    }
    tar.file("config.json", &config).file("manifest.json", manifest.to_string().as_bytes()).end()
}

pub fn native() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}
