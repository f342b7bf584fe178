//! The 512-byte header block. Source: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar `struct oldgnu_header`.

use std::ops::Range;

use super::{BLOCK, SparseMap};

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;

/// One header block, its checksum verified.
pub struct Header([u8; BLOCK]);

impl Header {
    /// None when the checksum does not fit: not a tar header.
    pub fn new(block: [u8; BLOCK]) -> Option<Self> {
        let stored = number(&block[CHECKSUM])?;
        let blanked = |i: usize, b: u8| if CHECKSUM.contains(&i) { b' ' } else { b };
        let unsigned: i64 = block.iter().enumerate().map(|(i, b)| i64::from(blanked(i, *b))).sum();
        // Why: some historic writers summed signed bytes.
        let signed: i64 = block.iter().enumerate().map(|(i, b)| i64::from(blanked(i, *b) as i8)).sum();
        (stored == unsigned || stored == signed).then_some(Self(block))
    }

    pub fn kind(&self) -> u8 {
        self.0[TYPE]
    }

    pub fn path(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        let prefix = if &self.0[MAGIC] == b"ustar\x0000" { text(&self.0[PREFIX]) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub fn link(&self) -> Vec<u8> {
        text(&self.0[LINK]).to_vec()
    }

    pub fn mode(&self) -> Option<i64> {
        number(&self.0[MODE])
    }

    pub fn uid(&self) -> Option<i64> {
        number(&self.0[UID])
    }

    pub fn gid(&self) -> Option<i64> {
        number(&self.0[GID])
    }

    pub fn size(&self) -> Option<i64> {
        number(&self.0[SIZE])
    }

    pub fn mtime(&self) -> Option<i64> {
        number(&self.0[MTIME])
    }

    pub fn device(&self) -> Option<(i64, i64)> {
        Some((number(&self.0[MAJOR])?, number(&self.0[MINOR])?))
    }

    /// The first four sparse pieces, whether a block with more follows, and the file's real size.
    pub fn gnu_sparse(&self) -> Option<(SparseMap, bool, u64)> {
        let real = u64::try_from(number(&self.0[GNU_REAL_SIZE])?).ok()?;
        Some((sparse_pieces(&self.0[GNU_SPARSE])?, self.0[GNU_EXTENDED] != 0, real))
    }
}

/// A block of 21 more sparse pieces, and whether another follows.
pub fn extended_sparse(block: &[u8; BLOCK]) -> Option<(SparseMap, bool)> {
    Some((sparse_pieces(&block[..504])?, block[504] != 0))
}

fn sparse_pieces(bytes: &[u8]) -> Option<SparseMap> {
    let mut pieces = Vec::new();
    for piece in bytes.chunks_exact(24) {
        if piece[0] == 0 {
            break;
        }
        pieces.push((u64::try_from(number(&piece[..12])?).ok()?, u64::try_from(number(&piece[12..])?).ok()?));
    }
    Some(pieces)
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// Octal text, or base-256 when the first bit is set. An empty field is 0, as every reader takes it.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return base256(field);
    }
    let digits = field.split(|b| *b == 0).next().unwrap_or_default().trim_ascii();
    if digits.iter().any(|b| !(b'0'..=b'7').contains(b)) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, b| value.checked_mul(8)?.checked_add(i64::from(b - b'0')))
}

/// Two's complement, big-endian, in all bits but the first.
fn base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (i, b) in field.iter().enumerate() {
        let byte = if i == 0 { (b & 0x7f) | if negative { 0x80 } else { 0 } } else { *b };
        value = (value.checked_mul(256)?) | i128::from(byte);
    }
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_notation() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b" 644 \0\0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"00008\0\0\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 1, 0, 0]), Some(65536));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
