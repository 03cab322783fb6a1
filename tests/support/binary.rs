//! The built binary as a process: started, asked over HTTP, told to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::support::wait;

/// The binary, with nothing of the caller's environment that could configure it.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RISKWEIR__") {
            command.env_remove(name);
        }
    }
    // WHY: where memory has run out, a backtrace that asks for more of it is no help, and may never end.
    command.env("NO_COLOR", "1").env_remove("RUST_BACKTRACE");
    command
}

/// What a service says when a replay came out otherwise than the first time.
pub(crate) const DIFFERS: &str = "Replay decided otherwise";

/// Counts of one scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) read: u64,
    pub(crate) decided: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) commanded: u64,
    pub(crate) abandoned: u64,
    pub(crate) in_flight: u64,
}

/// A running `riskweir run`. Killed when dropped.
pub(crate) struct Binary {
    child: Mutex<Child>,
    pid: u32,
    /// Where it serves metrics and health.
    pub(crate) address: String,
    said: Arc<Mutex<String>>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

impl Binary {
    /// Starts it and returns when it has said where it can be asked.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = command();
        command.args(arguments);
        Self::start_command(command)
    }

    /// Starts it by a command of the caller's.
    #[track_caller]
    pub(crate) fn start_command(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
        let pid = child.id();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended: {said}") };
            said.push_str(&line);
            said.push('\n');
            if let Some(rest) = line.strip_prefix("health") {
                let rest = rest.trim().strip_prefix("http://").expect("an address");
                break rest.split('/').next().unwrap_or_default().to_owned();
            }
        };
        let said = Arc::new(Mutex::new(said));
        let further = Arc::clone(&said);
        // WHY: a pipe that nobody reads fills up and stops the service.
        let listener = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = further.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child: Mutex::new(child), pid, address, said, listener: Mutex::new(Some(listener)) }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits for its end; its exit code, none after a signal, and all that it said.
    #[track_caller]
    pub(crate) fn ended(self) -> (Option<i32>, String) {
        wait::until(|| self.has_ended(), || self.describe());
        let code = self.child.lock().unwrap().wait().expect("its end").code();
        let listener = self.listener.lock().unwrap().take();
        listener.expect("a thread").join().expect("all lines");
        (code, self.said())
    }

    /// The value of a metric, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let (status, text) = self.get("/metrics");
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let is_it = rest.starts_with('{') || rest.starts_with(' ');
            if is_it { rest.rsplit_once(' ')?.1.parse::<f64>().ok() } else { None }
        };
        (status == 200).then(|| text.lines().filter_map(value).sum())
    }

    /// Sends it a signal, such as `-STOP`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.pid.to_string()]).status();
        assert!(sent.expect("`kill`").success());
    }

    /// Asks for a path; status and answer. Status 0: nobody answers.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut text = String::new();
        let asked = TcpStream::connect(&self.address).and_then(|mut stream| {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
            stream.read_to_string(&mut text)
        });
        let status = asked.ok().and_then(|_| text.split(' ').nth(1)?.parse().ok());
        (status.unwrap_or(0), text)
    }

    /// The books of one scrape, which must balance.
    #[track_caller]
    pub(crate) fn books(&self) -> Option<Books> {
        let (status, text) = self.get("/metrics");
        if status != 200 {
            return None;
        }
        let sum = |name: &str| -> u64 {
            let of = |line: &str| {
                let rest = line.strip_prefix(name)?;
                let is_it = rest.starts_with('{') || rest.starts_with(' ');
                let value = if is_it { rest.rsplit_once(' ')?.1 } else { return None };
                Some(value.parse::<u64>().expect("a whole number"))
            };
            text.lines().filter_map(of).sum()
        };
        let books = Books {
            read: sum("riskweir_records_read_total"),
            decided: sum("riskweir_decisions_total"),
            dead_lettered: sum("riskweir_dead_letter_total"),
            commanded: sum("riskweir_commands_total"),
            abandoned: sum("riskweir_records_abandoned_total"),
            in_flight: sum("riskweir_records_in_flight"),
        };
        let over = books.decided + books.dead_lettered + books.commanded + books.abandoned;
        assert_eq!(books.read, over + books.in_flight, "{books:?}");
        Some(books)
    }

    /// Waits until so many records are done; every scrape on the way must balance.
    #[track_caller]
    pub(crate) fn wait_done(&self, count: u64) {
        let done = || self.books().map_or(0, |books| books.decided + books.dead_lettered);
        wait::until(
            || done() >= count || self.has_ended(),
            || format!("{count} done: {}", self.describe()),
        );
        assert!(!self.has_ended(), "{}", self.describe());
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.child.lock().unwrap().try_wait(), Ok(Some(_)))
    }

    /// What can be said when a wait was in vain.
    pub(crate) fn describe(&self) -> String {
        let said = self.said.lock().unwrap().clone();
        format!("{:?}, ready {:?}, said\n{said}", self.books(), self.get("/readyz"))
    }

    /// Stops it by SIGTERM; its exit code.
    #[track_caller]
    pub(crate) fn stop(self) -> Option<i32> {
        let sent = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status();
        assert!(sent.expect("`kill`").success());
        self.child.lock().unwrap().wait().expect("its end").code()
    }

    /// Asks it to stop and waits until it has, with code 0 and no replay that decided otherwise; what it said.
    #[track_caller]
    pub(crate) fn stop_in_order(self) -> String {
        self.signal("-TERM");
        let (code, said) = self.ended();
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains(DIFFERS), "{said}");
        said
    }

    /// Kills it as a crash would.
    #[track_caller]
    pub(crate) fn kill(self) {
        let mut child = self.child.lock().unwrap();
        child.kill().expect("a signal");
        child.wait().expect("its end");
    }

    /// Kills it as a crash would, and returns all that it said.
    #[track_caller]
    pub(crate) fn kill_and_hear(self) -> String {
        self.child.lock().unwrap().kill().expect("a signal");
        self.ended().1
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // WHY: it has ended already in a test that passes.
        if let Ok(mut child) = self.child.lock() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

/// Waits until a path answers so.
#[track_caller]
pub(crate) fn wait_for(binary: &Binary, path: &str, status: u16) {
    wait::until(|| binary.get(path).0 == status, || binary.describe());
}
