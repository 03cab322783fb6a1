//! `riskweir completions` and `riskweir man`: what shells and `man` want to know of the command line, from its own
//! definition.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::{Cli, Console, Exit, Failure};

/// Arguments of `riskweir completions`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `riskweir man`.
#[derive(Args, Debug)]
pub struct ManArguments {
    /// Folder for the pages; without it the page of `riskweir` goes to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes the completions of a shell.
///
/// # Errors
/// Never.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "riskweir", &mut script);
    console.data(&String::from_utf8_lossy(&script));
    Ok(Exit::Ok)
}

/// Writes manual pages.
///
/// # Errors
/// When a page cannot be written.
pub fn man(arguments: &ManArguments, console: &Console) -> Result<Exit, Failure> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &arguments.out else {
        console.data(&String::from_utf8_lossy(&page(&command)?));
        return Ok(Exit::Ok);
    };
    fs::create_dir_all(folder).map_err(|error| {
        Failure::invalid(format!("could not make `{}`: {error}", folder.display()))
    })?;
    write_all(&command, folder)?;
    Ok(Exit::Ok)
}

/// The page of a command and those of its subcommands.
fn write_all(command: &Command, folder: &Path) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = folder.join(format!("{name}.1"));
    fs::write(&file, page(command)?).map_err(|error| {
        Failure::invalid(format!("could not write `{}`: {error}", file.display()))
    })?;
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
    shown.into_iter().try_for_each(|it| write_all(it, folder))
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::invalid(format!("could not lay out the page: {error}")))?;
    Ok(page)
}
