//! The `riskweir` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    riskweir::cli::main()
}
