//! The decision policy.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{Policy, PolicyClause, PolicyClauseKind};
use crate::rules::syntax::parser::{Parser, actions};
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;

impl Parser<'_> {
    /// `policy NAME` and its clauses. At `policy`.
    pub(super) fn policy(&mut self) -> Option<Policy> {
        let start = self.bump();
        let name = self.new_name("the name of a policy")?;
        let mut clauses = Vec::new();
        while !self.at_item() {
            let (start, from) = (self.here(), self.at);
            match self.policy_clause() {
                Some(kind) => clauses.push(PolicyClause { kind, span: self.since(start) }),
                None => self.skip_to_line(from, words::POLICY_CLAUSES),
            }
        }
        Some(Policy { name, clauses, span: self.since(start) })
    }

    fn policy_clause(&mut self) -> Option<PolicyClauseKind> {
        let known = self.word().filter(|word| words::POLICY_CLAUSES.contains(word));
        let Some(word) = known else { return self.no_policy_clause() };
        self.bump();
        Some(match word {
            "base" => {
                self.expect_word("currency", "after `base`")?;
                PolicyClauseKind::BaseCurrency(self.currency()?)
            }
            "timezone" => PolicyClauseKind::Timezone(self.text_of("a time zone")?),
            "rates" => {
                self.expect_word("from", "after `rates`")?;
                let from = self.text_of("a file of rates")?;
                let expires = self.eat_word("expires");
                let expires_ms = if expires { Some(self.duration_ms("a duration")?) } else { None };
                PolicyClauseKind::Rates { from, expires_ms }
            }
            "band" => self.band()?,
            "approvals" => {
                let count = self.number("a number of approvals")?;
                self.expect_word("for", "after the number of approvals")?;
                let action = |p: &mut Self| p.data_name("an action");
                PolicyClauseKind::Approvals(count, self.bracket_list("before the actions", action)?)
            }
            "budget" => {
                let nanos = self.duration_nanos("a duration")?;
                self.expect_word("per", "after the duration")?;
                self.expect_word("event", "after `per`")?;
                PolicyClauseKind::Budget(nanos)
            }
            "state" => PolicyClauseKind::State(self.size()?),
            _ => {
                let count = self.number("a number of holds or blocks")?;
                self.expect_word("per", "after the number")?;
                PolicyClauseKind::Breaker(count, self.duration_ms("a duration")?)
            }
        })
    }

    fn no_policy_clause<T>(&mut self) -> Option<T> {
        let message = format!("expected a clause of the policy, found {}", self.found());
        let mut diagnostic = Diagnostic::new(codes::E0010, self.report_span(), message);
        let hint = self.did_you_mean(&[words::POLICY_CLAUSES]).or_else(|| self.hint());
        if let Some((help, fix)) = hint {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        } else {
            let help = format!("a policy is made of {}", actions::listed(words::POLICY_CLAUSES));
            diagnostic.help = Some(help);
        }
        self.report(diagnostic);
        None
    }

    fn band(&mut self) -> Option<PolicyClauseKind> {
        let from = self.number("the lowest score of the band")?;
        self.expect_sign(Sign::DotDot, "between the lowest and the highest score")?;
        let to = self.number("the highest score of the band")?;
        self.expect_sign(Sign::Arrow, "before the action of the band")?;
        Some(PolicyClauseKind::Band(from, to, self.action()?))
    }

    fn size(&mut self) -> Option<u64> {
        match *self.kind() {
            TokenKind::Size(bytes) => {
                self.bump();
                Some(bytes)
            }
            TokenKind::Number(_) => {
                let message = format!("expected a size, found {}", self.found());
                self.fail(codes::E0017, message, "a unit is missing: `64MiB`, `2GiB`")
            }
            _ => self.unexpected("a size such as `2GiB`"),
        }
    }
}
