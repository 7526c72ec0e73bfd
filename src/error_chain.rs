//! An error with all its causes on one line, for log fields and summaries.
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
