//! A real Apache Kafka for tests.
//!
//! Where it comes from, in this order: the address in `RISKWEIR_KAFKA`; a running container engine
//! (`apache/kafka:4.1.1`); Java and Maven (`tests/kafka/broker.sh`). When none serves, the test fails and says how to
//! get one; it never passes by doing nothing.
//!
//! [`Broker::shared`] is one broker for the whole test process: tests run side by side on it, each under a topic
//! prefix of its own (`topics::prefix`). [`Broker::own`] is a broker of the one test that stops, kills or freezes it.
//! Either goes when the test process goes, however that ends: a helper process waits for the end of a pipe whose
//! other end is held here, so nothing depends on `Drop` or on a signal handler.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::container::Container;

/// The address of a broker that the caller gives.
const ADDRESS_VARIABLE: &str = "RISKWEIR_KAFKA";
/// The address of that broker's listener with SASL, for the tests that need one.
const SASL_ADDRESS_VARIABLE: &str = "RISKWEIR_KAFKA_SASL";
/// How long a broker that the caller gives may take until it answers: it should run already.
const GIVEN_LIMIT: Duration = Duration::from_secs(15);
/// How long a broker may take until it answers, the download of a container image apart.
const START_LIMIT: Duration = Duration::from_secs(90);

/// A real Kafka broker.
#[derive(Debug)]
pub(crate) struct Broker {
    address: String,
    sasl_address: Option<String>,
    tls: Option<Tls>,
    host: Host,
}

/// The listeners with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Asks for SASL.
    pub(crate) sasl: String,
    /// A file in PEM form: what a client must trust there.
    pub(crate) sasl_ca: String,
    /// Asks for a client certificate.
    pub(crate) mutual: String,
    /// Shows the certificate of another name.
    pub(crate) elsewhere: String,
}

/// Who runs the broker.
#[derive(Debug)]
enum Host {
    /// The caller: it can be used, not stopped.
    Caller,
    /// A container of ours.
    Container(Container),
    /// A process of ours.
    Process(Process),
}

/// What can be done to a broker that the test owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Ends it in order.
    Stop,
    /// Ends it at once, as a crash does.
    Kill,
    /// Freezes it: connections stay open, nothing answers.
    Pause,
    /// Ends a `Pause`.
    Resume,
    /// Starts it again at the same address with the same data, after `Stop` or `Kill`.
    Start,
}

impl Broker {
    /// Returns the broker that all tests of this process share.
    ///
    /// # Panics
    ///
    /// When no broker can be had; the message says how to get one.
    pub(crate) fn shared() -> &'static Broker {
        static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
        let broker = SHARED.get_or_init(|| match env::var(ADDRESS_VARIABLE) {
            Ok(address) => Broker::given(address),
            Err(_) => Broker::launch(),
        });
        broker.as_ref().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Starts a broker for one test, to be stopped, killed and started again. `RISKWEIR_KAFKA` does not serve here.
    ///
    /// # Panics
    ///
    /// When no broker can be started; the message says how to get one.
    pub(crate) fn own() -> Broker {
        Broker::launch().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Starts a broker that has listeners with TLS too, with these certificates. Needs Java and Maven: only
    /// `tests/kafka/broker.sh` has such listeners.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub(crate) fn with_tls(certificates: &Path) -> Broker {
        let start = || Process::start(Some(certificates));
        Process::requirements().and_then(|()| start()).unwrap_or_else(|problem| {
            panic!("this test needs a broker with TLS: {problem}\n{HOW_TO_GET_ONE}")
        })
    }

    fn given(address: String) -> Result<Broker, String> {
        wait_until_it_answers(&address, GIVEN_LIMIT).map_err(|problem| {
            format!("{ADDRESS_VARIABLE} says `{address}`, but no Kafka answers there: {problem}")
        })?;
        let sasl_address = env::var(SASL_ADDRESS_VARIABLE).ok();
        Ok(Broker { address, sasl_address, tls: None, host: Host::Caller })
    }

    fn launch() -> Result<Broker, String> {
        let mut missing = String::new();
        match Container::engine() {
            Ok(()) => {
                let container = Container::start()?;
                let address = container.address().to_owned();
                wait_until_it_answers(&address, START_LIMIT)
                    .map_err(|problem| format!("{problem}\n{}", container.log()))?;
                let sasl_address = Some(container.sasl_address().to_owned());
                return Ok(Broker {
                    address,
                    sasl_address,
                    tls: None,
                    host: Host::Container(container),
                });
            }
            Err(why) => _ = writeln!(missing, "  - no container engine: {why}"),
        }
        match Process::requirements() {
            Ok(()) => Process::start(None),
            Err(why) => {
                _ = writeln!(missing, "  - no Java and Maven: {why}");
                Err(format!(
                    "this test needs Apache Kafka and found none.\n{missing}{HOW_TO_GET_ONE}"
                ))
            }
        }
    }

    /// Returns the bootstrap address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Returns the bootstrap address of the listener that asks for SASL: users `riskweir` (may do everything) and
    /// `stranger` (may do nothing), each with its name as password; mechanism PLAIN, without TLS.
    ///
    /// # Panics
    ///
    /// When the broker was given by the caller without that address.
    pub(crate) fn sasl_address(&self) -> &str {
        let Some(address) = &self.sasl_address else {
            panic!("set {SASL_ADDRESS_VARIABLE} beside {ADDRESS_VARIABLE}: this test needs SASL");
        };
        address
    }

    /// Returns the listeners of [`Broker::with_tls`]; users as with [`Broker::sasl_address`].
    ///
    /// # Panics
    ///
    /// On a broker of another kind.
    pub(crate) fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("a broker that was started `with_tls`")
    }

    /// Returns the settings that every client of this broker starts from.
    pub(crate) fn client(&self) -> ClientConfig {
        client(&self.address)
    }

    /// Does something to a broker of [`Broker::own`] and returns when it is done.
    ///
    /// # Panics
    ///
    /// When it fails, and on a broker that is not ours.
    #[track_caller]
    pub(crate) fn act(&self, act: Act) {
        let outcome = match &self.host {
            Host::Caller => Err(format!("the broker at {} is not ours to {act:?}", self.address)),
            Host::Container(container) => container.act(act),
            Host::Process(process) => process.act(act),
        };
        let outcome = match act {
            Act::Start => outcome.and_then(|()| wait_until_it_answers(&self.address, START_LIMIT)),
            _ => outcome,
        };
        outcome.unwrap_or_else(|problem| panic!("could not {act:?} the broker: {problem}"));
    }
}

const HOW_TO_GET_ONE: &str = "any of these will do:
  - RISKWEIR_KAFKA=127.0.0.1:9092 in the environment: the address of a Kafka 4 broker that may be used for tests
  - a running container engine (`docker version` answers): the tests run apache/kafka:4.1.1 themselves
  - Java 17 or newer and Maven 3.6.3 or newer (Debian and Ubuntu: apt install openjdk-17-jre-headless maven);
    tests/kafka/broker.sh then fetches the broker once, about 43 MB";

/// Waits until a broker answers a metadata request; each request itself waits, so this does not spin.
fn wait_until_it_answers(address: &str, limit: Duration) -> Result<(), String> {
    let consumer: BaseConsumer =
        client(address).create().map_err(|error| format!("could not make a client: {error}"))?;
    let deadline = Instant::now() + limit;
    loop {
        let problem = match consumer.fetch_metadata(None, Duration::from_secs(1)) {
            Ok(metadata) if !metadata.brokers().is_empty() => return Ok(()),
            Ok(_) => "it names no broker".to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(format!("no answer within {limit:?}: {problem}"));
        }
    }
}

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", address)
        // WHY: a stopped broker comes back within seconds; the default waits up to 10 s before it looks again.
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    config
}

/// A broker that `tests/kafka/broker.sh` runs.
#[derive(Debug)]
struct Process {
    dir: PathBuf,
    /// The pipe that the script's watchdog reads: the broker ends when this end closes.
    _leash: ChildStdin,
}

impl Process {
    /// Says what is missing on this machine, if anything.
    fn requirements() -> Result<(), String> {
        for program in ["bash", "java", "mvn"] {
            let found = Command::new(program)
                .arg("-version")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            // Whether it likes the argument does not matter: it is there.
            found.map_err(|error| format!("`{program}` does not start ({error})"))?;
        }
        Ok(())
    }

    /// Starts a broker; it answers when this returns.
    fn start(certificates: Option<&Path>) -> Result<Broker, String> {
        let dir = tempfile::Builder::new()
            .prefix("riskweir-kafka-")
            .tempdir()
            .map_err(|error| format!("could not make a folder for the broker: {error}"))?
            .keep();
        let mut child = script("start", &dir)
            .arg("--tied")
            .envs(certificates.map(|folder| ("RISKWEIR_KAFKA_TLS", folder)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("could not start tests/kafka/broker.sh: {error}"))?;
        let leash = child.stdin.take().ok_or("no pipe to tests/kafka/broker.sh")?;
        let output = child
            .wait_with_output()
            .map_err(|error| format!("could not read from tests/kafka/broker.sh: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let addresses: Vec<&str> = text.lines().collect();
        let (true, [open, sasl, with_sasl, others @ ..]) = (output.status.success(), &*addresses)
        else {
            return Err(format!(
                "tests/kafka/broker.sh could not start Kafka ({}); its message stands on standard error",
                output.status
            ));
        };
        let tls = match others {
            [mutual, elsewhere] => Some(Tls {
                sasl: (*with_sasl).to_owned(),
                sasl_ca: dir.join("ca.pem").display().to_string(),
                mutual: (*mutual).to_owned(),
                elsewhere: (*elsewhere).to_owned(),
            }),
            _ => None,
        };
        Ok(Broker {
            address: (*open).to_owned(),
            sasl_address: Some((*sasl).to_owned()),
            tls,
            host: Host::Process(Process { dir, _leash: leash }),
        })
    }

    fn act(&self, act: Act) -> Result<(), String> {
        let verb = match act {
            Act::Stop => "stop",
            Act::Kill => "kill",
            Act::Pause => "pause",
            Act::Resume => "resume",
            Act::Start => "start",
        };
        let status = script(verb, &self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("broker.sh {verb} ended with {status}")) }
    }
}

fn script(verb: &str, dir: &Path) -> Command {
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker.sh")).arg(verb).arg(dir);
    command
}
