//! Names between containers, through the true resolver's path: port 53 of 127.0.0.11.

use std::net::UdpSocket;

use super::*;

/// Asks 127.0.0.11 within the container. `kind`: 1 is A, 28 AAAA. `Err` is a response code.
pub async fn lookup(from: &Joined, name: &str, kind: u16) -> Result<Vec<Ipv4Addr>, u8> {
    let reply = ask(from, query(name, kind)).await;
    let code = reply[3] & 0xf;
    if code != 0 {
        return Err(code);
    }
    let answers = usize::from(u16::from_be_bytes([reply[6], reply[7]]));
    let tail = &reply[reply.len() - answers * 16..];
    let mut found: Vec<_> =
        tail.chunks(16).map(|record| Ipv4Addr::new(record[12], record[13], record[14], record[15])).collect();
    found.sort();
    Ok(found)
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, (kind >> 8) as u8, kind as u8, 0, 1]);
    packet
}

async fn ask(from: &Joined, packet: Vec<u8>) -> Vec<u8> {
    let socket = from
        .within(|| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect("127.0.0.11:53")?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .unwrap();
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    socket.send(&packet).await.unwrap();
    let mut reply = vec![0; 512];
    let len = tokio::time::timeout(Duration::from_secs(12), socket.recv(&mut reply)).await.unwrap().unwrap();
    reply.truncate(len);
    reply
}

fn called(aliases: &[&str]) -> EndpointSettings {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    EndpointSettings { aliases: Some(aliases), ..EndpointSettings::default() }
}

#[test]
fn containers_of_a_network_find_each_other_by_every_name() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        bench.create("back", None, false).await;
        bench.create("other", None, false).await;
        let on = |aliases: &[&str]| HashMap::from([("back".to_owned(), called(aliases))]);
        let web = bench.join("web", "back", on(&["www"])).await.unwrap();
        let db = bench.join("db", "back", on(&["www"])).await.unwrap();
        let far = bench.run("far", "other").await;
        let plain = bench.run("plain", "").await;

        assert_eq!(web.endpoints["back"].dns_names.as_ref().unwrap()[..2], ["web", "www"]);
        assert!(web.resolv_conf.contains("nameserver 127.0.0.11\n"), "{}", web.resolv_conf);
        assert!(!plain.resolv_conf.contains("127.0.0.11"));
        for name in ["db", "DB", "db.back", "db-host", &id_of("db")[..12]] {
            assert_eq!(lookup(&web, name, 1).await.unwrap(), [db.ip()], "{name}");
        }
        assert_eq!(lookup(&web, "www", 1).await.unwrap(), [web.ip(), db.ip()]);
        let none = lookup(&web, "db", 28).await.unwrap();
        assert!(none.is_empty(), "a name of ours without such an address is no unknown name");
        let reverse = |ip: Ipv4Addr| {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        };
        let reply = ask(&web, query(&reverse(db.ip()), 12)).await;
        assert!(reply.windows(9).any(|bytes| bytes == b"\x02db\x04back\0"), "{reply:?}");
        assert_eq!(far.endpoints.keys().collect::<Vec<_>>(), ["other"]);

        bench.networks.renamed(&id_of("db"), "store");
        assert_eq!(lookup(&web, "store", 1).await.unwrap(), [db.ip()]);
        bench.networks.connect("other", "store", EndpointSettings::default()).await.unwrap_err();
        bench.networks.leave(&id_of("db")).await;
        assert_eq!(lookup(&web, "www", 1).await.unwrap(), [web.ip()]);
        bench.networks.close().await;
    });
}

#[test]
fn garbage_gets_a_refusal_and_the_server_lives_on() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        bench.create("back", None, false).await;
        let web = bench.run("web", "back").await;
        let reply = ask(&web, vec![1, 2, 1, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0xff, 0xff]).await;
        assert_eq!((reply[..2].to_vec(), reply[3] & 0xf), (vec![1, 2], 1));
        assert_eq!(lookup(&web, "web", 1).await.unwrap(), [web.ip()]);
        // The container may bind port 53 itself.
        let own = web.within(|| Ok((UdpSocket::bind("0.0.0.0:53")?, TcpListener::bind("0.0.0.0:53")?)));
        own.unwrap();
        bench.networks.close().await;
    });
}

#[test]
fn what_is_not_ours_goes_upstream_over_udp_and_tcp() {
    in_own_namespace(|| async {
        let bench = Bench::new().await;
        bench.create("back", None, false).await;
        bench.create("closed", None, true).await;
        // In the router's namespace: the engine asks from there.
        let upstream = tokio::net::UdpSocket::bind("127.0.0.53:53").await.unwrap();
        let upstream_tcp = tokio::net::TcpListener::bind("127.0.0.53:53").await.unwrap();
        let mut join = request("web", "back", HashMap::new());
        join.dns.servers = vec!["127.0.0.53".to_owned()];
        let web = bench.networks.join(join).await.unwrap();
        let server = tokio::spawn(async move {
            let mut packet = [0; 512];
            let (len, client) = upstream.recv_from(&mut packet).await.unwrap();
            packet[2] |= 0x80;
            let mut reply = packet[..len].to_vec();
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 77]);
            upstream.send_to(&reply, client).await.unwrap();
        });
        assert_eq!(lookup(&web, "example.com", 1).await.unwrap(), [Ipv4Addr::new(192, 0, 2, 77)]);
        server.await.unwrap();

        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = upstream_tcp.accept().await.unwrap();
            let mut packet = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut packet).await.unwrap();
            packet[2] |= 0x80;
            stream.write_u16(packet.len() as u16).await.unwrap();
            stream.write_all(&packet).await.unwrap();
        });
        let reply = web.within(|| {
            let mut stream = TcpStream::connect("127.0.0.11:53")?;
            let packet = query("example.com", 1);
            stream.write_all(&[&(packet.len() as u16).to_be_bytes()[..], &packet].concat())?;
            let mut len = [0; 2];
            stream.read_exact(&mut len)?;
            let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
            stream.read_exact(&mut reply)?;
            Ok(reply)
        });
        assert_eq!(reply.unwrap()[2] & 0x80, 0x80);
        server.await.unwrap();

        let mut join = request("shut", "closed", HashMap::new());
        join.dns.servers = vec!["127.0.0.53".to_owned()];
        let shut = bench.networks.join(join).await.unwrap();
        assert_eq!(lookup(&shut, "example.com", 1).await, Err(2), "nothing leaves an internal network");
        bench.networks.close().await;
    });
}
