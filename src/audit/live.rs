//! Verifies the topics of a service that writes on meanwhile.
//!
//! Records and checkpoints lie in two topics, and nobody sees both at one instant. So the records are read first, up to where they
//! end then: each of them must be signed. Then what signs them, then the records that came meanwhile, which need not be. What is
//! written together is not seen together; what is lacking is looked for a few times more before it is called lacking.

use crate::audit::outputs::Written;
use crate::audit::verify::Verifier;

/// How often what is lacking is looked for again.
const LOOKS: u32 = 10;

/// So many looks in a row that find nothing new are enough.
const ENOUGH_QUIET: u32 = 2;

/// Its topics. Each reading gives what came since the one before, up to the end as it is when it begins.
pub trait Trail {
    /// Why they cannot be read.
    type Error;

    /// Audit records.
    ///
    /// # Errors
    /// They cannot be read.
    fn records(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), Self::Error>;

    /// Checkpoints.
    ///
    /// # Errors
    /// They cannot be read.
    fn checkpoints(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), Self::Error>;

    /// Records of decisions and holds.
    ///
    /// # Errors
    /// They cannot be read.
    fn outputs(&mut self, take: &mut dyn FnMut(Written<'_>)) -> Result<(), Self::Error>;
}

/// Reads both into a verifier.
///
/// # Errors
/// One of them cannot be read.
pub fn read_live<T: Trail>(trail: &mut T, verifier: &mut Verifier) -> Result<(), T::Error> {
    trail.records(&mut |body| verifier.record(body))?;
    trail.outputs(&mut |written| verifier.output(written, true))?;
    let mut n_quiet = 0;
    for _ in 0..=LOOKS {
        let mut n = 0_u64;
        trail.checkpoints(&mut |body| {
            n += 1;
            verifier.checkpoint(body);
        })?;
        trail.records(&mut |body| {
            n += 1;
            verifier.newer(body);
        })?;
        trail.outputs(&mut |written| {
            n += 1;
            verifier.output(written, false);
        })?;
        n_quiet = if n == 0 { n_quiet + 1 } else { 0 };
        // Where nobody writes, what is lacking does not come.
        if !verifier.is_behind() || n_quiet == ENOUGH_QUIET {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify::tests::{chain, key, sign};

    /// A service that writes two records with their checkpoints whenever somebody has read something; of its newest checkpoints
    /// so many are not to be seen yet.
    struct Live {
        records: Vec<String>,
        checkpoints: Vec<Vec<u8>>,
        written: usize,
        unseen: usize,
        read: [usize; 2],
    }

    impl Live {
        fn new(unseen: usize) -> Self {
            let says: Vec<String> = (0..60).map(|n| format!("s{n}")).collect();
            let says: Vec<&str> = says.iter().map(String::as_str).collect();
            let records = chain(&says);
            let checkpoints = sign(&records, &key(1));
            Self { records, checkpoints, written: 4, unseen, read: [0, 0] }
        }

        fn write(&mut self) {
            self.written += 2;
        }

        fn problems(mut self, verifier: Verifier) -> Vec<(u64, String)> {
            let mut verifier = verifier;
            assert_eq!(read_live(&mut self, &mut verifier), Ok(()));
            verifier.finish().problems.into_iter().map(|it| (it.seq, it.what)).collect()
        }
    }

    impl Trail for Live {
        type Error = ();

        fn records(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), ()> {
            let end = self.written.min(self.records.len());
            self.records[self.read[0].min(end)..end].iter().for_each(|body| take(body.as_bytes()));
            self.read[0] = end;
            self.write();
            Ok(())
        }

        fn checkpoints(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), ()> {
            let end = self.written.saturating_sub(self.unseen).min(self.checkpoints.len());
            self.checkpoints[self.read[1].min(end)..end].iter().for_each(|body| take(body));
            self.read[1] = self.read[1].max(end);
            self.write();
            Ok(())
        }

        fn outputs(&mut self, _take: &mut dyn FnMut(Written<'_>)) -> Result<(), ()> {
            Ok(())
        }
    }

    fn verifier() -> Verifier {
        Verifier::new(vec![key(1).public()])
    }

    #[test]
    fn a_service_that_writes_on_meanwhile_is_sound() {
        for unseen in 0..8 {
            assert_eq!(Live::new(unseen).problems(verifier()), [], "{unseen}");
        }
    }

    #[test]
    fn what_is_cut_forged_or_never_signed_is_found_beside_a_service_that_writes() {
        let mut cut = Live::new(0);
        cut.records.truncate(3);
        let found = cut.problems(verifier());
        assert!(
            matches!(&found[..], [(4, what)] if what.contains("the chain is cut")),
            "{found:?}"
        );
        let mut unsigned = Live::new(0);
        unsigned.checkpoints.truncate(2);
        let found = unsigned.problems(verifier());
        let [(3, what)] = &found[..] else { panic!("{found:?}") };
        assert!(what.contains("nobody signed the records after 2"), "{what}");
        let mut hole = Live::new(0);
        hole.records.remove(1);
        let found = hole.problems(verifier());
        assert!(found.iter().any(|(seq, what)| *seq == 2 && what.contains("missing")), "{found:?}");
    }
}
