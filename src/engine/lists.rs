//! The lists while the stream runs: members from files, members that rules add and remove, each with its end.
//!
//! # Cost
//! One hash look-up per question; adding and removing O(log n) for the queue of ends.

use std::collections::{BTreeMap, BTreeSet};

use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::{EntityKey, Network, Networks, Tag};
use crate::rules::program::{ListId, ListSpec};
use crate::state::walk::Walk;

/// End of a member that stays for ever.
const FOREVER_MS: i64 = i64::MAX;

/// Heap bytes of what changed of one member, the member among them, about.
const BYTES_PER_EDIT: usize = 256;

type Members = HashMap<EntityKey, Member, BuildHasherDefault<KeyHasher>>;
type Tags = HashMap<Tag, EntityKey, BuildHasherDefault<KeyHasher>>;

/// Keys are well mixed already or short texts; one multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= EntityKey::of_text(bytes).hash64();
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= EntityKey(u128::from(word)).hash64();
    }

    fn write_u128(&mut self, word: u128) {
        self.0 ^= EntityKey(word).hash64();
    }
}

#[derive(Clone, Copy, Debug)]
struct Member {
    ends_ms: i64,
    tag: Tag,
    /// The list's file names it.
    in_file: bool,
}

/// What rules made of one member; files are not saved, so this is what a list is saved as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The list's file names it.
    in_file: bool,
    /// Its end and tag; `None`: rules took it off.
    member: Option<(i64, Tag)>,
}

/// Which member of which list.
type EditKey = (ListId, EntityKey);

#[derive(Clone, Debug, Default)]
struct List {
    members: Members,
    tags: Tags,
    /// Networks of addresses that the file names, with their ends. Rules and people add and take off addresses only.
    networks: Networks<(Network, i64)>,
}

/// All lists of a rule set, by [`ListId`].
#[derive(Clone, Debug, Default)]
pub struct Lists {
    all: Vec<List>,
    ends: BTreeSet<(i64, ListId, EntityKey)>,
    /// What rules changed.
    edits: BTreeMap<EditKey, Edit>,
    /// The latest instant whose members were forgotten.
    expired_ms: Option<i64>,
    saving: Option<Walk<EditKey>>,
}

impl Lists {
    /// The lists with the members of their files.
    pub fn new(specs: &[ListSpec]) -> Self {
        let mut lists = Self { all: vec![List::default(); specs.len()], ..Self::default() };
        for (index, spec) in (0_u16..).zip(specs) {
            for (text, ends_ms) in &spec.members {
                if let Some(network) = spec.network(text) {
                    let ends_ms = ends_ms.unwrap_or(FOREVER_MS);
                    lists.all[usize::from(index)].networks.insert(network, (network, ends_ms));
                    continue;
                }
                let (key, tag) =
                    (EntityKey::of_text(text.as_bytes()), Tag::of_text(text.as_bytes()));
                let ends_ms = ends_ms.unwrap_or(FOREVER_MS);
                lists.set_later((ListId(index), key), Member { ends_ms, tag, in_file: true });
            }
        }
        lists
    }

    /// Whether the text is on the list at an instant.
    pub fn contains(&self, list: ListId, text: &[u8], time_ms: i64) -> bool {
        self.contains_key(list, EntityKey::of_text(text), time_ms)
            || self.network_of(list, text, time_ms).is_some()
    }

    /// The narrowest network of the list's file that holds an address and has not ended.
    pub fn network_of(&self, list: ListId, text: &[u8], time_ms: i64) -> Option<Network> {
        let list = self.all.get(usize::from(list.0)).filter(|list| !list.networks.is_empty())?;
        let address = core::str::from_utf8(text).ok()?.parse().ok()?;
        let mut around = list.networks.around(address);
        around.find(|(_, ends_ms)| *ends_ms > time_ms).map(|(network, _)| *network)
    }

    /// The same for a text that is known by its tag only.
    pub fn contains_tag(&self, list: ListId, tag: Tag, time_ms: i64) -> bool {
        let key = self.all.get(usize::from(list.0)).and_then(|list| list.tags.get(&tag));
        key.is_some_and(|key| self.contains_key(list, *key, time_ms))
    }

    /// Puts a text on a list until an instant; a later end replaces an earlier one, never the other way round.
    pub fn put(&mut self, list: ListId, text: &[u8], ends_ms: i64) {
        let (key, tag) = (EntityKey::of_text(text), Tag::of_text(text));
        let at = (list, key);
        let held = self.edits.get(&at).map(|edit| edit.in_file);
        let in_file = held.or_else(|| self.member(at).map(|held| held.in_file)).unwrap_or(false);
        if self.set_later(at, Member { ends_ms, tag, in_file }) {
            self.edit(at, Some(Edit { in_file, member: Some((ends_ms, tag)) }));
        }
    }

    /// Puts a text on a list until an instant, `None` for ever, whatever it said before.
    pub fn put_until(&mut self, list: ListId, text: &[u8], ends_ms: Option<i64>) {
        self.remove(list, text);
        self.put(list, text, ends_ms.unwrap_or(FOREVER_MS));
    }

    /// Whether a change of this member is kept within `max_bytes` of all changes. One that was changed before can change.
    pub fn has_room(&self, list: ListId, text: &[u8], max_bytes: usize) -> bool {
        (self.edits.len() + 1) * BYTES_PER_EDIT <= max_bytes
            || self.edits.contains_key(&(list, EntityKey::of_text(text)))
    }

    /// Takes a text off a list; says whether it was there.
    pub fn remove(&mut self, list: ListId, text: &[u8]) -> bool {
        let at = (list, EntityKey::of_text(text));
        let Some(Member { in_file, .. }) = self.take(at) else { return false };
        // A member from the file would come back with the file.
        self.edit(at, in_file.then_some(Edit { in_file, member: None }));
        true
    }

    /// Forgets members that ended at or before an instant.
    pub fn expire(&mut self, horizon_ms: i64) {
        self.expired_ms = self.expired_ms.max(Some(horizon_ms));
        while let Some(&(ends_ms, list, key)) = self.ends.first() {
            if ends_ms > horizon_ms {
                return;
            }
            let at = (list, key);
            let in_file = self.take(at).is_some_and(|member| member.in_file);
            if self.edits.contains_key(&at) {
                self.edit(at, in_file.then_some(Edit { in_file, member: None }));
            }
        }
    }

    fn member(&self, (list, key): EditKey) -> Option<&Member> {
        self.all.get(usize::from(list.0)).and_then(|list| list.members.get(&key))
    }

    /// Sets a member unless it is there with an end that is not earlier; says whether it did.
    fn set_later(&mut self, at: EditKey, member: Member) -> bool {
        let earlier = self.member(at).is_none_or(|held| held.ends_ms < member.ends_ms);
        if earlier {
            self.set(at, member);
        }
        earlier
    }

    fn set(&mut self, (list, key): EditKey, member: Member) {
        let Some(known) = self.all.get_mut(usize::from(list.0)) else { return };
        known.tags.insert(member.tag, key);
        if let Some(old) = known.members.insert(key, member) {
            self.ends.remove(&(old.ends_ms, list, key));
        }
        if member.ends_ms != FOREVER_MS {
            self.ends.insert((member.ends_ms, list, key));
        }
    }

    fn take(&mut self, (list, key): EditKey) -> Option<Member> {
        let known = self.all.get_mut(usize::from(list.0))?;
        let member = known.members.remove(&key)?;
        known.tags.remove(&member.tag);
        self.ends.remove(&(member.ends_ms, list, key));
        Some(member)
    }

    fn edit(&mut self, at: EditKey, edit: Option<Edit>) {
        if let Some(walk) = &mut self.saving {
            walk.touch(at, self.edits.get(&at), Edit::save);
        }
        match edit {
            Some(edit) => self.edits.insert(at, edit),
            None => self.edits.remove(&at),
        };
    }

    /// Members on all lists.
    pub fn len(&self) -> usize {
        self.all.iter().map(|list| list.members.len()).sum()
    }

    /// Whether all lists are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        let n_networks: usize = self.all.iter().map(|list| list.networks.len()).sum();
        (self.len() + n_networks) * 96 + self.ends.len() * 64 + self.edits.len() * 96
    }

    fn contains_key(&self, list: ListId, key: EntityKey, time_ms: i64) -> bool {
        let list = self.all.get(usize::from(list.0));
        let member = list.and_then(|list| list.members.get(&key));
        member.is_some_and(|member| member.ends_ms > time_ms)
    }
}

impl Lists {
    /// Begins a save of what rules changed up to now.
    pub fn begin_save(&mut self) {
        self.saving = Some(Walk::default());
    }

    /// Writes the next changes until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        self.saving.as_mut().is_none_or(|walk| walk.part(&self.edits, budget, code, Edit::save))
    }

    /// Writes what changed ahead of its turn since the last part.
    pub fn save_side(&mut self, code: &mut Encoder<'_>) {
        if let Some(walk) = &mut self.saving {
            walk.side(code);
        }
    }

    /// Ends a save, complete or not.
    pub fn end_save(&mut self) {
        self.saving = None;
    }

    /// What else is saved.
    pub fn expired_ms(&self) -> Option<i64> {
        self.expired_ms
    }

    /// What rules changed.
    pub fn edits(&self) -> &BTreeMap<EditKey, Edit> {
        &self.edits
    }

    /// The lists of a rule set with what rules changed before: the same lists where `same` (the files say what they
    /// said then), else the new files with what rules added and took off since.
    ///
    /// `place` tells where a list stands now; a list that is gone takes its changes with it.
    pub fn with_edits(
        specs: &[ListSpec],
        expired_ms: Option<i64>,
        edits: BTreeMap<EditKey, Edit>,
        place: impl Fn(ListId) -> Option<ListId>,
        same: bool,
    ) -> Self {
        let mut lists = Self::new(specs);
        if let Some(expired_ms) = expired_ms {
            lists.expire(expired_ms);
        }
        for ((list, key), edit) in edits {
            let Some(list) = place(list) else { continue };
            lists.apply((list, key), edit, same);
        }
        lists
    }

    fn apply(&mut self, at: EditKey, edit: Edit, same: bool) {
        let named = self.member(at).copied();
        let in_file = if same { edit.in_file } else { named.is_some() };
        if let Some((ends_ms, tag)) = edit.member {
            let longer = named.is_some_and(|named| named.ends_ms >= ends_ms);
            if !same && longer && !edit.in_file {
                // The file names it now, and for longer.
                return;
            }
            self.set(at, Member { ends_ms, tag, in_file });
        } else {
            self.take(at);
            if !in_file {
                return;
            }
        }
        self.edits.insert(at, Edit { in_file, ..edit });
    }
}

impl Edit {
    fn save(key: &EditKey, edit: &Self, code: &mut Encoder<'_>) {
        code.var(u64::from(key.0.0));
        code.wide(key.1.0);
        code.flag(edit.in_file);
        code.flag(edit.member.is_some());
        if let Some((ends_ms, tag)) = edit.member {
            code.int(ends_ms);
            code.word(tag.0);
        }
    }

    /// Reads saved changes of lists numbered below `n_lists`.
    ///
    /// # Errors
    /// Where they are damaged, or come twice.
    pub fn load(
        edits: &mut BTreeMap<EditKey, Self>,
        n_lists: usize,
        code: &mut Decoder<'_>,
    ) -> Result<(), Damaged> {
        const WHAT: &str = "change of a list";
        while code.rest() > 0 {
            let list = u16::try_from(code.var(WHAT)?).map_err(|_| code.damaged(WHAT))?;
            code.demand(usize::from(list) < n_lists, WHAT)?;
            let key = (ListId(list), EntityKey(code.wide(WHAT)?));
            let (in_file, there) = (code.flag(WHAT)?, code.flag(WHAT)?);
            let member = if there { Some((code.int(WHAT)?, Tag(code.word(WHAT)?))) } else { None };
            code.demand(edits.insert(key, Self { in_file, member }).is_none(), WHAT)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::program::Type;

    fn spec(members: &[(&str, Option<i64>)]) -> ListSpec {
        let members = members.iter().map(|(text, ends)| ((*text).to_owned(), *ends)).collect();
        ListSpec { name: "l".to_owned(), ty: Type::Text, expires_ms: None, members, gives: None }
    }

    /// By hand: 192.0.2.0/25 ends at .127, and 192.0.2.0/24 at .255.
    #[test]
    fn an_address_is_on_a_list_by_itself_or_in_a_network_that_has_not_ended() {
        let members = [("192.0.2.0/25", Some(100)), ("192.0.2.0/24", Some(50)), ("::1", None)];
        let spec = ListSpec { ty: Type::Ip, ..spec(&members) };
        let mut lists = Lists::new(&[spec]);
        let asked =
            |lists: &Lists, text: &str, at: i64| lists.contains(ListId(0), text.as_bytes(), at);
        assert!(asked(&lists, "192.0.2.127", 99) && !asked(&lists, "192.0.2.127", 100));
        assert!(asked(&lists, "192.0.2.200", 49) && !asked(&lists, "192.0.2.200", 50));
        assert!(asked(&lists, "::1", 500) && !asked(&lists, "::2", 0));
        // What is added and taken off are addresses; a network stays as the file has it.
        lists.put(ListId(0), b"192.0.2.200", 80);
        assert!(asked(&lists, "192.0.2.200", 79) && !asked(&lists, "192.0.2.201", 79));
        lists.remove(ListId(0), b"192.0.2.127");
        assert!(asked(&lists, "192.0.2.127", 99));
        // A list of texts has no networks.
        let texts = Lists::new(&[self::spec(&[("192.0.2.0/24", None)])]);
        assert!(asked(&texts, "192.0.2.0/24", 0) && !asked(&texts, "192.0.2.1", 0));
    }

    fn edited() -> Lists {
        let members = [("stays", None), ("taken off", None), ("ends", Some(10))];
        let mut lists = Lists::new(&[spec(&members)]);
        lists.put(ListId(0), b"added", 50);
        lists.put(ListId(0), b"ends", 20);
        lists.remove(ListId(0), b"taken off");
        lists.put(ListId(0), b"brief", 5);
        lists.expire(5);
        lists
    }

    fn on(lists: &Lists, time_ms: i64) -> Vec<&'static str> {
        let texts = ["stays", "taken off", "ends", "added", "brief", "new"];
        let on = |text: &&str| lists.contains(ListId(0), text.as_bytes(), time_ms);
        texts.into_iter().filter(on).collect()
    }

    #[test]
    fn what_rules_changed_makes_the_same_lists_of_the_same_files() {
        let lists = edited();
        assert_eq!(on(&lists, 6), ["stays", "ends", "added"]);
        let members = [("stays", None), ("taken off", None), ("ends", Some(10))];
        let (edits, expired) = (lists.edits().clone(), lists.expired_ms());
        let same = Lists::with_edits(&[spec(&members)], expired, edits, Some, true);
        assert_eq!((on(&same, 6), same.bytes()), (on(&lists, 6), lists.bytes()));
        assert_eq!((on(&same, 20), on(&same, 50)), (vec!["stays", "added"], vec!["stays"]));
    }

    #[test]
    fn new_files_are_followed_and_what_rules_added_or_took_off_stays() {
        let lists = edited();
        let (edits, expired) = (lists.edits().clone(), lists.expired_ms());
        let files = spec(&[("new", None), ("taken off", None), ("added", None)]);
        let now =
            Lists::with_edits(core::slice::from_ref(&files), expired, edits.clone(), Some, false);
        assert_eq!(on(&now, 6), ["ends", "added", "new"]);
        assert_eq!(on(&now, 60), ["added", "new"]);
        let gone = Lists::with_edits(&[files], expired, edits, |_| None, false);
        assert_eq!(on(&gone, 6), ["taken off", "added", "new"]);
    }

    #[test]
    fn members_end_at_their_instant_and_a_longer_end_wins() {
        let mut lists = Lists::new(&[spec(&[("forever", None), ("until 10", Some(10))])]);
        let list = ListId(0);
        assert!(lists.contains(list, b"forever", i64::MAX - 1));
        assert!(lists.contains(list, b"until 10", 9));
        assert!(!lists.contains(list, b"until 10", 10));
        lists.put(list, b"until 10", 20);
        lists.put(list, b"until 10", 15);
        assert!(lists.contains(list, b"until 10", 19));
        assert!(lists.contains_tag(list, Tag::of_text(b"until 10"), 19));
        lists.expire(20);
        assert_eq!(lists.len(), 1);
        assert!(!lists.contains_tag(list, Tag::of_text(b"until 10"), 0));
        lists.remove(list, b"forever");
        assert!(lists.is_empty());
    }
}
