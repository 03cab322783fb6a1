//! An S3 server on loopback for tests: moto, brought by `pip` into a folder of the build, behind a door that can be shut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::wait;

/// The version that the tests were written with.
const MOTO: &str = "moto[server]==5.2.5";
/// The bucket of the tests.
pub(crate) const BUCKET: &str = "riskweir-tests";

/// A server with an empty bucket. Ends when it is dropped.
pub(crate) struct Store {
    server: Child,
    door: Arc<AtomicBool>,
    /// Where clients find it.
    pub(crate) endpoint: String,
}

impl Store {
    /// Starts it. Fails where there is no Python, no `pip`, or no way to its packages.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let bin = Path::new(env!("CARGO_TARGET_TMPDIR")).join("moto/bin");
        let lock = std::fs::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("moto.lock"));
        let lock = lock.expect("a file in the folder of the build");
        lock.lock().expect("the lock on the Python environment");
        if !bin.join("moto_server").exists() {
            let folder = bin.parent().expect("its folder");
            succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
            succeed(Command::new(bin.join("pip")).args(["install", "--quiet", MOTO]));
        }
        drop(lock);
        let port =
            TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();
        let server = Command::new(bin.join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server");
        let address = format!("127.0.0.1:{port}");
        let create = format!(
            "PUT /{BUCKET} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        wait::until(
            || said(&address, &create).contains(" 200 "),
            || format!("moto_server at {address} makes no bucket: {}", said(&address, &create)),
        );
        let door = Arc::new(AtomicBool::new(true));
        let endpoint = open_door(address, &door);
        Self { server, door, endpoint: format!("http://{endpoint}") }
    }

    /// Lets nobody in any more, and throws out who is there.
    pub(crate) fn shut(&self) {
        self.door.store(false, Ordering::SeqCst);
    }

    /// Lets everybody in again.
    pub(crate) fn open(&self) {
        self.door.store(true, Ordering::SeqCst);
    }

    /// What a process needs to know to reach it.
    pub(crate) fn tell(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT", &self.endpoint)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "tests")
            .env("AWS_SECRET_ACCESS_KEY", "tests");
    }

    /// The names of all objects below a folder.
    pub(crate) fn objects(&self, folder: &str) -> Vec<String> {
        let address = self.endpoint.trim_start_matches("http://");
        let ask = format!(
            "GET /{BUCKET}?list-type=2&prefix={folder} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        );
        let text = said(address, &ask);
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

#[track_caller]
fn succeed(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    let status = status.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(status.success(), "{command:?} ended with {status}");
}

/// Says something to a server, and what it answers; nothing when it does not.
fn said(address: &str, text: &str) -> String {
    let mut answer = Vec::new();
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(text.as_bytes())?;
        stream.read_to_end(&mut answer)
    });
    drop(asked);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Passes connections on to a server while the door is open; gives the address.
fn open_door(server: String, door: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it").to_string();
    let door = Arc::clone(door);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if !door.load(Ordering::SeqCst) {
                continue;
            }
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { continue };
            let (there, back) = (Arc::clone(&door), Arc::clone(&door));
            std::thread::spawn(move || pass_on(&from, &to, &there));
            std::thread::spawn(move || pass_on(&server, &client, &back));
        }
    });
    address
}

/// Copies bytes until one side ends or the door is shut.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, door: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    while door.load(Ordering::SeqCst) {
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(n) if to.write_all(&bytes[..n]).is_err() => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {}
            Err(_) => break,
        }
    }
    _ = from.shutdown(Shutdown::Both);
    _ = to.shutdown(Shutdown::Both);
}
