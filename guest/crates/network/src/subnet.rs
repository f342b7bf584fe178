//! Subnets of either address family.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A subnet, its host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct InvalidSubnet(String);

impl Subnet {
    /// The subnet that `address` lies in; none when `prefix` is longer than an address of its family.
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Option<Self> {
        let address = address.into();
        let low = to_bits(address) & mask(prefix, width(address));
        (prefix <= width(address)).then(|| Self { address: from_bits(low, address.is_ipv6()), prefix })
    }

    pub fn address(self) -> IpAddr {
        self.address
    }

    pub fn prefix(self) -> u8 {
        self.prefix
    }

    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// The bits that all its addresses share, as an address.
    pub fn mask(self) -> IpAddr {
        from_bits(mask(self.prefix, width(self.address)), self.is_ipv6())
    }

    pub fn last(self) -> IpAddr {
        let width = width(self.address);
        let host_bits = mask(width, width) & !mask(self.prefix, width);
        from_bits(to_bits(self.address) | host_bits, self.is_ipv6())
    }

    pub fn contains(self, address: impl Into<IpAddr>) -> bool {
        Self::new(address, self.prefix) == Some(self)
    }

    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address())
    }

    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// First and last address that a host may have: all but network and broadcast (IPv4) or the routers' anycast address
    /// (IPv6) where there are such.
    pub fn hosts(self) -> (IpAddr, IpAddr) {
        let (first, last) = (to_bits(self.address), to_bits(self.last()));
        let all = |bits| from_bits(bits, self.is_ipv6());
        match (width(self.address) - self.prefix, self.is_ipv6()) {
            (0 | 1, _) => (all(first), all(last)),
            (_, true) => (all(first + 1), all(last)),
            (_, false) => (all(first + 1), all(last - 1)),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `prefix` of `width` bits.
fn mask(prefix: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width));
    all & all.checked_shl(u32::from(width.saturating_sub(prefix))).unwrap_or(0)
}

/// An address as a number.
pub(crate) fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => address.into(),
    }
}

/// The inverse of [`to_bits`]; of IPv4 only the low 32 bits count.
pub(crate) fn from_bits(bits: u128, is_ipv6: bool) -> IpAddr {
    if is_ipv6 { IpAddr::V6(bits.into()) } else { IpAddr::V4(Ipv4Addr::from(bits as u32)) }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let parsed = || {
            let (address, prefix) = text.split_once('/')?;
            let plain = !prefix.starts_with('+');
            plain.then(|| Self::new(address.parse::<IpAddr>().ok()?, prefix.parse().ok()?))?
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

    use std::net::Ipv6Addr;

    use super::*;

    fn any_subnet() -> impl Strategy<Value = Subnet> {
        let v4 = (any::<u32>(), 0u8..=32).prop_map(|(address, prefix)| Subnet::new(Ipv4Addr::from(address), prefix));
        let v6 = (any::<u128>(), 0u8..=128).prop_map(|(address, prefix)| Subnet::new(Ipv6Addr::from(address), prefix));
        prop_oneof![v4, v6].prop_map(|subnet| subnet.unwrap())
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "::/129", "a/8"] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
        assert_eq!("10.1.2.3/8".parse::<Subnet>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn small_subnets_have_their_hosts() {
        let hosts = |text: &str| {
            let (first, last) = text.parse::<Subnet>().unwrap().hosts();
            format!("{first}-{last}")
        };
        assert_eq!(hosts("10.0.0.0/30"), "10.0.0.1-10.0.0.2");
        assert_eq!(hosts("10.0.0.4/31"), "10.0.0.4-10.0.0.5");
        assert_eq!(hosts("10.0.0.4/32"), "10.0.0.4-10.0.0.4");
        assert_eq!(hosts("fd00::/64"), "fd00::1-fd00::ffff:ffff:ffff:ffff");
        assert_eq!(hosts("fd00::8/128"), "fd00::8-fd00::8");
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
