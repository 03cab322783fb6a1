//! `riskweir import`: trees that another library trained become the artifact of a learned model.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::backtest::input::source_name;
use crate::base::Digest;
use crate::cli::history::check_output;
use crate::cli::rules::compile_folder_untrained;
use crate::cli::{Console, Exit, Failure, Format};
use crate::models::offline::import::{MAX_BYTES, import};
use crate::models::offline::{Artifact, Feature, Histogram, Scorer};
use crate::train::dataset::Wanted;

/// Arguments of `riskweir import`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// What another library saved: XGBoost JSON, LightGBM text or JSON, ONNX with one ensemble of trees.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Name of the model in the rules: of kind `learned`; its own file may be missing.
    #[arg(long, value_name = "MODEL")]
    name: String,
    /// The artifact that is written. The rules name it with `from`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Features of the columns in their order, where the file does not name them.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    columns: Option<Vec<String>>,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or written, or the model cannot be imported.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    check_output("--out", &arguments.out, &[arguments.model.as_path()])?;
    let Some(program) = compile_folder_untrained(&arguments.rules, console)? else {
        return Ok(Exit::Invalid);
    };
    let wanted = Wanted::find(&program, &arguments.name, None).map_err(Failure::invalid)?;
    let bytes = read(&arguments.model)?;
    let features: Vec<_> =
        wanted.learned().iter().map(|feature| (feature.name.as_str(), feature.unit)).collect();
    let scorer = import(&bytes, arguments.columns.as_deref(), &features).map_err(|error| {
        Failure::invalid(format!("could not import `{}`: {error}", arguments.model.display()))
    })?;
    let facts = facts(&arguments.model, &bytes, &scorer);
    let told = format!("{}: {}", arguments.out.display(), words(&scorer));
    let artifact = Artifact {
        name: wanted.name.clone(),
        event: wanted.event.clone(),
        features: wanted
            .learned()
            .iter()
            .map(|feature| Feature {
                name: feature.name.clone(),
                identity: feature.identity.clone(),
                unit: feature.unit,
                median: None,
                reference: Histogram::of([]),
            })
            .collect(),
        fields: wanted.fields().to_vec(),
        scorer,
        quantiles: Vec::new(),
        reference: Histogram::of([]),
        facts: facts.clone(),
    };
    write_artifact(&arguments.out, &artifact)?;
    match console.format {
        Format::Json => console.data(&format!("{facts}\n")),
        Format::Text => console.data(&format!("{told}\n")),
    }
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn core::fmt::Display| {
        Failure::invalid(format!("could not read `{}`: {error}", path.display()))
    };
    let size = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_BYTES as u64 {
        return Err(failed(&format!("it has more than {} MiB", MAX_BYTES >> 20)));
    }
    fs::read(path).map_err(|error| failed(&error))
}

/// Where it came from, as the card of the artifact.
fn facts(path: &Path, bytes: &[u8], scorer: &Scorer) -> String {
    let file = source_name(path);
    let (trees, nodes) = match scorer {
        Scorer::Forest(forest) => (forest.n_trees(), forest.n_nodes()),
        Scorer::Logistic(_) => (0, 0),
    };
    let digest = Digest::of_parts(&[bytes]).hex();
    json!({ "imported": { "file": file, "digest": digest, "trees": trees, "nodes": nodes } })
        .to_string()
}

fn words(scorer: &Scorer) -> String {
    match scorer {
        Scorer::Forest(forest) => {
            format!("{} trees with {} nodes", forest.n_trees(), forest.n_nodes())
        }
        Scorer::Logistic(_) => "a regression".to_owned(),
    }
}

/// Makes the folder, writes under a hidden name and renames: whoever looks there sees the old file or the new one.
///
/// # Errors
/// When the file cannot be written; the one before it stays.
pub(crate) fn write_artifact(path: &Path, artifact: &Artifact) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::invalid(format!("could not make `{}`: {error}", folder.display()))
        })?;
    }
    let failed = |error: std::io::Error| {
        Failure::invalid(format!("could not write `{}`: {error}", path.display()))
    };
    let name =
        path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let hidden = path.with_file_name(format!(".{name}.new"));
    let written = fs::File::create(&hidden).and_then(|mut file| {
        file.write_all(&artifact.encode())?;
        file.sync_all()?;
        fs::rename(&hidden, path)
    });
    written.map_err(|error| {
        // WHY: what went wrong is told; that it left something behind, too, helps nobody.
        drop(fs::remove_file(&hidden));
        failed(error)
    })
}
