//! PAX extended headers: `length SP key=value LF`, the length counting the whole record.

use super::sparse::SparseKeys;

/// What PAX records said about the next entry.
#[derive(Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: SparseKeys,
}

impl Pax {
    /// Adds the records in `bytes`; None when they are malformed.
    pub fn read(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() && bytes.iter().any(|b| *b != 0) {
            let space = bytes.iter().take(20).position(|b| *b == b' ')?;
            let len = usize::try_from(decimal(&bytes[..space])?).ok()?;
            let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|b| *b == b'=')?;
            self.set(&record[..equals], &record[equals + 1..])?;
            bytes = &bytes[len..];
        }
        Some(())
    }

    /// An empty value takes a record back.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let number = || if value.is_empty() { Some(None) } else { decimal(value).map(Some) };
        let name = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = name(),
            b"linkpath" => self.link = name(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(timestamp(value)?) },
            _ => match key.strip_prefix(b"SCHILY.xattr.") {
                Some(name) if !name.is_empty() && !name.contains(&0) => {
                    self.xattrs.push((name.to_vec(), value.to_vec()))
                }
                _ => self.sparse.set(key, value)?,
            },
        }
        Some(())
    }
}

pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 20 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = text.splitn(2, |b| *b == b'.');
    let seconds = i64::try_from(decimal(halves.next()?)?).ok()?;
    let fraction = halves.next().unwrap_or_default();
    if fraction.len() > 64 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |value, i| value * 10 + fraction.get(i).map_or(0, |b| u32::from(b - b'0')));
    match (negative, nanos) {
        (false, _) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        // Why: times count forward from the whole second below.
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_malformed_ones_refused() {
        let mut pax = Pax::default();
        pax.read(b"9 path=a\n18 mtime=-1.25xxx\n").ok_or(()).unwrap_err();
        let mut pax2 = Pax::default();
        pax2.read(b"9 path=a\n15 mtime=-1.25\n29 SCHILY.xattr.user.a=x\ny=z\n").unwrap();
        assert_eq!(pax2.path.as_deref(), Some(b"a".as_slice()));
        assert_eq!(pax2.mtime, Some((-2, 750_000_000)));
        assert_eq!(pax2.xattrs, [(b"user.a".to_vec(), b"x\ny=z".to_vec())]);
        for bad in ["a", "5 a=b", "99 path=a\n", "1 \n", "0 a=b\n", "9 pathaa\n", "99999999999999999999 a=b\n"] {
            assert!(Pax::default().read(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
