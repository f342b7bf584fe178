//! `docker network create` in all its forms: ranges, auxiliary addresses, configuration networks, macvlan and ipvlan, and what
//! dockerd says to mistakes.

use cubby_harness::{Docker, IMAGE, Place};

use crate::docker;

fn start(docker: &Docker, name: &str, network: &str) -> String {
    docker.run(["run", "-d", "--name", name, "--network", network, IMAGE, "sleep", "300"]).ok();
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker.run(["inspect", "-f", format, name]).ok()
}

#[test]
fn addresses_come_from_the_range_and_leave_reserved_ones_alone() {
    let (docker, _engine) = docker();
    let options = ["--subnet", "10.211.0.0/24", "--ip-range", "10.211.0.128/25", "--gateway", "10.211.0.254"];
    let auxiliary = ["--aux-address", "router=10.211.0.129", "kind-range"];
    docker.run([&["network", "create"][..], &options, &auxiliary].concat()).ok();
    assert_eq!(start(&docker, "range-one", "kind-range"), "10.211.0.128");
    assert_eq!(start(&docker, "range-two", "kind-range"), "10.211.0.130");
    let shown = docker.run(["network", "inspect", "-f", "{{json .IPAM.Config}}", "kind-range"]).ok();
    let config: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let wanted = serde_json::json!([{
        "Subnet": "10.211.0.0/24", "IPRange": "10.211.0.128/25", "Gateway": "10.211.0.254",
        "AuxiliaryAddresses": { "router": "10.211.0.129" }
    }]);
    assert_eq!(config, wanted);
    docker.run(["rm", "-f", "range-one", "range-two"]).ok();
    docker.run(["network", "rm", "kind-range"]).ok();
}

#[test]
fn a_configuration_network_lends_its_settings() {
    let (docker, _engine) = docker();
    docker
        .run(["network", "create", "--config-only", "--subnet", "10.212.0.0/24", "--label", "of=kind", "kind-shape"])
        .ok();
    docker.run(["network", "create", "--config-from", "kind-shape", "kind-real"]).ok();
    let format = "{{.ConfigFrom.Network}} {{.ConfigOnly}} {{index .Labels \"of\"}} {{(index .IPAM.Config 0).Subnet}}";
    let shown = docker.run(["network", "inspect", "-f", format, "kind-real"]).ok();
    assert_eq!(shown, "kind-shape false kind 10.212.0.0/24");
    assert!(start(&docker, "kind-lent", "kind-real").starts_with("10.212.0."));
    let refused = docker.run(["run", "--rm", "--network", "kind-shape", IMAGE, "true"]);
    assert!(refused.stderr.contains("cannot create endpoint on configuration-only network"), "{refused:?}");
    let busy = docker.run(["network", "rm", "kind-shape"]);
    assert!(busy.stderr.contains("configuration network \"kind-shape\" is in use"), "{busy:?}");
    docker.run(["rm", "-f", "kind-lent"]).ok();
    docker.run(["network", "rm", "kind-real", "kind-shape"]).ok();
}

#[test]
fn mistakes_are_answered_in_dockerds_words() {
    let (docker, _engine) = docker();
    docker.run(["network", "create", "--subnet", "10.214.0.0/24", "kind-taken"]).ok();
    for (arguments, words) in [
        ("--subnet 10.215.0.1/24 kind-bad", "invalid subnet 10.215.0.1/24: it should be 10.215.0.0/24"),
        ("--subnet 10.215.0.0/33 kind-bad", "invalid subnet 10.215.0.0/33: invalid CIDR block notation"),
        ("--subnet 10.214.0.0/16 kind-bad", "Pool overlaps with other one on this address space"),
        ("--subnet 10.215.0.0/24 --ip-range 10.216.0.0/25 kind-bad", "no matching subnet for range 10.216.0.0/25"),
        ("--subnet 10.215.0.0/24 --gateway 10.216.0.1 kind-bad", "no matching subnet for gateway 10.216.0.1"),
        ("--subnet 10.215.0.0/24 --subnet 10.216.0.0/24 kind-bad", "bridge driver doesn't support multiple subnets"),
        (
            "--subnet 10.215.0.0/24 --ip-range 10.215.0.5/25 kind-bad",
            "invalid ip-range 10.215.0.5/25: it should be 10.215.0.0/25",
        ),
        ("-d nonsense kind-bad", "plugin \"nonsense\" not found"),
        ("-d host kind-bad", "only one instance of \"host\" network is allowed"),
        ("-d overlay kind-bad", "This node is not a swarm manager."),
        ("--scope swarm kind-bad", "cannot create a swarm scoped network when swarm is not active"),
        ("--config-only --internal kind-bad", "configuration network can only contain network specific fields"),
        ("--config-from nothing kind-bad", "configuration network \"nothing\" does not exist"),
        ("-d macvlan -o macvlan_mode=odd kind-bad", "requested macvlan mode 'odd' is not valid"),
        ("-d macvlan -o parent=lo kind-bad", "loopback interface is not a valid macvlan parent link"),
        ("-d ipvlan -o ipvlan_mode=l9 kind-bad", "requested ipvlan mode 'l9' is not valid"),
        ("-d ipvlan -o parent=none0 kind-bad", "invalid subinterface vlan name none0, example formatting is eth0.10"),
        ("kind-taken", "network with name kind-taken already exists"),
        ("bridge", "operation is not permitted on predefined bridge network"),
    ] {
        let arguments: Vec<&str> = ["network", "create"].into_iter().chain(arguments.split(' ')).collect();
        let refused = docker.run(arguments);
        assert!(refused.code == 1 && refused.stderr.contains(words), "{words}: {refused:?}");
    }
    assert_eq!(docker.run(["network", "ls", "-q", "-f", "name=kind-bad"]).ok(), "", "what was refused left nothing");
    docker.run(["network", "rm", "kind-taken"]).ok();
}

/// Whether the kernel makes such links. In the guest it does; elsewhere the refusal has to say what is missing.
fn made(docker: &Docker, arguments: &[&str]) -> bool {
    let made = docker.run([&["network", "create"][..], arguments].concat());
    if made.code == 0 {
        return true;
    }
    assert_eq!(Place::of_this_run(), Place::Native, "{made:?}");
    assert!(made.stderr.contains("this kernel has no "), "{made:?}");
    println!("not on this kernel: {}", made.stderr.trim());
    false
}

#[test]
fn networks_on_a_parent_link_have_addresses_names_and_no_way_out_without_one() {
    let (docker, _engine) = docker();
    for (name, options) in [
        ("kind-mac", &["-d", "macvlan", "--subnet", "10.217.0.0/24"][..]),
        ("kind-ip", &["-d", "ipvlan", "--subnet", "10.218.0.0/24", "--subnet", "10.219.0.0/24"]),
        ("kind-l3", &["-d", "ipvlan", "-o", "ipvlan_mode=l3", "--subnet", "10.220.0.0/24"]),
    ] {
        if !made(&docker, &[options, &[name]].concat()) {
            continue;
        }
        let (one, two) = (format!("{name}-one"), format!("{name}-two"));
        start(&docker, &one, name);
        let address = start(&docker, &two, name);
        let found = docker.run(["exec", &one, "nslookup", &two]).stdout;
        assert!(found.contains(&address), "{found}");
        docker.run(["exec", &one, "ping", "-c1", "-W5", &address]).ok();
        let routes = docker.run(["exec", &one, "ip", "route"]).ok();
        assert!(!routes.contains("default"), "{routes}");
        docker.run(["rm", "-f", &one, &two]).ok();
        docker.run(["network", "rm", name]).ok();
    }
}

#[test]
fn a_vlan_of_the_parent_comes_and_goes_with_its_networks() {
    let (docker, _engine) = docker();
    if Place::of_this_run() == Place::Native {
        println!("not natively: the links of this computer are not the test's to put VLANs on");
        return;
    }
    let parent = ["-d", "macvlan", "-o", "parent=eth0.20", "--subnet"];
    for (name, subnet, gateway) in
        [("kind-v1", "10.221.0.0/24", "10.221.0.1"), ("kind-v2", "10.222.0.0/24", "10.222.0.1")]
    {
        docker.run([&["network", "create"][..], &parent, &[subnet, "--gateway", gateway, name]].concat()).ok();
    }
    let links = || docker.run(["run", "--rm", "--network", "host", IMAGE, "ip", "-o", "link"]).ok();
    assert!(links().contains("eth0.20@eth0"), "{}", links());
    start(&docker, "vlan-one", "kind-v1");
    let routes = docker.run(["exec", "vlan-one", "ip", "route"]).ok();
    assert!(routes.contains("default via 10.221.0.1"), "{routes}");
    docker.run(["rm", "-f", "vlan-one"]).ok();
    docker.run(["network", "rm", "kind-v1"]).ok();
    assert!(links().contains("eth0.20@eth0"), "another network is on it");
    docker.run(["network", "rm", "kind-v2"]).ok();
    assert!(!links().contains("eth0.20"), "{}", links());
}
