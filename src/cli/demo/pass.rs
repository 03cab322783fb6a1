//! Who may look at a demonstration by the HTTP API: whoever can read a file of this user.
//!
//! A new token for each run, in a folder of its own that nobody else can enter, and gone with the run. It lets look and try out,
//! not decide: made-up event time runs thousands of times faster than the clock, so a command, or a payment of today, would
//! come long after all that is shown.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::api::roles::{Person, Role, Scope};
use crate::api::tokens::Token;

/// What the token lets do.
const ROLES: [Role; 3] = [Role::Viewer, Role::RuleAuthor, Role::Auditor];

/// Most folders of one name that are left over from processes of the same number.
const MOST_LEFT: u32 = 100;

/// The folder with the token, and with the file by which the API knows it. Both go when this is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    folder: PathBuf,
}

impl Pass {
    /// A new one.
    ///
    /// # Errors
    /// The folder or a file cannot be made.
    pub(super) fn new() -> io::Result<Self> {
        let pass = Self { folder: own_folder(&std::env::temp_dir())? };
        let token = Token::new()?;
        let person = Person { name: "demo".to_owned(), roles: ROLES.to_vec(), scope: Scope::All };
        write(&pass.token(), token.reveal())?;
        write(&pass.known(), &format!("{}\n", token.line(&person, None)))?;
        Ok(pass)
    }

    /// The file with the token.
    pub(super) fn token(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// The file for `api.tokens`.
    pub(super) fn known(&self) -> PathBuf {
        self.folder.join("tokens")
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // WHY: what is left over opens nothing, because nobody listens any more.
        for file in [self.token(), self.known()] {
            drop(fs::remove_file(file));
        }
        drop(fs::remove_dir(&self.folder));
    }
}

/// A folder that was not there before and only this user can enter.
fn own_folder(below: &Path) -> io::Result<PathBuf> {
    let name = format!("riskweir-demo-{}", std::process::id());
    let mut names = (0..MOST_LEFT).map(|n| match n {
        0 => below.join(&name),
        n => below.join(format!("{name}-{n}")),
    });
    let made = names.find_map(|folder| match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => Some(Ok(folder)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
        Err(error) => Some(Err(error)),
    });
    made.unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
