//! IPv4 subnets.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// A subnet, its host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    address: u32,
    prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidSubnet(String);

impl Subnet {
    /// The subnet that `address` lies in; none when `prefix` is over 32.
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { address: u32::from(address) & mask(prefix), prefix })
    }

    pub fn address(self) -> Ipv4Addr {
        self.address.into()
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    pub fn last(self) -> Ipv4Addr {
        (self.address | !mask(self.prefix)).into()
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.address
    }

    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address())
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// First and last address that a host may have: all but network and broadcast where there are such.
    pub fn hosts(self) -> (Ipv4Addr, Ipv4Addr) {
        let (first, last) = (self.address, u32::from(self.last()));
        if self.prefix >= 31 { (first.into(), last.into()) } else { ((first + 1).into(), (last - 1).into()) }
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let parsed = || {
            let (address, prefix) = text.split_once('/')?;
            let plain = !prefix.starts_with('+');
            plain.then(|| Self::new(address.parse().ok()?, prefix.parse().ok()?))?
        };
        parsed().ok_or_else(|| InvalidSubnet(text.to_owned()))
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Self, InvalidSubnet> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_subnet() -> impl Strategy<Value = Subnet> {
        (any::<u32>(), 0u8..=32).prop_map(|(address, prefix)| Subnet::new(address.into(), prefix).unwrap())
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "::/0", "a/8"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        assert_eq!("10.1.2.3/8".parse::<Subnet>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn small_subnets_have_their_hosts() {
        let hosts = |text: &str| text.parse::<Subnet>().unwrap().hosts();
        assert_eq!(hosts("10.0.0.0/30"), (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(hosts("10.0.0.4/31"), (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(10, 0, 0, 5)));
        assert_eq!(hosts("10.0.0.4/32"), (Ipv4Addr::new(10, 0, 0, 4), Ipv4Addr::new(10, 0, 0, 4)));
    }

    proptest! {
        #[test]
        fn text_and_back(subnet in any_subnet()) {
            prop_assert_eq!(subnet.to_string().parse::<Subnet>().unwrap(), subnet);
            prop_assert!(subnet.contains(subnet.address()) && subnet.contains(subnet.last()));
        }

        #[test]
        fn subnets_overlap_exactly_when_they_share_an_end(a in any_subnet(), b in any_subnet()) {
            let shares = a.contains(b.address()) || b.contains(a.address());
            prop_assert_eq!(a.overlaps(b), shares);
        }
    }
}
