//! Ports of vsock as AF_HYPERV service ids: Linux guests see connections to ids of one template as vsock ports.
//!
//! Source: include/linux/hyperv.h and net/vmw_vsock/hyperv_transport.c: the port is the first field of the template.

/// `00000000-facb-11e6-bd58-64006a7986d3`
const TEMPLATE: u128 = 0x0000_0000_facb_11e6_bd58_6400_6a79_86d3;

/// The id of a port, as a 128-bit number in the order in which it is written.
pub fn of_port(port: u32) -> u128 {
    u128::from(port) << 96 | TEMPLATE
}

/// As the service's documents have it.
pub fn text(id: u128) -> String {
    let hex = format!("{id:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_the_first_field() {
        assert_eq!(text(of_port(0)), "00000000-facb-11e6-bd58-64006a7986d3");
        assert_eq!(text(of_port(2375)), "00000947-facb-11e6-bd58-64006a7986d3");
        assert_eq!(text(of_port(u32::MAX)), "ffffffff-facb-11e6-bd58-64006a7986d3");
    }
}
