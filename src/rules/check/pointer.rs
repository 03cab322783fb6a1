//! JSON pointers (RFC 6901) in a schema.

use crate::diag::{Diagnostic, codes};
use crate::event::schema::Pointer;
use crate::rules::check::refusal::Refusal;
use crate::rules::syntax::ast::Text;

/// Splits and unescapes a pointer.
pub(super) fn parse(text: &Text) -> Result<Pointer, Refusal> {
    let refuse = |message: String, help: &str| {
        Err(Box::new(Diagnostic::new(codes::E0509, text.span, message).with_help(help)))
    };
    let Some(rest) = text.text.strip_prefix('/') else {
        let fixed = format!("\"/{}\"", text.text.replace('.', "/"));
        return refuse(
            format!("`{}` is not a JSON pointer: it does not begin with `/`", text.text),
            &format!("write {fixed}"),
        );
    };
    let mut parts = Vec::new();
    for part in rest.split('/') {
        if part.replace("~0", "").replace("~1", "").contains('~') {
            return refuse(
                format!("`~` stands alone in `{part}`"),
                "in a JSON pointer `~` is written `~0` and `/` inside a key `~1`",
            );
        }
        if part.is_empty() {
            return refuse(
                "this pointer has an empty key".to_owned(),
                "write one `/` before each key and none at the end",
            );
        }
        parts.push(part.replace("~1", "/").replace("~0", "~"));
    }
    Ok(Pointer(parts))
}

/// Where a field without `from` stands: its name, dots as nested keys.
pub(super) fn of_name(name: &str) -> Pointer {
    Pointer(name.split('.').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;

    #[track_caller]
    fn check(pointer: &str, expected: Option<&[&str]>) {
        let text = Text { text: pointer.to_owned(), span: Span::default() };
        let expected = expected.map(|parts| parts.iter().map(|&part| part.to_owned()).collect());
        assert_eq!(parse(&text).ok().map(|pointer| pointer.0), expected, "{pointer}");
    }

    #[test]
    fn a_pointer_is_split_and_unescaped() {
        check("/debtor/account", Some(&["debtor", "account"]));
        check("/a~1b/c~0d", Some(&["a/b", "c~d"]));
        check("/~01", Some(&["~1"]));
        check("amount", None);
        check("", None);
        check("/", None);
        check("/a//b", None);
        check("/a~2", None);
    }

    #[test]
    fn dots_of_a_name_are_nested_keys() {
        assert_eq!(of_name("merchant.id"), Pointer(vec!["merchant".into(), "id".into()]));
    }
}
