//! Apache Kafka in a container, for machines with a container engine.
//!
//! The image takes its whole configuration from `KAFKA_*` variables; one variable replaces the image's whole default
//! set, so all of them stand here. They say the same as `tests/kafka/broker.sh`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};

use crate::support::broker::Act;

const IMAGE: &str = "apache/kafka:4.1.1";
/// Ports inside the container.
const OPEN_PORT: u16 = 9092;
const SASL_PORT: u16 = 9094;
/// A port that was free when asked for can be taken when the engine binds it.
const PORT_ATTEMPTS: u32 = 10;

const SETTINGS: &[(&str, &str)] = &[
    ("CLUSTER_ID", "cmlza3dlaXItdGVzdHMtMQ"),
    ("KAFKA_PROCESS_ROLES", "broker,controller"),
    ("KAFKA_NODE_ID", "1"),
    ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
    ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ("KAFKA_LISTENERS", "PLAINTEXT://:9092,SASL://:9094,CONTROLLER://:9093"),
    (
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("KAFKA_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
    ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
    ("KAFKA_AUTHORIZER_CLASS_NAME", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
    ("KAFKA_SUPER_USERS", "User:ANONYMOUS;User:riskweir"),
    ("KAFKA_LISTENER_NAME_SASL_SASL_ENABLED_MECHANISMS", "PLAIN"),
    (
        "KAFKA_LISTENER_NAME_SASL_PLAIN_SASL_JAAS_CONFIG",
        "org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_riskweir=\"riskweir\" user_stranger=\"stranger\";",
    ),
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "4"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "4"),
    ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000"),
    ("KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS", "500"),
    ("KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS", "5000"),
    ("KAFKA_LOG_CLEANER_BACKOFF_MS", "1000"),
    ("KAFKA_BROKER_SESSION_TIMEOUT_MS", "3000"),
    ("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "500"),
    ("KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE", "4194304"),
    ("KAFKA_HEAP_OPTS", "-Xms128m -Xmx512m"),
];

/// A container with one broker.
#[derive(Debug)]
pub(crate) struct Container {
    name: String,
    address: String,
    sasl_address: String,
    /// The pipe that the watchdog reads: it removes the container when this end closes.
    _leash: ChildStdin,
}

impl Container {
    /// Says why there is no container engine to use, if there is none.
    pub(crate) fn engine() -> Result<(), String> {
        match docker(&["version", "--format", "{{.Server.Version}}"]) {
            Ok(version) if !version.trim().is_empty() => Ok(()),
            Ok(_) => Err("`docker version` names no server".to_owned()),
            Err(problem) => Err(problem),
        }
    }

    /// Runs a broker; it does not answer yet when this returns.
    pub(crate) fn start() -> Result<Container, String> {
        let name = format!("riskweir-test-{:016x}", RandomState::new().build_hasher().finish());
        let leash = watchdog(&name)?;
        let mut last = String::new();
        for _ in 0..PORT_ATTEMPTS {
            let (open, sasl) = free_ports().map_err(|error| format!("no free port: {error}"))?;
            match run(&name, open, sasl) {
                Ok(_) => {
                    let address = format!("127.0.0.1:{open}");
                    let sasl_address = format!("127.0.0.1:{sasl}");
                    return Ok(Container { name, address, sasl_address, _leash: leash });
                }
                Err(problem) if port_taken(&problem) => {
                    // The engine has made the container and could not start it.
                    docker(&["rm", "--force", "--volumes", &name])?;
                    last = problem;
                }
                Err(problem) => return Err(format!("could not run {IMAGE}: {problem}")),
            }
        }
        Err(format!("no free port after {PORT_ATTEMPTS} attempts: {last}"))
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn sasl_address(&self) -> &str {
        &self.sasl_address
    }

    /// Returns the end of the broker's log.
    pub(crate) fn log(&self) -> String {
        docker(&["logs", "--tail", "30", &self.name]).unwrap_or_else(|problem| problem)
    }

    pub(crate) fn act(&self, act: Act) -> Result<(), String> {
        let verb = match act {
            Act::Stop => "stop",
            Act::Kill => "kill",
            Act::Pause => "pause",
            Act::Resume => "unpause",
            Act::Start => "start",
        };
        docker(&[verb, &self.name]).map(drop)
    }
}

fn run(name: &str, open: u16, sasl: u16) -> Result<String, String> {
    let mut arguments: Vec<String> = ["run", "--detach", "--name", name].map(str::to_owned).into();
    for (outside, inside) in [(open, OPEN_PORT), (sasl, SASL_PORT)] {
        arguments.extend(["--publish".to_owned(), format!("127.0.0.1:{outside}:{inside}")]);
    }
    let advertised = format!("PLAINTEXT://127.0.0.1:{open},SASL://127.0.0.1:{sasl}");
    for (variable, value) in SETTINGS.iter().chain(&[("KAFKA_ADVERTISED_LISTENERS", &*advertised)])
    {
        arguments.extend(["--env".to_owned(), format!("{variable}={value}")]);
    }
    arguments.push(IMAGE.to_owned());
    docker(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn port_taken(problem: &str) -> bool {
    ["already allocated", "already in use"].iter().any(|words| problem.contains(words))
}

fn free_ports() -> std::io::Result<(u16, u16)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

/// Starts the process that removes the container when this process ends, in whatever way.
fn watchdog(name: &str) -> Result<ChildStdin, String> {
    const WAIT_AND_REMOVE: &str =
        r#"trap "" HUP INT TERM; cat >/dev/null; docker rm --force --volumes "$0""#;
    let mut child = Command::new("sh")
        .args(["-c", WAIT_AND_REMOVE, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C at the terminal must not reach it.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("could not start the container's watchdog: {error}"))?;
    child.stdin.take().ok_or_else(|| "no pipe to the container's watchdog".to_owned())
}

fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`docker` does not start ({error})"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    Err(format!("docker {}: {}", arguments.first().unwrap_or(&""), problem.trim()))
}
