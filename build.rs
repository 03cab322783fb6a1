//! Writes the list of the shipped rule files, so that the program carries them: a rule folder is not always at hand.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("rules");
    let mut files = Vec::new();
    walk(&root, &mut files)?;
    files.sort();
    let mut list = String::from("&[\n");
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap_or(file);
        let name: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        let (name, path) = (name.join("/"), file.to_string_lossy());
        let entry = writeln!(list, "    ({name:?}, include_str!({path:?})),");
        entry.map_err(io::Error::other)?;
    }
    list.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("shipped_rules.rs"), list)?;
    println!("cargo::rerun-if-changed=rules");
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "risk" || kind == "csv") {
            files.push(path);
        }
    }
    Ok(())
}
