//! The command line: one file per command. Data goes to standard output, messages to standard error.

mod acts;
pub mod analyze;
mod approval;
pub mod audit;
pub mod backtest;
pub mod check;
pub mod completions;
pub mod config;
pub mod cost;
pub mod demo;
mod deployment;
pub mod diff;
pub mod dlq;
pub mod docs;
pub mod doctor;
pub mod evaluate;
pub mod explain;
pub mod fmt;
pub mod generate;
mod history;
pub mod import;
pub mod init;
mod junit;
pub mod labels;
pub mod lsp;
mod notify;
pub mod overlap;
pub mod reload;
pub mod replay;
pub mod rules;
pub mod run;
pub mod settings;
pub mod snapshot;
pub mod sweep;
pub mod test;
pub mod token;
pub mod top;
pub mod train;
pub mod validate;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Parser, Subcommand, ValueEnum};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok,
    /// The rules, the configuration or the input are not good.
    Invalid,
    /// The command was called wrongly.
    Usage,
    /// Something outside cannot be reached.
    Unreachable,
}

/// A command that could not do its work: what to say, and how to end.
#[derive(Debug)]
pub struct Failure {
    /// One sentence.
    pub message: String,
    /// The exit code.
    pub exit: Exit,
}

impl Failure {
    /// Something given is not good.
    pub fn invalid(message: impl Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Invalid }
    }

    /// Something outside cannot be reached.
    pub fn unreachable(message: impl Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Unreachable }
    }
}

/// How data is written.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How data is written, as the command line names it.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum FormatName {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// `JUnit` XML, for build servers: results of `test` only.
    Junit,
}

/// When to use colors.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    /// How data is written.
    pub format: Format,
    /// Whether results of tests are written as `JUnit` XML instead.
    pub junit: bool,
    /// Whether messages are colored.
    pub color: bool,
    /// Whether data for people is colored.
    pub color_data: bool,
    /// How much is said.
    voice: Voice,
}

/// How much a command says beside its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    /// Only what must be said.
    Quiet,
    /// What helps.
    Plain,
    /// More.
    Verbose,
}

impl Console {
    /// Whether only what must be said is said.
    pub fn is_quiet(&self) -> bool {
        self.voice == Voice::Quiet
    }

    /// Whether more is said.
    pub fn is_verbose(&self) -> bool {
        self.voice == Voice::Verbose
    }

    /// Writes data to standard output. A reader that has gone away is no error; any other loss makes the command end as
    /// one that failed, whatever it did.
    pub fn data(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(failure) = written.or_else(|error| unless_gone(&error)) {
            // WHY: the first loss says what happened; those after it follow from it.
            OUTPUT_LOST.get_or_init(|| failure.message);
        }
    }

    /// Writes an error that has a code and a page: what is wrong, where, and how to mend it.
    pub fn problem(&self, code: &str, message: &str, at: Option<&str>, help: Option<&str>) {
        let (red, bold, plain) =
            if self.color { ("\x1b[1;31m", "\x1b[1m", "\x1b[0m") } else { ("", "", "") };
        let at = at.map_or_else(String::new, |at| format!("\n  --> {at}"));
        let help = help.map_or_else(String::new, |help| format!("\n  = help: {help}"));
        self.message(&format!(
            "{red}error[{code}]{plain}{bold}: {message}{plain}{at}{help}\n  = see docs/errors/{code}.md"
        ));
    }

    /// Writes a message to standard error, with a line end.
    pub fn message(&self, text: &str) {
        let text = text.trim_end();
        if !text.is_empty() {
            drop(writeln!(std::io::stderr().lock(), "{text}"));
        }
    }
}

/// Why data did not get to standard output, if some did not. One process has one standard output.
static OUTPUT_LOST: OnceLock<String> = OnceLock::new();

/// A reader of standard output that has seen enough is no error; anything else is.
pub(crate) fn unless_gone(error: &io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Failure::invalid(format!("could not write to standard output: {error}")))
}

/// Real-time transaction risk monitoring: rules over exact sliding windows, Kafka in and out.
#[derive(Parser, Debug)]
#[command(name = "riskweir", version, propagate_version = true)]
struct Cli {
    /// How data is written.
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: FormatName,
    /// When to use colors.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    color: Color,
    /// Say only what must be said.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Say more.
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// What is proved of the rules, what an event refutes, and what is unknown; the events as tests.
    Analyze(analyze::Arguments),
    /// The key that signs checkpoints of audit records, and the check that none was changed.
    Audit(audit::Arguments),
    /// Run files of events through the rules, and say what each rule did.
    Backtest(backtest::Arguments),
    /// Compile a rule folder, and say what is wrong with it.
    Check(check::Arguments),
    /// Completions for a shell, on standard output.
    Completions(completions::Arguments),
    /// The configuration as it came out, each value with its origin; the schema of its file.
    Config(config::Arguments),
    /// Say what a rule folder costs: work per event and rule, bytes of state per key.
    Cost(cost::Arguments),
    /// See it work: made-up traffic, shipped rules, live alerts and holds, a report; needs nothing installed.
    Demo(demo::Arguments),
    /// Two rule sets: what changed in words, in state, and in decisions on a history.
    Diff(diff::Arguments),
    /// Dead letters: counted, looked at with values masked, sent again.
    Dlq(dlq::Arguments),
    /// A page for each rule: what it catches, parameters, fields, windows, cost of state, tests.
    Docs(docs::Arguments),
    /// One page about everything around the service: machine, brokers, topics, group, lag, clocks, snapshots.
    Doctor(doctor::Arguments),
    /// Learned models on a history: trained and measured over several weeks, method by method.
    Evaluate(evaluate::Arguments),
    /// One event and a rule: every part of the condition with its value, windows and events counted.
    Explain(explain::Arguments),
    /// Lay rule files out in the one style; `--check` only says which are not.
    Fmt(fmt::Arguments),
    /// Write made-up wallet and bank traffic, fraud mixed in, to standard output or into Kafka.
    Generate(generate::Arguments),
    /// Trees that XGBoost, LightGBM or scikit-learn (ONNX) trained become the artifact of a learned model.
    Import(import::Arguments),
    /// A new project to begin with: schema, rules with tests, lists, policy, configuration.
    Init(init::Arguments),
    /// Labels from outside: a file of chargebacks or closed cases, checked line by line and sent to its topic.
    Labels(labels::Arguments),
    /// Answer an editor over standard input and output: the language server.
    Lsp(lsp::Arguments),
    /// Manual pages: one for each command, into a folder.
    Man(completions::ManArguments),
    /// Which rules hit the same events of a history.
    Overlap(overlap::Arguments),
    /// Ask a running service to look at its rule folder now.
    Reload(reload::Arguments),
    /// Derive one decision again from the log, and compare it with what was written, byte for byte.
    Replay(replay::Arguments),
    /// Run the service: read input topics, decide, write outputs, until told to stop.
    Run(run::Arguments),
    /// Look at snapshots of the state: what lies there, and is it whole?
    Snapshot(snapshot::Arguments),
    /// Try a rule with every value of its parameters in their `tune` ranges.
    Sweep(sweep::Arguments),
    /// Run the tests of a rule folder.
    Test(test::Arguments),
    /// A token for the HTTP API: shown once, with the line that makes it known.
    Token(token::Arguments),
    /// A running service at a glance: rates, lag, latency, holds, errors.
    Top(top::Arguments),
    /// Train a learned model on a labelled history, and write it with its card.
    Train(train::Arguments),
    /// Check the configuration and the rules, and with --connect the brokers and topics.
    Validate(validate::Arguments),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    // WHY: where the signal cannot be handled all is as before, and nothing else depends on it.
    drop(crate::runtime::outlive_file_limits());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let ended = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            return finish(error.print().or_else(|error| unless_gone(&error)).map(|()| ended));
        }
    };
    let colored = |is_terminal: bool| match cli.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            !refused && is_terminal
        }
    };
    if cli.format == FormatName::Junit && !matches!(cli.command, Command::Test(_)) {
        drop(writeln!(std::io::stderr(), "error: `--format junit` is for `test` only"));
        return code(Exit::Usage);
    }
    let console = Console {
        format: if cli.format == FormatName::Json { Format::Json } else { Format::Text },
        junit: cli.format == FormatName::Junit,
        color: colored(std::io::stderr().is_terminal()),
        color_data: colored(std::io::stdout().is_terminal()),
        voice: match (cli.quiet, cli.verbose) {
            (true, _) => Voice::Quiet,
            (false, true) => Voice::Verbose,
            (false, false) => Voice::Plain,
        },
    };
    let ended = match &cli.command {
        Command::Analyze(arguments) => analyze::run(arguments, &console),
        Command::Audit(arguments) => audit::run(arguments, &console),
        Command::Backtest(arguments) => backtest::run(arguments, &console),
        Command::Check(arguments) => check::run(arguments, &console),
        Command::Completions(arguments) => completions::run(arguments, &console),
        Command::Config(arguments) => config::run(arguments, &console),
        Command::Cost(arguments) => cost::run(arguments, &console),
        Command::Demo(arguments) => demo::run(arguments, &console),
        Command::Diff(arguments) => diff::run(arguments, &console),
        Command::Dlq(arguments) => dlq::run(arguments, &console),
        Command::Docs(arguments) => docs::run(arguments, &console),
        Command::Doctor(arguments) => doctor::run(arguments, &console),
        Command::Evaluate(arguments) => evaluate::run(arguments, &console),
        Command::Explain(arguments) => explain::run(arguments, &console),
        Command::Fmt(arguments) => fmt::run(arguments, &console),
        Command::Generate(arguments) => generate::run(arguments, &console),
        Command::Import(arguments) => import::run(arguments, &console),
        Command::Init(arguments) => init::run(arguments, &console),
        Command::Labels(arguments) => labels::run(arguments, &console),
        Command::Lsp(arguments) => lsp::run(arguments),
        Command::Man(arguments) => completions::man(arguments, &console),
        Command::Overlap(arguments) => overlap::run(arguments, &console),
        Command::Reload(arguments) => reload::run(arguments, &console),
        Command::Replay(arguments) => replay::run(arguments, &console),
        Command::Run(arguments) => run::run(arguments, &console),
        Command::Snapshot(arguments) => snapshot::run(arguments, &console),
        Command::Sweep(arguments) => sweep::run(arguments, &console),
        Command::Test(arguments) => test::run(arguments, &console),
        Command::Token(arguments) => token::run(arguments, &console),
        Command::Top(arguments) => top::run(arguments, &console),
        Command::Train(arguments) => train::run(arguments, &console),
        Command::Validate(arguments) => validate::run(arguments, &console),
    };
    finish(ended)
}

/// Says why a command failed, if it did, and how the process ends.
fn finish(ended: Result<Exit, Failure>) -> ExitCode {
    let say = |message: &str| drop(writeln!(io::stderr().lock(), "error: {}", message.trim_end()));
    let exit = ended.unwrap_or_else(|failure| {
        say(&failure.message);
        failure.exit
    });
    match OUTPUT_LOST.get() {
        Some(reason) if exit == Exit::Ok => {
            say(reason);
            code(Exit::Invalid)
        }
        _ => code(exit),
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(match exit {
        Exit::Ok => 0,
        Exit::Invalid => 1,
        Exit::Usage => 2,
        Exit::Unreachable => 3,
    })
}
