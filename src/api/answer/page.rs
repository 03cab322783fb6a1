//! Pages of records: asked for by `limit` and `cursor`, newest first.

use serde::Serialize;

use crate::api::call::{Call, Reply};
use crate::api::problem::Problem;
use crate::api::records::{PAGE, Page, cursor, read_cursor};
use crate::api::store::read::{Kept, Wanted};

/// The page of a table that a call asks for, of what the caller may see; `narrow` adds what else it asks.
pub(super) async fn page(
    call: &Call,
    by: &'static str,
    narrow: impl FnOnce(Wanted) -> Wanted,
) -> Result<Page<Kept>, Problem> {
    let limit = call.query.count("limit").unwrap_or(PAGE);
    let store = &call.state.store;
    let before = call.query.text("cursor").map(|text| read_cursor(store, text)).transpose()?;
    let most = i64::try_from(limit).unwrap_or(0) + 1;
    let wanted = narrow(Wanted::of(by, before, most).within(&call.person.scope));
    let found = store.ask(move |connection| wanted.ask(connection)).await?;
    Ok(Page::of(found, limit, |it| cursor(store, it)))
}

/// A page as it is answered.
pub(super) fn shown<T: Serialize>(
    page: Page<Kept>,
    item: impl Fn(&Kept) -> Result<T, Problem>,
) -> Result<Reply, Problem> {
    let items: Result<Vec<T>, Problem> = page.items.iter().map(item).collect();
    Reply::json(&Page { items: items?, next: page.next })
}
