//! Tells a supervisor that asked for it (`Type=notify` of systemd) that the service is ready, and that it stops.
//!
//! # Source
//! `sd_notify(3)`: one datagram to the socket that `NOTIFY_SOCKET` names; `@` stands for a name in the abstract namespace.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::runtime::Stop;
use crate::telemetry::Health;

/// How often it is looked whether the service is ready.
const LOOK: Duration = Duration::from_millis(100);

/// Tells the supervisor when the service is ready first, and when it is asked to stop; nothing where none asked.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn follow(health: Arc<Health>, stop: Stop) -> std::io::Result<()> {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let Some(to) = socket.to_str().and_then(address) else { return Ok(()) };
    thread::Builder::new().name("notify".to_owned()).spawn(move || {
        let is_ready = || health.ready().iter().all(|check| check.ok);
        while !stop.requested() && !is_ready() {
            thread::park_timeout(LOOK);
        }
        if !stop.requested() {
            tell(&to, "READY=1");
        }
        while !stop.requested() {
            thread::park_timeout(LOOK);
        }
        tell(&to, "STOPPING=1");
    })?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn address(name: &str) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None => SocketAddr::from_pathname(name).ok(),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &str) -> Option<SocketAddr> {
    SocketAddr::from_pathname(name).ok()
}

/// WHY: a supervisor that does not listen is no reason to stop deciding.
fn tell(to: &SocketAddr, state: &str) {
    if let Ok(socket) = UnixDatagram::unbound() {
        _ = socket.send_to_addr(state.as_bytes(), to);
    }
}
