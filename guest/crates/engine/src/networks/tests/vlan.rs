//! `macvlan` on a link of the host's, several subnets, configuration networks, and who has the default route.
//!
//! `ipvlan`, VLANs and dummies are not in every kernel; `tests/api` has their cases for the guest, whose kernel has them.

use bollard_stubs::models::ConfigReference;

use super::*;

fn subnets(pairs: &[(&str, &str)]) -> Option<Ipam> {
    let config = pairs.iter().map(|(subnet, gateway)| IpamConfig {
        subnet: Some((*subnet).to_owned()),
        gateway: (!gateway.is_empty()).then(|| (*gateway).to_owned()),
        ..IpamConfig::default()
    });
    Some(Ipam { config: Some(config.collect()), ..Ipam::default() })
}

fn macvlan(name: &str, parent: &str, pairs: &[(&str, &str)]) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("macvlan".to_owned()),
        options: Some([("parent".to_owned(), parent.to_owned())].into()),
        ipam: subnets(pairs),
        ..NetworkCreateRequest::default()
    }
}

#[test]
fn macvlan_containers_stand_on_the_parents_network_themselves() {
    in_own_namespace(|| async {
        let mut bench = Bench::new().await;
        let outside = outside_world();
        let request = macvlan("lan", "uplink", &[("198.51.100.0/24", "198.51.100.2"), ("10.66.0.0/30", "")]);
        bench.networks.create(request).await.unwrap();
        let shown = bench.networks.inspect("lan").unwrap();
        assert_eq!(shown.driver.as_deref(), Some("macvlan"));
        assert_eq!(shown.ipam.unwrap().config.unwrap().len(), 2);

        let on = |address: &str| HashMap::from([("lan".to_owned(), with_address(address))]);
        let web = bench.join("web", "lan", on("198.51.100.10")).await.unwrap();
        let endpoint = &web.endpoints["lan"];
        assert_eq!(endpoint.ip_address.as_deref(), Some("198.51.100.10"));
        assert_eq!(endpoint.gateway.as_deref(), Some("198.51.100.2"));
        assert_eq!(web.address, None, "nothing is published there");
        let db = bench.join("db", "lan", on("198.51.100.11")).await.unwrap();
        let address = Ipv4Addr::new(198, 51, 100, 10);
        assert!(web.reached_from(&db, address));
        assert_eq!(names::lookup(&db, "web", 1).await.unwrap(), [address]);
        // Whoever is on that network reaches the container under its own address, without any port being published.
        let listener = web.within(|| TcpListener::bind("0.0.0.0:80")).unwrap();
        outside
            .within(|| TcpStream::connect_timeout(&"198.51.100.10:80".parse().unwrap(), Duration::from_secs(5)))
            .unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), IpAddr::from([198, 51, 100, 2]), "nobody in between");
        drop(listener);
        // The second subnet has room for one.
        let far = bench.join("far", "lan", on("10.66.0.2")).await.unwrap();
        assert_eq!(far.endpoints["lan"].gateway.as_deref(), Some("10.66.0.1"));

        bench.crash().await;
        let rejoin = Rejoin {
            container_id: id_of("web"),
            name: "web".into(),
            hostname: "web-host".into(),
            mode: NetworkMode::parse("lan"),
            netns: Some(netns_of(&web)),
            endpoints: web.endpoints.clone(),
            dns: Dns::default(),
            links: Vec::new(),
        };
        bench.networks.rejoin(rejoin).await.unwrap();
        bench.networks.disconnect("lan", "web", false).await.unwrap();
        assert_eq!(Sandbox::adopt(netns_of(&web)).unwrap().interfaces().unwrap(), ["lo"]);
        bench.networks.remove("lan").await.unwrap();
        bench.networks.close().await;
        assert!(link_names().contains(&"uplink".to_owned()), "the parent is the host's own");
    });
}

#[test]
fn what_cannot_be_shared_is_refused() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let _outside = outside_world();
        let refused = async |request: NetworkCreateRequest| {
            bench.networks.create(request).await.unwrap_err().message().to_owned()
        };
        let gone = refused(macvlan("a", "gone0", &[])).await;
        assert_eq!(gone, "invalid subinterface vlan name gone0, example formatting is eth0.10");
        let gone = refused(macvlan("a", "gone0.7", &[])).await;
        assert_eq!(gone, "-o parent interface was not found on the host: gone0");
        assert!(refused(macvlan("a", "uplink.5000", &[])).await.starts_with("vlan id must be between"));
        let bridge = NetworkCreateRequest {
            name: "a".into(),
            ipam: subnets(&[("10.1.0.0/24", ""), ("10.2.0.0/24", "")]),
            ..NetworkCreateRequest::default()
        };
        assert_eq!(refused(bridge).await, "bridge driver doesn't support multiple subnets");
        bench.networks.create(macvlan("first", "uplink", &[])).await.unwrap();
        let mut alone = macvlan("alone", "uplink", &[]);
        alone.options.as_mut().unwrap().insert("macvlan_mode".into(), "passthru".into());
        assert!(refused(alone).await.starts_with("cannot use mode passthru, macvlan network"));
        let names: Vec<_> =
            bench.networks.list(&Filters::default()).unwrap().into_iter().filter_map(|n| n.name).collect();
        assert_eq!(names, ["bridge", "first", "host", "none"], "what was refused left nothing");
        bench.networks.close().await;
    });
}

#[test]
fn settings_of_a_configuration_network_are_taken_and_kept_while_in_use() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let template = NetworkCreateRequest {
            name: "shape".into(),
            config_only: Some(true),
            ipam: subnets(&[("10.88.0.0/24", "10.88.0.254")]),
            options: Some([("com.docker.network.driver.mtu".to_owned(), "1400".to_owned())].into()),
            labels: Some([("of".to_owned(), "shape".to_owned())].into()),
            ..NetworkCreateRequest::default()
        };
        bench.networks.create(template).await.unwrap();
        let shown = bench.networks.inspect("shape").unwrap();
        assert_eq!((shown.config_only, shown.driver.as_deref()), (Some(true), Some("null")));
        assert_eq!(shown.ipam.unwrap().config.unwrap()[0].subnet.as_deref(), Some("10.88.0.0/24"));
        let from = |name: &str| NetworkCreateRequest {
            name: "real".into(),
            config_from: Some(ConfigReference { network: Some(name.to_owned()) }),
            ..NetworkCreateRequest::default()
        };
        let error = bench.networks.create(from("nothing")).await.unwrap_err();
        assert_eq!(error.message(), "configuration network \"nothing\" does not exist");
        bench.networks.create(from("shape")).await.unwrap();
        let real = bench.networks.inspect("real").unwrap();
        assert_eq!(real.config_from.unwrap().network.as_deref(), Some("shape"));
        assert_eq!(real.labels.unwrap()["of"], "shape");
        let web = bench.run("web", "real").await;
        assert_eq!(web.endpoints["real"].gateway.as_deref(), Some("10.88.0.254"));

        let error = bench.networks.remove("shape").await.unwrap_err();
        assert_eq!(error.message(), "error while removing network: configuration network \"shape\" is in use");
        let error = bench.join("late", "shape", HashMap::new()).await.unwrap_err();
        assert_eq!(error.message(), "cannot create endpoint on configuration-only network");
        let error = bench.networks.connect("shape", "web", EndpointSettings::default()).await.unwrap_err();
        assert_eq!(error.message(), "cannot create endpoint on configuration-only network");
        bench.networks.leave(&id_of("web")).await;
        let pruned = bench.networks.prune(&Filters::default()).await.unwrap();
        assert_eq!(pruned.networks_deleted.unwrap(), ["real"], "configuration networks are not pruned");
        bench.networks.remove("shape").await.unwrap();
        bench.networks.close().await;
    });
}

/// The gateway of the container's IPv4 default route, as `/proc` of its namespace has it.
fn default_gateway(joined: &Joined) -> Option<Ipv4Addr> {
    let table = joined.within(|| std::fs::read_to_string("/proc/thread-self/net/route")).unwrap();
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut defaults = lines.filter(|fields| fields[1] == "00000000");
    let gateway = u32::from_str_radix(defaults.next()?[2], 16).unwrap();
    Some(Ipv4Addr::from(gateway.to_ne_bytes()))
}

#[test]
fn the_network_of_the_highest_priority_has_the_default_route() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        for (name, subnet) in [("mid", "10.1.0.0/24"), ("low", "10.2.0.0/24"), ("top", "10.3.0.0/24")] {
            bench.create(name, Some(subnet), false).await;
        }
        let web = bench.run("web", "mid").await;
        let with = |priority| EndpointSettings { gw_priority: Some(priority), ..EndpointSettings::default() };
        bench.networks.connect("low", "web", with(-100)).await.unwrap();
        assert_eq!(default_gateway(&web), Some([10, 1, 0, 1].into()));
        bench.networks.connect("top", "web", with(100)).await.unwrap();
        assert_eq!(default_gateway(&web), Some([10, 3, 0, 1].into()));
        bench.networks.disconnect("top", "web", false).await.unwrap();
        assert_eq!(default_gateway(&web), Some([10, 1, 0, 1].into()));
        bench.networks.disconnect("mid", "web", false).await.unwrap();
        assert_eq!(default_gateway(&web), Some([10, 2, 0, 1].into()));
        bench.networks.close().await;
    });
}
