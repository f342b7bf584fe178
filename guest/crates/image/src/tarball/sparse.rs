//! Sparse files in PAX archives. Source: GNU tar manual, "Storing Sparse Files" (formats 0.0, 0.1, 1.0).

use super::{SparseMap, pax::decimal};

/// The `GNU.sparse.*` records of one entry.
#[derive(Default)]
pub struct SparseKeys {
    pub name: Option<Vec<u8>>,
    pub real_size: Option<u64>,
    /// Format 1.0: the map stands at the head of the payload.
    pub in_payload: bool,
    pub map: Option<SparseMap>,
    offset: Option<u64>,
}

impl SparseKeys {
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.real_size = Some(decimal(value)?),
            b"GNU.sparse.major" => self.in_payload = decimal(value)? == 1,
            b"GNU.sparse.map" => self.map = Some(pairs(value)?),
            b"GNU.sparse.offset" => self.offset = Some(decimal(value)?),
            b"GNU.sparse.numbytes" => {
                self.map.get_or_insert_default().push((self.offset.take()?, decimal(value)?));
            }
            _ => {}
        }
        Some(())
    }
}

fn pairs(text: &[u8]) -> Option<SparseMap> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let numbers: Vec<u64> = text.split(|b| *b == b',').map(decimal).collect::<Option<_>>()?;
    let (whole, rest) = numbers.as_chunks::<2>();
    rest.is_empty().then(|| whole.iter().map(|[offset, len]| (*offset, *len)).collect())
}

/// The map of format 1.0: decimal lines (count, then offset and length of each piece) over whole blocks. `block` gives
/// the next block. Returns the map and how many bytes it took.
pub fn payload_map<E>(
    mut block: impl FnMut() -> Result<Vec<u8>, E>,
    limit: u64,
) -> Result<Option<(SparseMap, u64)>, E> {
    let (mut text, mut at, mut taken) = (Vec::new(), 0, 0_u64);
    let mut line = |text: &mut Vec<u8>, at: &mut usize| -> Result<Option<u64>, E> {
        loop {
            if let Some(len) = text[*at..].iter().position(|b| *b == b'\n') {
                let value = decimal(&text[*at..*at + len]);
                *at += len + 1;
                return Ok(value);
            }
            if taken >= limit {
                return Ok(None);
            }
            let more = block()?;
            taken += more.len() as u64;
            text.extend(more);
        }
    };
    let Some(count) = line(&mut text, &mut at)? else { return Ok(None) };
    let mut map = Vec::new();
    for _ in 0..count {
        match (line(&mut text, &mut at)?, line(&mut text, &mut at)?) {
            (Some(offset), Some(len)) => map.push((offset, len)),
            _ => return Ok(None),
        }
    }
    Ok(Some((map, taken)))
}

/// True when the pieces ascend, fit the file, and make up the payload.
pub fn is_sound(map: &[(u64, u64)], payload_bytes: u64, size_bytes: u64) -> bool {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for (offset, len) in map {
        let Some(piece_end) = offset.checked_add(*len) else { return false };
        if *offset < end || piece_end > size_bytes {
            return false;
        }
        end = piece_end;
        sum += len;
    }
    sum == payload_bytes
}
