//! Sealed documents: sealed anew after every mutation, and edited field by field.

use serde_json::{Map, Value};
use wickr_guest_export::storage::seal;

/// Seals an object, whatever seal it had.
pub(super) fn sealed(seal_field: &str, mut fields: Map<String, Value>) -> Vec<u8> {
    fields.remove(seal_field);
    if fields.is_empty() {
        fields.insert("empty".to_owned(), Value::Null);
    }
    let text = serde_json::to_string_pretty(&fields).expect("an object has a JSON form");
    let sealed = seal::sealed(seal_field, &text);
    assert!(seal::holds(seal_field, &sealed));
    sealed
}

/// Asserts that the seal covers a byte, which the data picks.
pub(super) fn assert_sealed(seal_field: &str, sealed: &[u8], data: &[u8]) {
    let sum = data.iter().fold(data.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    let at = sum % sealed.len();
    let mut altered = sealed.to_vec();
    altered[at] ^= 1;
    assert!(!seal::holds(seal_field, &altered), "byte {at} is not sealed");
}

/// Edits a document: deeper than bytes that change would get.
///
/// Each edit is three bytes: which field, what becomes of it, and which of the values.
pub(super) fn edited(original: &str, edits: &[u8], value_of: fn(u8) -> Value) -> Map<String, Value> {
    let original: Value = serde_json::from_str(original).expect("a document");
    let mut pointers = Vec::new();
    list_pointers(&original, "", &mut pointers);
    let mut edited = original.clone();
    for edit in edits.chunks_exact(3).take(8) {
        let pointer = &pointers[usize::from(edit[0]) % pointers.len()];
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        match edit[1] % 4 {
            0 => match edited.pointer_mut(parent) {
                Some(Value::Object(fields)) => drop(fields.remove(name)),
                Some(Value::Array(items)) => drop(items.pop()),
                _ => {}
            },
            1 => {
                let other = &pointers[usize::from(edit[2]) % pointers.len()];
                let other = original.pointer(other).expect("a pointer of the document").clone();
                replace(&mut edited, pointer, other);
            }
            2 => replace(&mut edited, pointer, value_of(edit[2])),
            _ => {
                if let Some(Value::Array(items)) = edited.pointer_mut(parent) {
                    items.extend(original.pointer(pointer).cloned());
                }
            }
        }
    }
    match edited {
        Value::Object(fields) => fields,
        _ => panic!("the document is an object, and no edit replaces it as a whole"),
    }
}

fn replace(value: &mut Value, pointer: &str, other: Value) {
    if let Some(field) = value.pointer_mut(pointer) {
        *field = other;
    }
}

fn list_pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| (format!("{at}/{name}"), field)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (format!("{at}/{index}"), item)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (pointer, child) in children {
        list_pointers(child, &pointer, all);
        all.push(pointer);
    }
}
