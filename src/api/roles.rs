//! Who may do what: roles, and people who have them.

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

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name that stands in records.
    pub name: String,
    /// What they may do.
    pub roles: Vec<Role>,
}

impl Person {
    /// Whether they have one of these roles.
    pub fn may(&self, roles: &[Role]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }
}
