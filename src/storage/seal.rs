//! The seal of a JSON document: the digest in it that vouches for the document itself.
//!
//! It is the SHA-256 of the file with the seal's own 64 digits written as zeros, so it covers every byte, also of
//! fields that a later version adds. It tells damage and careless edits; whoever can write the output can seal
//! anew, as they can replace everything else.

use super::digest::FileDigest;

const DIGITS: usize = 64;

/// Adds the seal, a field of the given name, to a JSON object that was written indented and without final newline.
///
/// # Panics
/// If the text is no JSON object with fields.
#[must_use]
pub fn sealed(field: &str, object: &str) -> Vec<u8> {
    let fields = object.strip_suffix("\n}").expect("an indented JSON object");
    let mut json =
        format!("{fields},\n  \"{field}\": \"{zeros}\"\n}}\n", zeros = "0".repeat(DIGITS)).into_bytes();
    let digits = place_of(field, &json).expect("the seal that was just added");
    let digest = FileDigest::of(&json).to_string();
    json[digits..digits + DIGITS].copy_from_slice(digest.as_bytes());
    json
}

/// Says whether the file is as it was sealed.
#[must_use]
pub fn holds(field: &str, json: &[u8]) -> bool {
    let Some(digits) = place_of(field, json) else { return false };
    let mut zeroed = json.to_vec();
    zeroed[digits..digits + DIGITS].fill(b'0');
    json[digits..digits + DIGITS] == *FileDigest::of(&zeroed).to_string().as_bytes()
}

/// Finds the digits of the last seal, which is the only one unless a text imitates it.
fn place_of(field: &str, json: &[u8]) -> Option<usize> {
    let opening = format!("\"{field}\": \"");
    let last = json.windows(opening.len()).rposition(|window| window == opening.as_bytes())?;
    let digits = last + opening.len();
    (json.len() >= digits + DIGITS).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_sealed() {
        let json = sealed("seal", "{\n  \"pages\": 30\n}");
        assert!(holds("seal", &json));
        assert!(serde_json::from_slice::<serde_json::Value>(&json).unwrap()["seal"].is_string());
        for at in 0..json.len() {
            let mut damaged = json.clone();
            damaged[at] ^= 1;
            assert!(!holds("seal", &damaged), "byte {at}");
            assert!(!holds("seal", &json[..at]), "cut at {at}");
        }
        assert!(!holds("seal", b"") && !holds("seal", &[&json[..], b" "].concat()));
    }
}
