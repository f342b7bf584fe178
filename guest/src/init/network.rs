//! The guest's own network: loopback, and eth0 on the hypervisor's user network. No DHCP client: the hypervisor either
//! hands out a fixed address (QEMU), or the kernel asked for one by itself (`ip=dhcp`).

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use super::cmdline::Cmdline;
use super::netlink::Netlink;

/// QEMU's user network gives every machine the same. Source: QEMU documentation, "Using the user mode network stack".
const QEMU_USER_NETWORK: &str = "10.0.2.15/24,10.0.2.2,10.0.2.3";
const LOOPBACK: &str = "lo";
const UPLINK: &str = "eth0";

/// What `cubby.net=` says.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Off,
    Kernel,
    Fixed { address: Ipv4Addr, prefix: u8, gateway: Ipv4Addr, dns: Ipv4Addr },
}

/// Brings the interfaces up and writes the resolver's files.
pub fn up(cmdline: &Cmdline) -> io::Result<()> {
    rustix::system::sethostname(b"cubby")?;
    fs::write("/etc/hostname", "cubby\n")?;
    fs::write("/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1\tcubby\n")?;
    fs::write("/etc/nsswitch.conf", "hosts: files dns\n")?;
    let netlink = Netlink::open()?;
    netlink.set_up(index(LOOPBACK)?)?;
    let text = cmdline.net.as_deref().unwrap_or(QEMU_USER_NETWORK);
    match parse(text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("cubby.net={text} is no network")))?
    {
        Plan::Off => Ok(()),
        // The kernel wrote the name servers it was given there, in resolv.conf's own syntax.
        Plan::Kernel => fs::write("/etc/resolv.conf", fs::read("/proc/net/pnp")?),
        Plan::Fixed { address, prefix, gateway, dns } => {
            fs::write("/etc/resolv.conf", format!("nameserver {dns}\n"))?;
            let uplink = index(UPLINK)?;
            netlink.add_address(uplink, address, prefix)?;
            netlink.set_up(uplink)?;
            netlink.add_default_route(uplink, gateway)
        }
    }
}

fn index(interface: &str) -> io::Result<u32> {
    let path = format!("/sys/class/net/{interface}/ifindex");
    let text = fs::read_to_string(path)
        .map_err(|err| io::Error::new(err.kind(), format!("no interface {interface}: {err}")))?;
    text.trim()
        .parse()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("index of {interface}: {text:?}")))
}

fn parse(text: &str) -> Option<Plan> {
    match text {
        "off" => return Some(Plan::Off),
        "kernel" => return Some(Plan::Kernel),
        _ => {}
    }
    let mut parts = text.split(',');
    let (address, prefix) = parts.next()?.split_once('/')?;
    let plan = Plan::Fixed {
        address: address.parse().ok()?,
        prefix: prefix.parse().ok().filter(|prefix| *prefix <= 32)?,
        gateway: parts.next()?.parse().ok()?,
        dns: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_network() {
        let fixed = Plan::Fixed {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 2, 2),
            dns: Ipv4Addr::new(10, 0, 2, 3),
        };
        assert_eq!(parse(QEMU_USER_NETWORK), Some(fixed));
    }

    #[test]
    fn anything_else_is_refused_rather_than_half_applied() {
        for text in
            ["", "10.0.2.15", "10.0.2.15/33,10.0.2.2,10.0.2.3", "10.0.2.15/24,10.0.2.2", "1.1.1.1/8,1.1.1.2,1.1.1.3,x"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("off"), Some(Plan::Off));
        assert_eq!(parse("kernel"), Some(Plan::Kernel));
    }
}
