//! The addresses of a network that is to be: what is asked, checked in dockerd's words, and what we choose.
//! Source: moby 28, api/types/network/ipam.go and libnetwork/network.go (`ipamAllocateVersion`).

use std::{collections::BTreeMap, net::IpAddr};

use bollard_stubs::models::{Ipam, IpamConfig};
use cubby_network::{Subnet, ipam};

use super::record::{Addresses, Driver};
use crate::error::{Error, ErrorKind, Result};

/// A request's subnets, sorted by family.
pub struct Asked<'a> {
    pub ipv4: Vec<&'a IpamConfig>,
    pub ipv6: Vec<&'a IpamConfig>,
}

impl<'a> Asked<'a> {
    /// # Errors
    /// Invalid for what is no subnet, or does not lie in one, all of it at once; IPv6 is not looked at where it is off.
    pub fn read(ipam: Option<&'a Ipam>, with_ipv6: bool) -> Result<Self> {
        let driver = ipam.and_then(|ipam| ipam.driver.as_deref()).unwrap_or_default();
        if !matches!(driver, "" | "default") {
            return Err(Error::invalid(format!("invalid ipam driver: \"{driver}\" not found")));
        }
        let configs = ipam.and_then(|ipam| ipam.config.as_deref()).unwrap_or_default();
        let wanted: Vec<&IpamConfig> = configs.iter().filter(|config| !says_nothing(config)).collect();
        let is_ipv6 = |config: &IpamConfig| config.subnet.as_deref().is_some_and(|subnet| subnet.contains(':'));
        let mistakes: Vec<String> =
            wanted.iter().filter(|config| with_ipv6 || !is_ipv6(config)).flat_map(|config| mistakes(config)).collect();
        match mistakes.as_slice() {
            [] => {}
            [one] => return Err(Error::invalid(format!("invalid network config:\n{one}"))),
            many => return Err(Error::invalid(format!("invalid network config:\n* {}", many.join("\n* ")))),
        }
        let (ipv6, ipv4) = wanted.into_iter().partition(|config| is_ipv6(config));
        Ok(Self { ipv4, ipv6 })
    }
}

fn says_nothing(config: &IpamConfig) -> bool {
    let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    empty(&config.subnet) && empty(&config.ip_range) && empty(&config.gateway) && config.auxiliary_addresses.is_none()
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The address of `10.0.0.1/24` as it is written, host bits and all.
fn written_address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

/// What is wrong with one subnet.
fn mistakes(config: &IpamConfig) -> Vec<String> {
    let text = config.subnet.as_deref().unwrap_or_default();
    let Ok(subnet) = text.parse::<Subnet>() else {
        return vec![format!("invalid subnet {text}: invalid CIDR block notation")];
    };
    let mut mistakes = Vec::new();
    if written_address(text) != Some(subnet.address()) {
        mistakes.push(format!("invalid subnet {text}: it should be {subnet}"));
    }
    if let Some(range) = given(&config.ip_range) {
        mistakes
            .extend(range_mistakes(range, subnet).into_iter().map(|why| format!("invalid ip-range {range}: {why}")));
    }
    if let Some(gateway) = given(&config.gateway)
        && let Some(why) = address_mistake(gateway_address(gateway), subnet)
    {
        mistakes.push(format!("invalid gateway {gateway}: {why}"));
    }
    let mut auxiliary: Vec<_> = config.auxiliary_addresses.iter().flatten().collect();
    auxiliary.sort();
    for (name, address) in auxiliary {
        let why = address_mistake(address, subnet);
        mistakes.extend(why.map(|why| format!("invalid auxiliary address {name}: {why}")));
    }
    mistakes
}

/// Why: some clients write the gateway with the subnet's prefix.
fn gateway_address(text: &str) -> &str {
    text.split('/').next().unwrap_or(text)
}

fn family(subnet: Subnet) -> &'static str {
    if subnet.is_ipv6() { "IPv6" } else { "IPv4" }
}

fn range_mistakes(text: &str, subnet: Subnet) -> Vec<String> {
    let Ok(range) = text.parse::<Subnet>() else { return vec!["invalid CIDR block notation".to_owned()] };
    if range.is_ipv6() != subnet.is_ipv6() {
        return vec![format!("parent subnet is an {} block", family(subnet))];
    }
    let mut mistakes = Vec::new();
    if range.prefix() < subnet.prefix() {
        mistakes.push(format!("CIDR block is bigger than its parent subnet {subnet}"));
    }
    if written_address(text) != Some(range.address()) {
        mistakes.push(format!("it should be {range}"));
    }
    if !subnet.overlaps(range) {
        mistakes.push(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
    mistakes
}

fn address_mistake(text: &str, subnet: Subnet) -> Option<String> {
    let Ok(address) = text.parse::<IpAddr>() else { return Some("invalid address".to_owned()) };
    if address.is_ipv6() != subnet.is_ipv6() {
        return Some(format!("parent subnet is an {} block", family(subnet)));
    }
    (!subnet.contains(address)).then(|| format!("parent subnet {subnet} doesn't contain this address"))
}

/// The subnets of one family, in the order asked, or one that we choose. `taken`: those of all networks.
///
/// # Errors
/// Forbidden for subnets that overlap others or each other, and for several on a bridge.
pub fn addresses(
    asked: &[&IpamConfig],
    taken: &[Subnet],
    driver: Driver,
    with_gateway: bool,
    choose: impl FnOnce(&[Subnet]) -> Result<Subnet>,
) -> Result<Vec<Addresses>> {
    if asked.is_empty() {
        let subnet = choose(taken)?;
        return Ok(vec![Addresses { gateway: Some(subnet.hosts().0).filter(|_| with_gateway), ..chosen(subnet) }]);
    }
    let (mut all, mut taken) = (Vec::new(), taken.to_vec());
    for config in asked {
        let one = of_user(config, &taken, with_gateway)?;
        taken.push(one.subnet);
        all.push(one);
    }
    if all.len() > 1 && driver == Driver::Bridge {
        return Err(Error::new(ErrorKind::Forbidden, "bridge driver doesn't support multiple subnets"));
    }
    Ok(all)
}

/// The addresses of a subnet that nobody asked for by name.
pub fn chosen(subnet: Subnet) -> Addresses {
    Addresses { subnet, range: None, gateway: Some(subnet.hosts().0), auxiliary: BTreeMap::new(), by_user: false }
}

/// One checked subnet.
fn of_user(config: &IpamConfig, taken: &[Subnet], with_gateway: bool) -> Result<Addresses> {
    let broken = || Error::internal("a subnet was not checked before it was taken");
    let subnet: Subnet = given(&config.subnet).and_then(|text| text.parse().ok()).ok_or_else(broken)?;
    if let Some(other) = taken.iter().find(|other| subnet.overlaps(**other)) {
        tracing::info!(%subnet, %other, "network refused");
        return Err(Error::new(
            ErrorKind::Forbidden,
            "invalid pool request: Pool overlaps with other one on this address space",
        ));
    }
    let range: Option<Subnet> = given(&config.ip_range).and_then(|text| text.parse().ok());
    let asked = given(&config.gateway).and_then(|text| gateway_address(text).parse().ok());
    let first = range.map_or(subnet.hosts().0, |range| range.address().max(subnet.hosts().0));
    let gateway = asked.or(with_gateway.then_some(first));
    let mut auxiliary: BTreeMap<String, IpAddr> = BTreeMap::new();
    for (name, text) in config.auxiliary_addresses.iter().flatten() {
        let address: IpAddr = text.parse().map_err(|_| broken())?;
        if gateway == Some(address) || auxiliary.values().any(|other| *other == address) {
            return Err(Error::internal(format!(
                "failed to allocate secondary ip address ({name}:{text}): Address already in use"
            )));
        }
        auxiliary.insert(name.clone(), address);
    }
    Ok(Addresses { subnet, range, gateway, auxiliary, by_user: true })
}

/// A default subnet that no network has and no route leads to.
pub fn choose_subnet(taken: &[Subnet], routes: &[Subnet]) -> Result<Subnet> {
    let subnet = ipam::choose_subnet(&[taken, routes].concat())
        .ok_or_else(|| Error::invalid("all predefined address pools have been fully subnetted"))?;
    if let Some(avoided) = ipam::choose_subnet(taken).filter(|first| *first != subnet)
        && let Some(route) = routes.iter().find(|route| route.overlaps(avoided))
    {
        tracing::warn!(%avoided, %route, chosen = %subnet, "subnets that this machine routes elsewhere are avoided");
    }
    Ok(subnet)
}

pub fn choose_ipv6_subnet(seed: &str, taken: &[Subnet], routes: &[Subnet]) -> Result<Subnet> {
    ipam::choose_ipv6_subnet(seed, &[taken, routes].concat())
        .ok_or_else(|| Error::invalid("all predefined address pools have been fully subnetted"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(subnet: &str, range: &str, gateway: &str) -> IpamConfig {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        IpamConfig { subnet: text(subnet), ip_range: text(range), gateway: text(gateway), auxiliary_addresses: None }
    }

    fn refused(configs: &[IpamConfig]) -> String {
        let ipam = Ipam { config: Some(configs.to_vec()), ..Ipam::default() };
        let refused = Asked::read(Some(&ipam), true).err().unwrap().message().to_owned();
        refused.strip_prefix("invalid network config:\n").unwrap().to_owned()
    }

    #[test]
    fn mistakes_are_told_in_dockerds_words() {
        for (subnet, range, gateway, words) in [
            ("10.2.0.1/16", "", "", "invalid subnet 10.2.0.1/16: it should be 10.2.0.0/16"),
            ("10.2.0.0/33", "", "", "invalid subnet 10.2.0.0/33: invalid CIDR block notation"),
            ("10.2.0.0", "", "", "invalid subnet 10.2.0.0: invalid CIDR block notation"),
            ("", "", "10.0.0.1", "invalid subnet : invalid CIDR block notation"),
            ("fd00::5/64", "", "", "invalid subnet fd00::5/64: it should be fd00::/64"),
            (
                "10.2.0.0/24",
                "10.3.0.0/25",
                "",
                "invalid ip-range 10.3.0.0/25: parent subnet 10.2.0.0/24 doesn't contain ip-range",
            ),
            (
                "10.2.0.0/24",
                "10.2.0.0/16",
                "",
                "invalid ip-range 10.2.0.0/16: CIDR block is bigger than its parent subnet 10.2.0.0/24",
            ),
            ("10.2.0.0/24", "fd00::/65", "", "invalid ip-range fd00::/65: parent subnet is an IPv4 block"),
            ("10.2.0.0/24", "10.2.0.5/25", "", "invalid ip-range 10.2.0.5/25: it should be 10.2.0.0/25"),
            ("10.2.0.0/24", "x", "", "invalid ip-range x: invalid CIDR block notation"),
            (
                "10.2.0.0/24",
                "",
                "10.3.0.1",
                "invalid gateway 10.3.0.1: parent subnet 10.2.0.0/24 doesn't contain this address",
            ),
            ("10.2.0.0/24", "", "fd00::1", "invalid gateway fd00::1: parent subnet is an IPv4 block"),
            ("10.2.0.0/24", "", "front", "invalid gateway front: invalid address"),
        ] {
            assert_eq!(refused(&[config(subnet, range, gateway)]), words);
        }
        let two = refused(&[config("10.2.0.1/16", "", "10.9.0.1"), config("x", "", "")]);
        assert_eq!(
            two,
            "* invalid subnet 10.2.0.1/16: it should be 10.2.0.0/16\n\
             * invalid gateway 10.9.0.1: parent subnet 10.2.0.0/16 doesn't contain this address\n\
             * invalid subnet x: invalid CIDR block notation"
        );
        let auxiliary = IpamConfig {
            auxiliary_addresses: Some([("router".to_owned(), "10.3.0.1".to_owned())].into()),
            ..config("10.2.0.0/24", "", "")
        };
        assert_eq!(
            refused(&[auxiliary]),
            "invalid auxiliary address router: parent subnet 10.2.0.0/24 doesn't contain this address"
        );
    }

    fn taken_by(driver: Driver, configs: &[IpamConfig]) -> Result<Vec<Addresses>> {
        let configs: Vec<&IpamConfig> = configs.iter().collect();
        addresses(&configs, &["10.1.0.0/16".parse().unwrap()], driver, true, |_| panic!("nothing to choose"))
    }

    #[test]
    fn subnets_are_taken_in_the_order_asked() {
        let one = taken_by(Driver::Bridge, &[config("10.2.0.0/24", "10.2.0.128/25", "")]).unwrap();
        assert_eq!((one[0].gateway, one[0].by_user), (Some([10, 2, 0, 128].into()), true));
        let one = taken_by(Driver::Bridge, &[config("fd00::/64", "", "")]).unwrap();
        assert_eq!(one[0].gateway.unwrap().to_string(), "fd00::1");
        let two = [config("10.2.0.0/24", "", "10.2.0.254"), config("10.3.0.0/24", "", "")];
        let gateways: Vec<_> = taken_by(Driver::Macvlan, &two).unwrap().iter().filter_map(|one| one.gateway).collect();
        assert_eq!(gateways, [IpAddr::from([10, 2, 0, 254]), IpAddr::from([10, 3, 0, 1])]);
        let refused = |driver, configs: &[IpamConfig]| taken_by(driver, configs).unwrap_err().message().to_owned();
        assert_eq!(refused(Driver::Bridge, &two), "bridge driver doesn't support multiple subnets");
        assert!(refused(Driver::Bridge, &[config("10.1.4.0/24", "", "")]).contains("Pool overlaps"));
        let overlapping = [config("10.2.0.0/16", "", ""), config("10.2.1.0/24", "", "")];
        assert!(refused(Driver::Macvlan, &overlapping).contains("Pool overlaps"), "with each other");
        let auxiliary = IpamConfig {
            auxiliary_addresses: Some([("mine".to_owned(), "10.2.0.1".to_owned())].into()),
            ..config("10.2.0.0/24", "", "")
        };
        assert!(refused(Driver::Bridge, &[auxiliary]).ends_with("(mine:10.2.0.1): Address already in use"));
    }
}
