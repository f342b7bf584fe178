//! Who reaches whom, and what the rules let out.

use super::*;

#[test]
fn networks_are_isolated_and_the_outside_is_reached_under_the_hosts_address() {
    in_own_namespace(|| async {
        let outside = outside_world();
        let bench = Bench::new().await;
        bench.create("back", None, false).await;
        bench.create("closed", None, true).await;
        let web = bench.run("web", "back").await;
        let db = bench.run("db", "back").await;
        let plain = bench.run("plain", "").await;
        let shut = bench.run("shut", "closed").await;
        let shut2 = bench.run("shut2", "closed").await;
        assert!(web.reached_from(&db, web.ip()) && shut.reached_from(&shut2, shut.ip()));
        assert!(!web.reached_from(&plain, web.ip()) && !plain.reached_from(&web, plain.ip()));
        assert!(!shut.reached_from(&web, shut.ip()) && !web.reached_from(&shut, web.ip()));

        let listener = outside.within(|| TcpListener::bind("198.51.100.2:80")).unwrap();
        let to = "198.51.100.2:80".parse().unwrap();
        let connect = |from: &Joined| from.within(|| TcpStream::connect_timeout(&to, Duration::from_millis(400)));
        let kept = connect(&web).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip(), IpAddr::from([198, 51, 100, 1]), "masqueraded");
        drop(kept);
        connect(&shut).unwrap_err();

        // From the outside straight to a container's address: routed, and dropped.
        let gateway = IpAddr::from([198, 51, 100, 1]);
        outside.route([198, 51, 100, 2].into(), gateway).unwrap();
        let listener = web.within(|| TcpListener::bind("0.0.0.0:81")).unwrap();
        let at = SocketAddr::from((web.ip(), 81));
        outside.within(|| TcpStream::connect_timeout(&at, Duration::from_millis(400))).unwrap_err();
        // The host itself gets through.
        TcpStream::connect_timeout(&at, Duration::from_secs(2)).unwrap();
        drop(listener);
        bench.networks.close().await;
    });
}

/// A first packet that is lost is sent again after a second: a start that is ready too early costs that.
#[test]
fn the_first_packet_of_a_new_container_arrives() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        let listener = TcpListener::bind("172.17.0.1:80").unwrap();
        let to = listener.local_addr().unwrap();
        let mut slowest = Duration::ZERO;
        for n in 0..40 {
            let joined = bench.run(&format!("c{n}"), "").await;
            let start = Instant::now();
            joined.within(|| TcpStream::connect_timeout(&to, Duration::from_secs(5))).unwrap();
            slowest = slowest.max(start.elapsed());
            bench.networks.leave(&id_of(&format!("c{n}"))).await;
        }
        assert!(slowest < Duration::from_millis(800), "{slowest:?}");
        bench.networks.close().await;
    });
}

#[test]
fn rules_are_ours_alone_and_foreign_tables_stay() {
    in_own_namespace(|| async {
        if nft(&["add", "table", "inet", "foreign"]).is_none() {
            eprintln!("no nft here: the rules' text is not compared");
            return;
        }
        nft(&["add", "chain", "inet", "foreign", "c", "{ type filter hook forward priority 5; }"]);
        let bench = Bench::new().await;
        bench.create("closed", Some("10.9.0.0/24"), true).await;
        let rules = nft(&["list", "ruleset"]).unwrap();
        for expected in [
            "table inet foreign",
            "table inet cubby-0123abcd",
            "type filter hook forward priority filter; policy accept;",
            "type nat hook postrouting priority srcnat; policy accept;",
            "ct state established,related accept",
            "oifname \"cubby0\" iifname != \"cubby0\" drop",
            "ip saddr 172.17.0.0/16 oifname != \"cubby0\" masquerade",
        ] {
            assert!(rules.contains(expected), "{expected} is not in {rules}");
        }
        assert!(!rules.contains("10.9.0.0/24"), "an internal network is not masqueraded: {rules}");
        bench.networks.remove("closed").await.unwrap();
        assert_eq!(nft(&["list", "ruleset"]).unwrap().matches("oifname").count(), 2);
        bench.networks.close().await;
        let rules = nft(&["list", "ruleset"]).unwrap();
        assert!(rules.contains("table inet foreign") && !rules.contains("cubby"), "{rules}");
    });
}

#[test]
fn a_running_container_changes_networks() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        bench.create("back", None, false).await;
        bench.create("front", Some("10.5.0.0/24"), false).await;
        let web = bench.run("web", "").await;
        let db = bench.run("db", "back").await;
        assert!(!db.reached_from(&web, db.ip()));
        bench.networks.connect("back", "web", EndpointSettings::default()).await.unwrap();
        assert!(db.reached_from(&web, db.ip()));
        let error = bench.networks.connect("back", "web", EndpointSettings::default()).await.unwrap_err();
        assert!(error.message().contains("endpoint with name web already exists in network back"), "{error}");
        bench.networks.connect("front", "web", with_address("10.5.0.50")).await.unwrap();
        assert_eq!(bench.networks.endpoints(&id_of("web"))["front"].ip_address.as_deref(), Some("10.5.0.50"));
        assert_eq!(bench.users.network_user("web").unwrap().endpoints.len(), 3);
        assert_eq!(names::lookup(&web, "db", 1).await.unwrap(), [db.ip()], "names come with the first user network");

        bench.networks.disconnect("bridge", "web", false).await.unwrap();
        assert!(proc_file("/proc/sys/net/ipv4/ip_forward").starts_with('1'));
        let routed =
            web.within(|| TcpStream::connect_timeout(&"172.17.0.1:9".parse().unwrap(), Duration::from_secs(2)));
        assert_eq!(
            routed.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused,
            "another network has the default route now"
        );
        bench.networks.disconnect("back", "web", false).await.unwrap();
        let error = bench.networks.disconnect("back", "web", false).await.unwrap_err();
        assert!(error.message().ends_with("is not connected to network back"), "{error}");
        assert!(!db.reached_from(&web, db.ip()));
        bench.networks.close().await;
    });
}
