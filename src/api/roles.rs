//! Who may do what: roles, and people who have them.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// What somebody may do. A role stands for nothing but itself: the table of routes names every role that may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads decisions, alerts and holds.
    Viewer,
    /// Works on holds and alerts.
    Analyst,
    /// An analyst who may also release what is above the limit of four eyes, as the second person.
    Senior,
    /// Writes rules: validates, plans, tries events, asks for activation.
    RuleAuthor,
    /// Lets rules become active, as the second person.
    RuleApprover,
    /// Reads everything, changes nothing.
    Auditor,
    /// Keeps the service; may do what the others may, and is bound by four eyes as they are.
    Admin,
    /// A payment service: has events decided, and nothing else.
    Service,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Viewer,
        Self::Analyst,
        Self::Senior,
        Self::RuleAuthor,
        Self::RuleApprover,
        Self::Auditor,
        Self::Admin,
        Self::Service,
    ];

    /// As the file of tokens names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Senior => "senior",
            Self::RuleAuthor => "rule-author",
            Self::RuleApprover => "rule-approver",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Service => "service",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Longest name of a topic, as Kafka has it.
const MAX_TOPIC_BYTES: usize = 249;

/// At which input topics somebody's view ends: payments of another department or tenant come by topics of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// At none.
    #[default]
    All,
    /// At these, of which there may be none: what came by another topic is not there, and what is of no topic is not for them.
    Topics(Arc<BTreeSet<String>>),
}

impl Scope {
    /// These topics; none: nothing.
    ///
    /// # Errors
    /// One cannot be the name of a topic.
    pub fn of<'t>(topics: impl IntoIterator<Item = &'t str>) -> Result<Self, &'static str> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_topic =
            |name: &&str| (1..=MAX_TOPIC_BYTES).contains(&name.len()) && name.bytes().all(fits);
        let named = topics.into_iter().map(|name| Some(name).filter(is_topic).map(str::to_owned));
        let topics: Option<BTreeSet<String>> = named.collect();
        let topics = topics.ok_or("a topic has 1 to 249 letters, digits, `.`, `_` or `-`")?;
        Ok(Self::Topics(Arc::new(topics)))
    }

    /// Whether what came by a topic is seen.
    pub fn has(&self, topic: &str) -> bool {
        self.topics().is_none_or(|topics| topics.contains(topic))
    }

    /// The topics; none: all of them.
    pub fn topics(&self) -> Option<&BTreeSet<String>> {
        match self {
            Self::All => None,
            Self::Topics(topics) => Some(topics),
        }
    }
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name that stands in records.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
    /// Whose payments they may do it to.
    pub scope: Scope,
}

impl Person {
    /// Whether they have one of these roles.
    pub fn may(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }
}
