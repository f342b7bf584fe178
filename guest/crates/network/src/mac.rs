//! MAC addresses.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    net::Ipv4Addr,
    str::FromStr,
};

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address {0}: invalid MAC address")]
pub struct InvalidMac(String);

impl Mac {
    /// Docker's scheme: `02:42` and the address, so that an address always answers with the same MAC and neighbours' caches
    /// stay right when it passes to another container.
    pub fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }
}

impl Mac {
    /// A locally administered address for whoever has no IPv4 address to make one from.
    pub fn random() -> Self {
        // Why this source: the seed of a hash map is random, and nothing here need be secret.
        let bytes = RandomState::new().build_hasher().finish().to_be_bytes();
        Self([0x02, 0x42, bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = InvalidMac;

    /// `aa:bb:cc:dd:ee:ff` or with dashes; multicast addresses are no link's own.
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let separator = if text.contains('-') { '-' } else { ':' };
        let parts: Vec<&str> = text.split(separator).collect();
        let mut mac = [0; 6];
        if parts.len() != mac.len() {
            return Err(invalid());
        }
        for (byte, part) in mac.iter_mut().zip(parts) {
            let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            *byte = hex.then(|| u8::from_str_radix(part, 16).ok()).flatten().ok_or_else(invalid)?;
        }
        (mac[0] & 1 == 0).then_some(Self(mac)).ok_or_else(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_and_written() {
        let mac = Mac::of(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02-42-AC-11-00-02".parse(), Ok(mac));
        for bad in ["", "02:42:ac:11:00", "02:42:ac:11:00:zz", "02:42:ac:11:00:+2", "03:42:ac:11:00:02"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
