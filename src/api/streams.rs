//! Places for streams of events: so many at once, and of each person so many, so that nobody takes those of all others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most streams of events at once.
pub(crate) const MAX_STREAMS: usize = 64;

/// Most of them of one person.
pub(crate) const MAX_STREAMS_EACH: usize = 8;

/// See the module. Clones are the same places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<BTreeMap<String, usize>>>);

/// Whose places are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All of them.
    All,
    /// Those of this person.
    Own,
}

/// A place for one stream; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    streams: Streams,
    name: String,
}

impl Streams {
    /// A place for a stream of somebody.
    pub(crate) fn take(&self, name: &str) -> Result<Place, Full> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(name).is_some_and(|n| *n >= MAX_STREAMS_EACH) {
            return Err(Full::Own);
        }
        if open.values().sum::<usize>() >= MAX_STREAMS {
            return Err(Full::All);
        }
        *open.entry(name.to_owned()).or_default() += 1;
        Ok(Place { streams: self.clone(), name: name.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = open.remove(&self.name).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            open.insert(self.name.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_places_of_all_others() {
        let streams = Streams::default();
        let take = |name: &str| streams.take(name).map_err(|full| (name.to_owned(), full));
        let own: Vec<Place> = (0..MAX_STREAMS_EACH).map(|_| take("ann").unwrap()).collect();
        assert_eq!(take("ann").unwrap_err().1, Full::Own);
        let people = (0..MAX_STREAMS - MAX_STREAMS_EACH).map(|n| format!("p{n}"));
        let others: Vec<Place> = people.map(|name| take(&name).unwrap()).collect();
        assert_eq!(take("bob").unwrap_err().1, Full::All);
        drop(own);
        assert!(take("bob").is_ok());
        drop(others);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
