//! Networks and endpoints come and go; crashes leave nothing wrong.

use super::*;

#[test]
fn a_container_gets_its_place_and_gives_it_back() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let web = bench.run("web", "").await;
        let endpoint = &web.endpoints["bridge"];
        assert_eq!(endpoint.ip_address.as_deref(), Some("172.17.0.2"));
        assert_eq!(endpoint.gateway.as_deref(), Some("172.17.0.1"));
        assert_eq!(endpoint.mac_address.as_deref(), Some("02:42:ac:11:00:02"));
        assert_eq!(endpoint.ip_prefix_len, Some(16));
        assert!(web.hosts.contains("\n172.17.0.1\tgate\n172.17.0.2\tweb-host\n"), "{}", web.hosts);
        let network = bench.networks.inspect("bridge").unwrap();
        assert_eq!(network.containers.unwrap()[&id_of("web")].ipv4_address.as_deref(), Some("172.17.0.2/16"));
        assert!(bench.networks.container_age(web.ip().into()).is_some());

        let error = bench.networks.join(request("web", "", HashMap::new())).await.unwrap_err();
        assert!(error.message().contains("already"), "{error}");
        bench.networks.leave(&id_of("web")).await;
        bench.networks.leave("unknown").await;
        assert!(bench.networks.container_age(web.ip().into()).is_none());
        drop(web);
        wait_until("the cable going", || link_names() == ["cubby0", "lo"]);
        bench.networks.close().await;
        wait_until("everything going", || link_names() == ["lo"]);
    });
}

#[test]
fn behind_a_machine_containers_know_the_users_computer_by_name() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let mut join = request("web", "", HashMap::new());
        join.host_gateway = Some([10, 0, 2, 2].into());
        join.extra_hosts = vec!["gateway.docker.internal:10.9.9.9".to_owned()];
        let web = bench.networks.join(join).await.unwrap();
        assert!(web.hosts.contains("\n10.0.2.2\thost.docker.internal\n"), "{}", web.hosts);
        assert_eq!(
            web.hosts.matches("gateway.docker.internal").count(),
            1,
            "the user's own word counts: {}",
            web.hosts
        );
        let plain = bench.run("plain", "").await;
        assert!(!plain.hosts.contains("docker.internal"), "{}", plain.hosts);
        bench.networks.close().await;
    });
}

#[test]
fn modes_without_a_network_of_their_own() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let none = bench.run("alone", "none").await;
        assert_eq!(Sandbox::adopt(netns_of(&none)).unwrap().interfaces().unwrap(), ["lo"]);
        assert!(none.address.is_none() && none.endpoints.contains_key("none"));
        let host = bench.run("bare", "host").await;
        assert!(host.netns.is_none() && host.endpoints.contains_key("host"));

        let web = bench.run("web", "").await;
        let side = bench.run("side", &format!("container:{}", id_of("web"))).await;
        let listener = web.within(|| TcpListener::bind("127.0.0.1:80")).unwrap();
        side.within(|| TcpStream::connect("127.0.0.1:80")).unwrap();
        drop(listener);
        let error = bench.join("late", "container:gone", HashMap::new()).await.unwrap_err();
        assert_eq!(error.message(), "cannot join network namespace of a non running container: gone");
        let error = bench.join("late", "nowhere", HashMap::new()).await.unwrap_err();
        assert_eq!(error.message(), "network nowhere not found");
        bench.networks.close().await;
    });
}

#[test]
fn names_subnets_and_removal_follow_dockerd() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let id = bench.create("back", None, false).await;
        let shown = bench.networks.inspect(&id[..10]).unwrap();
        assert_eq!(shown.ipam.unwrap().config.unwrap()[0].subnet.as_deref(), Some("172.18.0.0/16"));
        let again = NetworkCreateRequest { name: "back".into(), ..Default::default() };
        let error = bench.networks.create(again).await.unwrap_err();
        assert_eq!(error.message(), "network with name back already exists");

        let web = bench.run("web", "back").await;
        let error = bench.networks.remove("back").await.unwrap_err();
        assert!(error.message().contains("network back has active endpoints (name:\"web\""), "{error}");
        let error = bench.networks.remove("bridge").await.unwrap_err();
        assert_eq!(error.message(), "bridge is a pre-defined network and cannot be removed");
        let spare = bench.create("spare", None, false).await;
        assert!(link_names().contains(&kernel::bridge_name(&spare)));
        let pruned = bench.networks.prune(&Filters::default()).await.unwrap();
        assert_eq!(pruned.networks_deleted.unwrap(), ["spare"]);
        assert!(!link_names().contains(&kernel::bridge_name(&spare)));

        let names = |filters: &str| -> Vec<String> {
            let listed = bench.networks.list(&Filters::parse(filters).unwrap()).unwrap();
            listed.into_iter().map(|network| network.name.unwrap()).collect()
        };
        assert_eq!(names(""), ["back", "bridge", "host", "none"]);
        assert_eq!(names(r#"{"type":["custom"]}"#), ["back"]);
        assert_eq!(names(r#"{"driver":["null"]}"#), ["none"]);
        assert_eq!(names(r#"{"dangling":["true"]}"#), [""; 0]);
        bench.networks.leave(&id_of("web")).await;
        drop(web);
        bench.networks.remove("back").await.unwrap();
        bench.networks.close().await;
        wait_until("everything going", || link_names() == ["lo"]);
    });
}

#[test]
fn static_addresses_are_checked_and_a_failed_join_leaves_nothing() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        bench.create("fixed", Some("10.77.0.0/24"), false).await;
        bench.create("free", None, false).await;
        let on = |network: &str, address: &str| HashMap::from([(network.to_owned(), with_address(address))]);
        let db = bench.join("db", "fixed", on("fixed", "10.77.0.9")).await.unwrap();
        assert_eq!(db.ip(), Ipv4Addr::new(10, 77, 0, 9));
        for (mode, address, reason) in [
            ("fixed", "10.77.0.9", "Address already in use"),
            ("fixed", "10.78.0.9", "no configured subnet or ip-range contain the IP address 10.78.0.9"),
            ("fixed", "10.77.0.1", "Address already in use"),
            ("fixed", "nonsense", "invalid IPv4 address: nonsense"),
            ("free", "172.18.0.9", "supported only when connecting to networks with user configured subnets"),
            ("bridge", "172.17.0.9", "user specified IP address is supported on user defined networks only"),
        ] {
            // The second network is joined first and has to be given back.
            let error = bench.join("late", mode, on(mode, address)).await.unwrap_err();
            assert!(error.message().contains(reason), "{mode} {address}: {error}");
            assert!(bench.networks.endpoints(&id_of("late")).is_empty());
        }
        let late = bench.run("late", "fixed").await;
        assert_eq!(late.ip(), Ipv4Addr::new(10, 77, 0, 2));
        bench.networks.close().await;
    });
}

#[test]
fn after_a_crash_containers_keep_their_place_and_leftovers_go() {
    in_own_namespace(|| async {
        let mut bench = Bench::new().await;
        bench.create("back", None, false).await;
        let lost = bench.create("lost", None, false).await;
        let web = bench.run("web", "back").await;
        let db = bench.run("db", "back").await;
        // Removed from the records but not from the kernel, as by a crash between the two.
        bench.networks.erase(&lost).unwrap();
        bench.networks.leave(&id_of("db")).await;
        drop(db);

        let before = link_names();
        bench.crash().await;
        assert!(before.contains(&kernel::bridge_name(&lost)) && !link_names().contains(&kernel::bridge_name(&lost)));
        let rejoin = Rejoin {
            container_id: id_of("web"),
            name: "web".into(),
            hostname: "web-host".into(),
            mode: NetworkMode::parse("back"),
            netns: Some(netns_of(&web)),
            endpoints: web.endpoints.clone(),
            dns: Dns::default(),
            links: Vec::new(),
        };
        bench.networks.rejoin(rejoin).await.unwrap();
        let app = bench.run("app", "back").await;
        assert_ne!(app.ip(), web.ip(), "the address of the running container is not given out again");
        assert!(web.reached_from(&app, web.ip()));
        assert_eq!(names::lookup(&app, "web", 1).await.unwrap(), [web.ip()]);
        assert_eq!(names::lookup(&web, "app", 1).await.unwrap(), [app.ip()]);
        bench.networks.disconnect("back", "web", false).await.unwrap();
        assert_eq!(Sandbox::adopt(netns_of(&web)).unwrap().interfaces().unwrap(), ["lo"]);
        bench.networks.close().await;
    });
}

#[test]
fn a_join_whose_caller_is_gone_is_undone() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        {
            let join = bench.networks.join(request("web", "", HashMap::new()));
            tokio::pin!(join);
            assert!(futures_util::poll!(join).is_pending(), "it has begun");
            assert!(!bench.networks.endpoints(&id_of("web")).is_empty());
        }
        wait_until("the endpoint being given back", || bench.networks.endpoints(&id_of("web")).is_empty());
        wait_until("the cable going", || link_names() == ["cubby0", "lo"]);
        bench.run("web", "").await;
        bench.networks.close().await;
    });
}

#[test]
fn a_hundred_containers_leave_no_descriptor_and_no_link() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let cycle = async |n: usize| {
            let name = format!("c{n}");
            let joined = bench.run(&name, "").await;
            bench.networks.leave(&id_of(&name)).await;
            drop(joined);
        };
        cycle(0).await;
        tokio::task::spawn_blocking({
            let kernel = bench.networks.kernel.clone();
            move || kernel.refill()
        })
        .await
        .unwrap();
        let before = descriptors();
        let start = Instant::now();
        for n in 1..=100 {
            cycle(n).await;
        }
        println!("join + leave: {:?} each", start.elapsed() / 100);
        tokio::task::spawn_blocking({
            let kernel = bench.networks.kernel.clone();
            move || kernel.refill()
        })
        .await
        .unwrap();
        wait_until("the cables going", || link_names() == ["cubby0", "lo"]);
        // Other tests run in this process too, each with a few descriptors of its own.
        assert!(descriptors() < before + 60, "{} descriptors, {before} before", descriptors());
        bench.networks.close().await;
    });
}

#[test]
fn engines_share_a_kernel_and_the_refuse_of_dead_ones_goes() {
    in_own_namespace(|| async {
        let first = Bench::new().await;
        let web = first.run("web", "").await;
        let (dir, users) = (tempfile::tempdir().unwrap(), Arc::default());
        let second = open(dir.path().join("state.db"), &users, "second").await;
        let shown = second.inspect("bridge").unwrap().ipam.unwrap().config.unwrap();
        assert_eq!(shown[0].subnet.as_deref(), Some("172.18.0.0/16"), "the first engine's subnet is avoided");
        assert_eq!(web.endpoints["bridge"].ip_address.as_deref(), Some("172.17.0.2"));

        // As an engine leaves it that was killed, and whose data root is gone.
        let mut netlink = Netlink::route().unwrap();
        netlink.create_bridge("cb-dead", [2, 0, 0, 0, 0, 7], 1500).unwrap();
        let dead = netlink.link("cb-dead").unwrap().unwrap();
        netlink.set_alias(dead.index, "cubby/feedbeef-1/0123/1.7").unwrap();
        let table = cubby_network::firewall::apply("cubby-feedbeef", &[], None);
        table.unwrap();
        let third = open(dir.path().join("third.db"), &users, "third").await;
        let links = link_names();
        assert!(!links.contains(&"cb-dead".to_owned()) && links.contains(&"cubby0".to_owned()), "{links:?}");
        if let Some(rules) = nft(&["list", "tables"]) {
            assert!(!rules.contains("feedbeef") && rules.contains("cubby-0123abcd"), "{rules}");
        }
        for networks in [&first.networks, &second, &third] {
            networks.close().await;
        }
    });
}
