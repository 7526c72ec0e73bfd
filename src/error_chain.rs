//! An error with all its causes on one line, for log fields and summaries, and texts of others fit to stand in it.
//!
//! What the program itself ends with is printed by `anyhow` in the same form; this is for errors that are part
//! of a result.

use std::error::Error;

/// Writes an error and its causes, outermost first, separated by colons.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// Makes a text of unknown origin fit to be quoted: at most so many of its characters, and all on one line.
#[must_use]
pub fn excerpt(text: &str, most_characters: usize) -> String {
    let mut quoted = String::new();
    for character in text.chars().take(most_characters) {
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    if text.chars().nth(most_characters).is_some() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_bounded_and_on_one_line() {
        assert_eq!(excerpt("a\r\nb\u{1b}[2J\u{85}", 10), "a\\r\\nb\\u{1b}[2J\\u{85}");
        assert_eq!(excerpt("Zoë", 3), "Zoë");
        assert_eq!(excerpt(&"é".repeat(1000), 300), format!("{}…", "é".repeat(300)));
    }
}
