//! A folder that is studied again and again while its texts change, as in an editor.

use proptest::prelude::*;

use super::*;
use crate::rules::{Trees, study};

const FILES: [(&str, &str); 5] = [
    (
        "a.risk",
        "rule a\n  id \"1\"  owner o\n  on login\n  when count(login) by user_id over last 1h >= 5\n  then block\n",
    ),
    (
        "b/b.risk",
        "# accept W0001: read as it stands\nrule b\n  mode shadow\n  on transfer\n  when amount > 5 EUR and direction = inbound or pace > 3\n  then alert\n",
    ),
    ("features.risk", "feature pace = count(transfer) by sender over last 1h\n"),
    ("lists/countries.csv", "value,expires,note\nKP,,\nIR,2030-01-01T00:00:00Z,x\n"),
    (
        "z.risk",
        "rule z\n  id \"2\"  owner o\n  on login\n  when count(login) by user_id over last 1h >= 9\n  then block\ntest z \"none\"\n  when login(user_id: \"u\")\n  expect no hit\n",
    ),
];

/// What is put in place of a piece of a text.
const PIECES: [&str; 8] =
    ["", "\n", "# accept W0503: both are wanted\n", "(", "\"", " and pace >= 2", "9", "é"];

/// What happens to a folder between two looks at it.
#[derive(Clone, Debug)]
enum Change {
    /// In a file, from a place, a number of bytes give way to a piece.
    Edit(usize, usize, usize, usize),
    /// A file is as it was in the beginning, or gone.
    Whole(usize, bool),
}

fn change() -> impl Strategy<Value = Change> {
    let edit = (0..FILES.len(), 0..300_usize, 0..12_usize, 0..PIECES.len());
    prop_oneof![
        3 => edit.prop_map(|(file, at, n_bytes, piece)| Change::Edit(file, at, n_bytes, piece)),
        2 => (0..FILES.len(), proptest::bool::weighted(0.7)).prop_map(|(file, there)| Change::Whole(file, there)),
    ]
}

impl Change {
    fn make(&self, texts: &mut [Option<String>; FILES.len()]) {
        match *self {
            Self::Whole(file, there) => texts[file] = there.then(|| FILES[file].1.to_owned()),
            Self::Edit(file, at, n_bytes, piece) => {
                let Some(text) = &mut texts[file] else { return };
                let whole = |at: usize, text: &str| {
                    (0..=at.min(text.len()))
                        .rev()
                        .find(|at| text.is_char_boundary(*at))
                        .unwrap_or(0)
                };
                let (from, to) = (whole(at, text), whole(at + n_bytes, text));
                text.replace_range(from..to, PIECES[piece]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_again_is_what_a_first_look_finds(
        changes in proptest::collection::vec(change(), 1..20)
    ) {
        let mut texts = FILES.map(|(_, text)| Some(text.to_owned()));
        let mut trees = Trees::default();
        for change in &changes {
            change.make(&mut texts);
            let file = |(path, text): (&str, &String)| Source { path: path.to_owned(), text: text.clone() };
            let mut files: Vec<Source> = FILES.iter().zip(&texts).filter_map(|((path, _), text)| Some(file((path, text.as_ref()?)))).collect();
            files.push(file(("schema.risk", &SCHEMA.to_owned())));
            files.sort_by(|a, b| a.path.cmp(&b.path));
            let sources = Sources::of(files);
            let again = study(&sources, &mut trees);
            let first = study(&sources, &mut Trees::default());
            prop_assert_eq!(&again.diagnostics, &compile(&sources).1);
            prop_assert_eq!(&again.files, &first.files);
            prop_assert_eq!(again.program.digest, first.program.digest);
        }
    }
}
