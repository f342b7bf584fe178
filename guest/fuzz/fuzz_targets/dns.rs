//! Any bytes as a DNS query of a container: answered, refused or passed on, and what is answered belongs to the query.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use cubby_network::dns::{Zone, own_answer};
use libfuzzer_sys::fuzz_target;

/// Knows every name of up to eight bytes, and every address.
struct Everything;

impl Zone for Everything {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        (name.len() <= 8).then(|| vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()])
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        Some(format!("host.{address}.net"))
    }

    fn upstream(&self) -> Vec<SocketAddr> {
        Vec::new()
    }
}

fuzz_target!(|packet: &[u8]| {
    if let Some(reply) = own_answer(packet, &Everything) {
        assert_eq!(reply[..2], packet[..2], "the query's number");
        assert_eq!(reply[2] & 0x80, 0x80, "a reply");
        assert!(reply.len() <= packet.len() + 600, "small questions get small answers");
        assert!(own_answer(&reply, &Everything).is_none(), "replies are not answered: two servers could go on for ever");
    }
});
