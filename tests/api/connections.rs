//! A running service talks to nobody whom its configuration does not name: its sockets, as the system lists them, while all of
//! it works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use riskweir::api::roles::Role;

use crate::desk::Desk;
use crate::support::broker::Broker;
use crate::support::fleet::{Payments, RULES};
use crate::support::wait;

/// A socket of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Socket {
    protocol: &'static str,
    local: SocketAddr,
    /// None: it listens, or is not connected.
    peer: Option<SocketAddr>,
    is_listening: bool,
}

/// The tables of the system's sockets that can reach another machine.
const TABLES: [&str; 6] = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"];

/// Every socket of a process that can reach another machine, now.
fn sockets(pid: u32) -> BTreeSet<Socket> {
    let inodes: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        // WHY: what is closed while the folder is read is gone.
        .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
        .filter_map(|to| {
            let to = to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(to.to_owned())
        })
        .collect();
    let mut found = BTreeSet::new();
    for protocol in TABLES {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if inodes.contains(words[9]) {
                let peer = address(words[2]);
                let peer = (peer.port() != 0 || !peer.ip().is_unspecified()).then_some(peer);
                let is_listening = protocol.starts_with("tcp") && words[3] == "0A";
                found.insert(Socket { protocol, local: address(words[1]), peer, is_listening });
            }
        }
    }
    found
}

/// `0100007F:1F90`, words of the machine's byte order.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let words: Vec<u8> = (0..ip.len() / 8)
        .flat_map(|n| u32::from_str_radix(&ip[8 * n..8 * n + 8], 16).unwrap().to_ne_bytes())
        .collect();
    let ip = match <[u8; 4]>::try_from(words.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).unwrap())),
    };
    let ip = match ip {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
}

#[test]
fn what_watches_sockets_sees_those_of_any_kind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    let stream = TcpStream::connect(there).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect("127.0.0.1:53").unwrap();
    let found = sockets(std::process::id());
    let has = |protocol, local, peer: Option<SocketAddr>, is_listening| {
        found.contains(&Socket { protocol, local, peer, is_listening })
    };
    assert!(has("tcp", there, None, true), "{found:?}");
    assert!(has("tcp", stream.local_addr().unwrap(), Some(there), false), "{found:?}");
    let local = datagrams.local_addr().unwrap();
    assert!(has("udp", local, Some("127.0.0.1:53".parse().unwrap()), false), "{found:?}");
}

#[test]
fn a_service_opens_no_connection_that_its_configuration_does_not_name() {
    let broker = Broker::shared();
    let desk = Desk::open_ruled(broker, "api-sockets", RULES, &["rules.watch_interval=1s"]);
    desk.wait_listening();
    // A caller that stays.
    let _caller = desk.stream("/v1/events", Role::Admin, &[]);
    let (pid, is_done) = (desk.service.pid(), AtomicBool::new(false));
    let seen: Mutex<BTreeMap<Socket, u64>> = Mutex::default();
    let watch = || {
        while !is_done.load(Ordering::Relaxed) {
            let mut seen = seen.lock().unwrap();
            for socket in sockets(pid) {
                *seen.entry(socket).or_default() += 1;
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(watch);
        let mut payments = Payments::new(5, 2, 40);
        for _ in 0..10 {
            broker.produce(&desk.fleet.input(), &payments.take(200));
            desk.service.get("/metrics");
            for path in ["/v1/decisions", "/v1/holds", "/v1/audit", "/v1/rules"] {
                assert_eq!(desk.get(path, Role::Admin).status, 200, "{path}");
            }
        }
        let decided = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            desk.service.wait_done(2_000);
            // Snapshots are written, rules are looked at.
            wait::until(
                || !desk.fleet.snapshot_files("one").is_empty(),
                || desk.service.describe(),
            );
        }));
        is_done.store(true, Ordering::Relaxed);
        decided.unwrap();
    });
    let named = |address: &str| address.parse::<SocketAddr>().unwrap();
    let (brokers, listeners) =
        (named(broker.address()), [named(&desk.service.address), named(&desk.address)]);
    let seen = seen.into_inner().unwrap();
    for socket in seen.keys() {
        let is_ours = listeners.contains(&socket.local);
        let is_named = match socket.peer {
            None => is_ours && socket.is_listening,
            Some(peer) => is_ours || peer == brokers,
        };
        assert!(is_named && socket.protocol == "tcp", "{socket:?} of {seen:#?}");
    }
    // It has been seen at all of them.
    let has = |is: &dyn Fn(&Socket) -> bool| seen.keys().any(is);
    assert!(has(&|it| it.peer == Some(brokers)), "{seen:#?}");
    for listener in listeners {
        assert!(has(&|it| it.is_listening && it.local == listener), "{seen:#?}");
    }
    assert!(has(&|it| !it.is_listening && it.local == listeners[1]), "{seen:#?}");
}
