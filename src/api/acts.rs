//! What people do here and the engine has no part in: requests for a second person, rule sets, labels, looks at hidden data. It is told
//! to the engine by a command that changes nothing, so that it stands in the chain of the audit trail with who did it, where
//! nobody can take it out again.
//!
//! It is told before it is done. What was told and then failed leaves a record too many, what was done and not told leaves none.

use std::sync::Arc;

use serde_json::json;

use crate::api::commands::{ACT, Asked, To, give};
use crate::api::problem::Problem;
use crate::api::state::State;
use crate::decision::command::Deed;

/// Who did something, and why.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// The id of the command: what has one id is told once.
    pub(crate) command_id: String,
    /// Who.
    pub(crate) actor: String,
    /// Why.
    pub(crate) reason: String,
    /// Who approved it, and why.
    pub(crate) approval: Option<(String, String)>,
}

/// Tells the audit trail what somebody is about to do.
///
/// # Errors
/// It cannot be told; then it must not be done.
pub(crate) async fn tell(state: &Arc<State>, deed: &Deed, by: By) -> Result<(), Problem> {
    let (approver, why) = by.approval.unzip();
    let approval = [("approved_by", approver), ("approval_reason", why)];
    let approval =
        approval.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
    let mut members = deed.members();
    members.extend(approval);
    let By { command_id, actor, reason, .. } = by;
    let to = To::Keeper(Deed::KEY.to_vec(), None);
    give(state, &Asked { verb: ACT, command_id, actor, reason, members, to }).await.map(drop)
}
