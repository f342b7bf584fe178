//! Which address goes to whom.
//!
//! A released address rests for a moment before it is given out again: the kernel takes some milliseconds to remove the
//! interface that had it, and both would answer for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use crate::subnet::{Subnet, from_bits, to_bits};

/// How long a released address rests while there are others.
const REST: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    #[error("Address already in use")]
    Taken,
    #[error("Requested address {0} does not belong to the network's subnet")]
    Outside(IpAddr),
    #[error("no available {0} addresses on this network's address pools")]
    Exhausted(&'static str),
}

/// The addresses of one subnet.
#[derive(Clone, Debug)]
pub struct Pool {
    subnet: Subnet,
    /// Where addresses are chosen from; claims may lie anywhere in the subnet.
    range: Subnet,
    taken: BTreeSet<u128>,
    resting: BTreeMap<u128, Instant>,
}

impl Pool {
    pub fn new(subnet: Subnet, range: Option<Subnet>) -> Self {
        Self { subnet, range: range.unwrap_or(subnet), taken: BTreeSet::new(), resting: BTreeMap::new() }
    }

    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// The lowest free address that does not rest; when all free ones rest, the one that has rested longest.
    pub fn allocate(&mut self, now: Instant) -> Result<IpAddr, IpamError> {
        self.resting.retain(|_, since| now.duration_since(*since) < REST);
        let (low, high) = self.bounds();
        let mut candidate = Some(low);
        // Why: both sets are sorted and walked together with the candidate, so this is linear in what is taken.
        while let Some(address) = candidate.filter(|address| *address <= high) {
            if !self.taken.contains(&address) && !self.resting.contains_key(&address) {
                self.taken.insert(address);
                return Ok(self.address(address));
            }
            candidate = address.checked_add(1);
        }
        let rested = self.resting.iter().filter(|(address, _)| (low..=high).contains(address));
        let oldest = rested.min_by_key(|(_, since)| **since).map(|(address, _)| *address);
        let oldest = oldest.ok_or(IpamError::Exhausted(if self.subnet.is_ipv6() { "IPv6" } else { "IPv4" }))?;
        self.resting.remove(&oldest);
        self.taken.insert(oldest);
        Ok(self.address(oldest))
    }

    /// A particular address.
    pub fn claim(&mut self, address: IpAddr) -> Result<(), IpamError> {
        let (low, high) = self.subnet.hosts();
        if !(low..=high).contains(&address) {
            return Err(IpamError::Outside(address));
        }
        self.resting.remove(&to_bits(address));
        self.taken.insert(to_bits(address)).then_some(()).ok_or(IpamError::Taken)
    }

    /// Gives an address back. One that is not taken is fine.
    pub fn release(&mut self, address: IpAddr, now: Instant) {
        if self.taken.remove(&to_bits(address)) {
            self.resting.insert(to_bits(address), now);
        }
    }

    pub fn is_taken(&self, address: IpAddr) -> bool {
        self.taken.contains(&to_bits(address))
    }

    fn address(&self, bits: u128) -> IpAddr {
        from_bits(bits, self.subnet.is_ipv6())
    }

    fn bounds(&self) -> (u128, u128) {
        let ((low, high), range) = (self.subnet.hosts(), self.range);
        (to_bits(low.max(range.address())), to_bits(high.min(range.last())))
    }
}

/// Docker's default pools: 172.17–172.31 as /16, then 192.168 in /20. Source: moby libnetwork/ipamutils.
pub fn default_subnets() -> impl Iterator<Item = Subnet> {
    let sixteens = (17..=31).filter_map(|n| Subnet::new(Ipv4Addr::new(172, n, 0, 0), 16));
    let twenties = (0..16).filter_map(|n| Subnet::new(Ipv4Addr::new(192, 168, n * 16, 0), 20));
    sixteens.chain(twenties)
}

/// The first default subnet that overlaps nothing in `used` (networks, and where the host's routes lead).
pub fn choose_subnet(used: &[Subnet]) -> Option<Subnet> {
    default_subnets().find(|subnet| !used.iter().any(|other| subnet.overlaps(*other)))
}

/// The first /64 of the engine's own unique local prefix that overlaps nothing in `used`. The prefix follows from `seed`, so
/// that an engine keeps it and two are unlikely to share one. Source: RFC 4193 §3.2.
pub fn choose_ipv6_subnet(seed: &str, used: &[Subnet]) -> Option<Subnet> {
    // FNV-1a: spread is all that is wanted, not secrecy.
    let hash = seed
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let prefix = 0xfdu128 << 120 | u128::from(hash & 0xff_ffff_ffff) << 80;
    let mut subnets = (0..=u16::MAX).filter_map(|n| Subnet::new(Ipv6Addr::from(prefix | u128::from(n) << 64), 64));
    subnets.find(|subnet| !used.iter().any(|other| subnet.overlaps(*other)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(text: &str) -> Pool {
        Pool::new(text.parse().unwrap(), None)
    }

    #[test]
    fn a_released_address_rests_unless_it_is_the_last() {
        let (now, mut pool) = (Instant::now(), pool("10.0.0.0/29"));
        let all: Vec<_> = (0..6).map(|_| pool.allocate(now).unwrap()).collect();
        assert_eq!(pool.allocate(now), Err(IpamError::Exhausted("IPv4")));
        pool.release(all[4], now);
        pool.release(all[1], now + Duration::from_millis(1));
        assert_eq!(pool.allocate(now + Duration::from_millis(2)), Ok(all[4]), "the longest rested");
        pool.release(all[0], now + Duration::from_millis(3));
        assert_eq!(pool.allocate(now + REST + Duration::from_millis(2)), Ok(all[1]), "rested long enough");
    }

    #[test]
    fn claims_outside_or_twice_are_refused() {
        let mut pool = pool("10.0.0.0/24");
        for outside in [[10, 0, 1, 1], [10, 0, 0, 0], [10, 0, 0, 255]].map(IpAddr::from) {
            assert_eq!(pool.claim(outside), Err(IpamError::Outside(outside)));
        }
        assert!(pool.claim(Ipv6Addr::LOCALHOST.into()).is_err());
        assert_eq!(pool.claim([10, 0, 0, 9].into()), Ok(()));
        assert_eq!(pool.claim([10, 0, 0, 9].into()), Err(IpamError::Taken));
    }

    #[test]
    fn default_subnets_avoid_what_is_used() {
        assert_eq!(choose_subnet(&[]).unwrap().to_string(), "172.17.0.0/16");
        let vpn = ["172.16.0.0/12".parse().unwrap(), "192.168.1.0/24".parse().unwrap()];
        assert_eq!(choose_subnet(&vpn).unwrap().to_string(), "192.168.16.0/20");
        assert_eq!(choose_subnet(&["0.0.0.0/0".parse().unwrap()]), None);
    }

    #[test]
    fn ipv6_subnets_are_unique_local_and_an_engines_own() {
        let first = choose_ipv6_subnet("engine", &[]).unwrap();
        assert!(first.to_string().starts_with("fd") && first.prefix() == 64, "{first}");
        assert_eq!(choose_ipv6_subnet("engine", &[]), Some(first));
        let second = choose_ipv6_subnet("engine", &[first]).unwrap();
        assert!(!second.overlaps(first));
        assert_ne!(choose_ipv6_subnet("another", &[]), Some(first));
        let mut pool = Pool::new(first, None);
        assert_eq!(pool.allocate(Instant::now()), Ok(first.hosts().0));
    }

    proptest! {
        /// Whatever is asked in whatever order: an address has one holder, inside the subnet and, when chosen, the range.
        #[test]
        fn no_address_has_two_holders(prefix in 24u8..=32, range in 24u8..=32, steps in proptest::collection::vec((0u8..3, any::<u8>()), 0..200)) {
            let subnet = Subnet::new(Ipv4Addr::new(10, 9, 8, 64), prefix).unwrap();
            let range = Subnet::new(Ipv4Addr::new(10, 9, 8, 64), range.max(prefix)).unwrap();
            let mut pool = Pool::new(subnet, Some(range));
            let (start, mut held) = (Instant::now(), BTreeSet::new());
            for (n, (step, byte)) in steps.into_iter().enumerate() {
                let now = start + Duration::from_millis(n as u64 * 50);
                let address = IpAddr::from([10, 9, 8, byte]);
                match step {
                    0 => match pool.allocate(now) {
                        Ok(address) => {
                            prop_assert!(range.contains(address) && subnet.contains(address));
                            prop_assert!(held.insert(address));
                        }
                        Err(error) => prop_assert_eq!(error, IpamError::Exhausted("IPv4")),
                    },
                    1 => match pool.claim(address) {
                        Ok(()) => prop_assert!(held.insert(address)),
                        Err(IpamError::Taken) => prop_assert!(held.contains(&address)),
                        Err(_) => {}
                    },
                    _ => {
                        pool.release(address, now);
                        held.remove(&address);
                    }
                }
                for address in &held {
                    prop_assert!(pool.is_taken(*address));
                }
            }
        }
    }
}
