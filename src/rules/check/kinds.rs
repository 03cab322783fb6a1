//! Entity kinds: which names of types are kinds of entities, and which of them are one and the same.
//!
//! A kind is born by use as a field's type (`key card : card`) or by an `entity` item. All fields of an `entity` item
//! carry one kind: plain `text` fields take it, and the item's own name means the same kind. Two kinds that the
//! author declared as different are never merged: that is an error at the `entity` item.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::EntityId;
use crate::rules::check::refusal::Refusal;

/// The kinds while they are being collected.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// Every name that is a kind, in order of first use; its parent in the forest of merged names.
    names: Vec<KindName>,
    index: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct KindName {
    name: String,
    parent: usize,
    /// Declared as the type of a field (not only by an `entity` item).
    used_as_type: bool,
    span: Span,
    n_uses: u32,
}

impl Kinds {
    /// The name as the type of a field.
    pub(super) fn used_as_type(&mut self, name: &str, span: Span) -> usize {
        let index = self.intern(name, span);
        self.names[index].used_as_type = true;
        self.names[index].n_uses += 1;
        index
    }

    /// The name of an `entity` item.
    pub(super) fn declared(&mut self, name: &str, span: Span) -> usize {
        let index = self.intern(name, span);
        self.names[index].n_uses += 1;
        index
    }

    /// Says that two names mean one kind; refuses when that would merge two kinds of fields.
    pub(super) fn merge(&mut self, a: usize, b: usize, span: Span) -> Result<(), Refusal> {
        let (root_a, root_b) = (self.root(a), self.root(b));
        if root_a == root_b {
            return Ok(());
        }
        if let (Some(kind_a), Some(kind_b)) =
            (self.declared_kind(root_a), self.declared_kind(root_b))
        {
            let message = format!(
                "`{kind_a}` and `{kind_b}` are different entities; one name cannot stand for both"
            );
            let found = Diagnostic::new(codes::E0214, span, message);
            let help = "give the fields one type, or leave the untyped ones `text`";
            return Err(Box::new(found.with_help(help)));
        }
        let (keep, drop) =
            if self.declared_kind(root_b).is_some() { (root_b, root_a) } else { (root_a, root_b) };
        self.names[drop].parent = keep;
        Ok(())
    }

    /// The final list of kinds and, for every name, its kind.
    pub(super) fn finish(&self) -> (Vec<String>, BTreeMap<String, EntityId>) {
        let mut list: Vec<String> = Vec::new();
        let mut ids: BTreeMap<usize, EntityId> = BTreeMap::new();
        let mut by_name = BTreeMap::new();
        for index in 0..self.names.len() {
            let root = self.root(index);
            let id = *ids.entry(root).or_insert_with(|| {
                let id = EntityId(u16::try_from(list.len()).unwrap_or(u16::MAX));
                let name = self.declared_kind(root).unwrap_or(&self.names[root].name);
                list.push(name.to_owned());
                id
            });
            by_name.insert(self.names[index].name.clone(), id);
        }
        (list, by_name)
    }

    /// The kind of every name by its index.
    pub(super) fn ids(&self) -> Vec<EntityId> {
        let by_name = self.finish().1;
        self.names.iter().filter_map(|kind| by_name.get(&kind.name).copied()).collect()
    }

    /// Kinds that are the type of a field, each where it was first: name, place.
    pub(super) fn used_as_types(&self) -> impl Iterator<Item = (&str, Span)> {
        let types = self.names.iter().filter(|kind| kind.used_as_type);
        types.map(|kind| (kind.name.as_str(), kind.span))
    }

    /// Kinds that occur once only and look like a misspelt word: name, place.
    pub(super) fn used_once(&self) -> impl Iterator<Item = (&str, Span)> {
        self.names
            .iter()
            .filter(|kind| kind.n_uses == 1 && kind.used_as_type)
            .map(|kind| (kind.name.as_str(), kind.span))
    }

    fn intern(&mut self, name: &str, span: Span) -> usize {
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        let index = self.names.len();
        self.names.push(KindName {
            name: name.to_owned(),
            parent: index,
            used_as_type: false,
            span,
            n_uses: 0,
        });
        self.index.insert(name.to_owned(), index);
        index
    }

    fn root(&self, mut index: usize) -> usize {
        while self.names[index].parent != index {
            index = self.names[index].parent;
        }
        index
    }

    /// The name in this group that an author gave a field as its type: at most one by construction.
    fn declared_kind(&self, root: usize) -> Option<&str> {
        self.names
            .iter()
            .enumerate()
            .find(|(index, kind)| kind.used_as_type && self.root(*index) == root)
            .map(|(_, kind)| kind.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_over_one_kind_means_that_kind() {
        let mut kinds = Kinds::default();
        let account = kinds.used_as_type("account", Span::default());
        let payer = kinds.declared("payer", Span::default());
        assert_eq!(kinds.merge(payer, account, Span::default()), Ok(()));
        let (list, by_name) = kinds.finish();
        assert_eq!(list, ["account"]);
        assert_eq!(by_name["payer"], by_name["account"]);
    }

    #[test]
    fn two_declared_kinds_are_never_merged_even_through_a_third_name() {
        let mut kinds = Kinds::default();
        let card = kinds.used_as_type("card", Span::default());
        let account = kinds.used_as_type("account", Span::default());
        let holder = kinds.declared("holder", Span::default());
        assert!(kinds.merge(holder, card, Span::default()).is_ok());
        let refused = kinds.merge(holder, account, Span::default());
        assert_eq!(refused.map_err(|diagnostic| diagnostic.code), Err(codes::E0214));
        assert_eq!(kinds.finish().0, ["card", "account"]);
    }
}
