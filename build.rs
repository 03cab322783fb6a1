//! Writes the list of the shipped rule files and of the models that they name, so that the program carries them: a rule
//! folder is not always at hand.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let (rules, models) = (root.join("rules"), root.join("models"));
    let files = list(&rules, &["risk", "csv"], ("", "include_str"))?;
    let artifacts = list(&models, &["rwm"], ("../models/", "include_bytes"))?;
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("shipped_rules.rs"), files)?;
    fs::write(out.join("shipped_models.rs"), artifacts)?;
    println!("cargo::rerun-if-changed=rules");
    println!("cargo::rerun-if-changed=models");
    Ok(())
}

/// The files of a folder with these endings as a constant: the path that the rules know them by, and what they hold.
fn list(root: &Path, endings: &[&str], (before, include): (&str, &str)) -> io::Result<String> {
    let mut files = Vec::new();
    walk(root, endings, &mut files)?;
    let named = |file: PathBuf| {
        let inside = file.strip_prefix(root).unwrap_or(&file);
        let name: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        (format!("{before}{}", name.join("/")), file)
    };
    let mut files: Vec<(String, PathBuf)> = files.into_iter().map(named).collect();
    // WHY: by text, as the loader does; paths would come by their parts.
    files.sort();
    let mut list = String::from("&[\n");
    for (name, path) in &files {
        let path = path.to_string_lossy();
        let entry = writeln!(list, "    ({name:?}, {include}!({path:?})),");
        entry.map_err(io::Error::other)?;
    }
    list.push(']');
    Ok(list)
}

fn walk(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, endings, files)?;
        } else if path.extension().is_some_and(|kind| endings.iter().any(|ours| kind == *ours)) {
            files.push(path);
        }
    }
    Ok(())
}
