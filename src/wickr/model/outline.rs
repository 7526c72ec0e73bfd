//! What an unexpected answer looks like: its keys, types and lengths, never its values.
//!
//! Described while it is read rather than from a tree of values: a tree takes up to a hundred times the memory
//! of its text, and whoever sends a shape that the API does not document may well mean to use that.

use std::fmt::{self, Write as _};

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::wickr::error::quotable;

/// How deep objects and lists are described.
const MAX_DEPTH: usize = 3;
/// How many keys of an object are named.
const MAX_KEYS: usize = 12;
/// How much of a key is shown, in characters.
const MAX_KEY_CHARACTERS: usize = 40;
/// How much of the description is kept, in characters.
const MAX_CHARACTERS: usize = 1000;

/// Describes JSON.
///
/// # Errors
/// The text is not JSON.
pub(super) fn outline(body: &[u8]) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Outline { depth: 0, text: &mut text }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    Ok(text)
}

/// Appends the description of one value.
struct Outline<'a> {
    depth: usize,
    text: &'a mut String,
}

impl Outline<'_> {
    fn say(self, words: fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.text.write_fmt(words);
    }
}

impl<'de> DeserializeSeed<'de> for Outline<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outline<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "any JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.say(format_args!("null"));
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.say(format_args!("boolean"));
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.say(format_args!("number"));
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.say(format_args!("number"));
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.say(format_args!("number"));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.say(format_args!("string({})", text.len()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut first = String::new();
        let mut count = 0_usize;
        if self.depth < MAX_DEPTH {
            let described = Outline { depth: self.depth + 1, text: &mut first };
            count += usize::from(items.next_element_seed(described)?.is_some());
        }
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        let of = if first.is_empty() { "" } else { " of " };
        self.say(format_args!("array({count}){of}{first}"));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let named = if self.depth < MAX_DEPTH { MAX_KEYS } else { 0 };
        let mut described = String::new();
        let mut count = 0_usize;
        while count < named
            && let Some(key) = fields.next_key::<String>()?
        {
            let comma = if count == 0 { "" } else { ", " };
            let key = quotable(&key.chars().take(MAX_KEY_CHARACTERS).collect::<String>(), &[]);
            let _ = write!(described, "{comma}{key}: ");
            fields.next_value_seed(Outline { depth: self.depth + 1, text: &mut described })?;
            count += 1;
        }
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            count += 1;
        }
        if self.depth < MAX_DEPTH {
            let more = if count > named { ", …" } else { "" };
            self.say(format_args!("{{{described}{more}}}"));
        } else {
            self.say(format_args!("object({count})"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(body: &str) -> String {
        outline(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_value_is_described_three_levels_deep_and_never_shown() {
        assert_eq!(
            described(r#"{"a": null, "b": [true, "secret"], "c": -1.5, "d": "é"}"#),
            "{a: null, b: array(2) of boolean, c: number, d: string(2)}"
        );
        assert_eq!(described("[[[[[1]]]]]"), "array(1) of array(1) of array(1) of array(1)");
        assert_eq!(described(r#"{"a": {"b": {"c": {"d": 1, "e": 2}}}}"#), "{a: {b: {c: object(2)}}}");
        assert_eq!(described("[]"), "array(0)");
        assert_eq!(described(r#"{"a": 1, "a": []}"#), "{a: number, a: array(0)}");
    }

    #[test]
    fn keys_are_bounded_in_number_and_length_and_on_one_line() {
        let many: Vec<_> = (0..1000).map(|key| format!("\"k{key}\": 1")).collect();
        let outline = described(&format!("{{{}}}", many.join(",")));
        assert!(outline.ends_with("k11: number, …}"), "{outline}");
        let long = described(&format!("{{\"{}\": 1, \"\\n\": 1}}", "k".repeat(1000)));
        assert_eq!(long, format!("{{{}: number, \\n: number}}", "k".repeat(40)));
        let wide = |value: &str| {
            let keys: Vec<_> = (0..12).map(|key| format!("\"é{key}\": {value}")).collect();
            format!("{{{}}}", keys.join(","))
        };
        let outline = described(&wide(&wide(&wide("1"))));
        assert_eq!(outline.chars().count(), MAX_CHARACTERS + 1);
    }

    #[test]
    fn depth_without_end_is_described_and_overflows_nothing() {
        let deep = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(described(&deep(1_000_000)), "array(1) of array(1) of array(1) of array(1)");
        assert!(outline("[".repeat(1_000_000).as_bytes()).unwrap_err().is_eof());
    }

    #[test]
    fn what_is_no_json_or_more_than_one_value_is_an_error() {
        for body in ["", "{} {}", "{]", "1e999", "\"\u{0}\""] {
            assert!(outline(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
