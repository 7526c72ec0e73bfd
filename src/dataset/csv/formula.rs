//! The formula guard: which texts a spreadsheet would run, and how they are neutralised and restored.
//!
//! Guests choose their usernames and finance opens the CSV. A dangerous text gets one leading apostrophe. The
//! guard is exactly reversible, because apostrophes that the text already begins with do not hide the danger
//! behind them: `=1` becomes `'=1`, and a guest called `'=1` becomes `''=1`. So taking one apostrophe from a
//! text that was dangerous without it always gives the original, and `'tHooft` is left alone.

use super::super::schema;

/// The guard of one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormulaGuard {
    exact_hashes: bool,
}

/// A text that the guard would have changed stands unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unguarded;

impl FormulaGuard {
    /// Returns the guard of a column. Hashes of the usual alphabets stay exact, so that they can be joined.
    pub(super) fn of_column(name: &str) -> Self {
        Self { exact_hashes: name == schema::USERNAME_HASH }
    }

    /// Says whether the text must be written with one more apostrophe in front.
    pub(super) fn guards(self, text: &str) -> bool {
        would_run(text.trim_start_matches('\'')) && !(self.exact_hashes && text.bytes().all(is_hash_byte))
    }

    /// Returns the text that was written as `cell`.
    ///
    /// # Errors
    /// [`Unguarded`] if the guard never writes this cell.
    pub(super) fn undo(self, cell: &str) -> Result<&str, Unguarded> {
        match cell.strip_prefix('\'') {
            Some(text) if self.guards(text) => Ok(text),
            _ if self.guards(cell) => Err(Unguarded),
            _ => Ok(cell),
        }
    }
}

fn is_hash_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-')
}

/// Says whether a spreadsheet may run the text (OWASP, "CSV Injection"; ASVS 1.2.10): it begins with a control
/// character such as a tab or a line break, or with a formula's first character in any width, also behind
/// blanks and invisible characters, which some programs trim.
fn would_run(text: &str) -> bool {
    // Nearly all texts begin so, and nothing is trimmed from them.
    if text.as_bytes().first().is_none_or(u8::is_ascii_alphanumeric) {
        return false;
    }
    text.starts_with(char::is_control) || text.trim_start_matches(is_skipped).starts_with(begins_formula)
}

fn is_skipped(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

fn begins_formula(character: char) -> bool {
    matches!(
        character,
        '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠' | '﹦' | '﹢' | '﹣' | '﹫' | '\u{2212}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name() -> FormulaGuard {
        FormulaGuard::of_column(schema::USERNAME)
    }

    fn hash() -> FormulaGuard {
        FormulaGuard::of_column(schema::USERNAME_HASH)
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_guarded() {
        for text in [
            "=1+1",
            "=HYPERLINK(\"http://evil\",\"x\")",
            "+1",
            "-1",
            "-",
            "@SUM(A1)",
            "\tann",
            "\rann",
            "\nann",
            "\0ann",
            " =1",
            "\u{A0}=1",
            "\u{200B}=1",
            "\u{FEFF}=1",
            "\r\n=1",
            " \t +1",
            "＝1",
            "＋1",
            "－1",
            "＠x",
            "\u{2212}1",
            "'=1",
            "''=1",
            "'\t",
        ] {
            assert!(name().guards(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_only_text_stays_as_it_is() {
        for text in [
            "",
            "'",
            "''",
            " ",
            "ann",
            "ann@example.com",
            "a=1",
            "'tHooft",
            "2026-10",
            "1+1",
            "é=1",
            "\"=1\"",
            "a\n=1",
        ] {
            assert!(!name().guards(text), "{text:?}");
            assert_eq!(name().undo(text), Ok(text));
        }
    }

    #[test]
    fn hashes_of_the_usual_alphabets_stay_exact_and_others_are_guarded() {
        for text in ["+aB3/=", "-abc_", "=abc", "==", "deadbeef"] {
            assert!(!hash().guards(text), "{text:?}");
            assert_eq!(hash().undo(text), Ok(text));
        }
        for text in ["=cmd|'/c calc'!A1", "=1 ", "@abc", "+é", "'=abc"] {
            assert!(hash().guards(text), "{text:?}");
        }
    }

    #[test]
    fn a_cell_that_the_guard_never_writes_is_refused() {
        assert_eq!(name().undo("=1"), Err(Unguarded));
        assert_eq!(name().undo("'=1"), Ok("=1"));
        assert_eq!(name().undo("''=1"), Ok("'=1"));
        assert_eq!(hash().undo("'=abc"), Err(Unguarded), "`=abc` is exact and `'=abc` takes one more");
    }

    proptest! {
        #[test]
        fn the_guard_is_exactly_reversible(text in "('|=|\\+|@|\t|\n| |\u{200B}|a|é|!|\"){0,6}") {
            for guard in [name(), hash()] {
                let cell = if guard.guards(&text) { format!("'{text}") } else { text.clone() };
                let exact = guard.exact_hashes && cell.bytes().all(is_hash_byte);
                prop_assert!(exact || !would_run(&cell));
                prop_assert_eq!(guard.undo(&cell), Ok(text.as_str()));
            }
        }
    }
}
