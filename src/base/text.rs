//! Small things about texts for people that several layers write.

/// A number with its noun: `1 record`, `2 records`.
pub fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A text as it may stand between and inside of tags, of HTML and of XML alike. `other` writes every character that has no
/// meaning in both.
pub fn escaped(text: &str, other: impl Fn(char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => other(letter, &mut out),
        }
    }
    out
}

/// Whether a character shows as nothing or reorders what is shown, so that a reader does not see what the machine reads. Line
/// breaks, tabs and the joiners of scripts that need them are none.
pub fn is_invisible(c: char) -> bool {
    let control = c.is_control() && !matches!(c, '\t' | '\n' | '\r');
    control
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}' | '\u{ad}' | '\u{34f}' | '\u{180e}')
        // Letters that are there to show nothing, notes between lines, and tags: a whole text could hide in them.
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_none_and_many_are_plural() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "key")), ["0 keys", "1 key", "2 keys"]);
    }

    #[test]
    fn what_opens_or_closes_a_tag_or_an_attribute_is_escaped() {
        let plain = |letter: char, out: &mut String| out.push(letter);
        assert_eq!(escaped("a<b> & \"c\"", plain), "a&lt;b&gt; &amp; &quot;c&quot;");
    }
}
