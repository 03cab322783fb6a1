//! Interim.
use crate::rules::eval::{Host, Run};
use crate::rules::program::{Message, RuleBody};
use crate::window::spec::Coverage;
pub(super) struct C {
    pub text: String,
    pub value: String,
    pub threshold: Option<String>,
    pub coverage: Coverage,
}
pub(super) trait Explain {
    fn explain(&mut self, body: &RuleBody) -> Vec<C>;
    fn render(&mut self, message: &Message) -> String;
    fn missing(&mut self, body: &RuleBody) -> Vec<String>;
    fn coverage(&mut self, body: &RuleBody) -> Coverage;
}
impl<H: Host> Explain for Run<'_, H> {
    fn explain(&mut self, _: &RuleBody) -> Vec<C> {
        Vec::new()
    }
    fn render(&mut self, _: &Message) -> String {
        String::new()
    }
    fn missing(&mut self, _: &RuleBody) -> Vec<String> {
        Vec::new()
    }
    fn coverage(&mut self, _: &RuleBody) -> Coverage {
        Coverage::Complete
    }
}
