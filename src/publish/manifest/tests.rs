//! Manifests as they are written, read back, and held against the schema that others read them by.

use serde_json::{Value, json};

use super::*;
use crate::publish::fixture::{Sample, local, task};

async fn written(sample: &Sample) -> Manifest {
    let root = tempfile::tempdir().unwrap();
    sample.run(local(root.path())).await.unwrap().manifest.manifest().clone()
}

fn schema() -> jsonschema::Validator {
    let text = include_str!("../../../deploy/manifest.schema.json");
    jsonschema::validator_for(&serde_json::from_str(text).unwrap()).unwrap()
}

fn as_value(manifest: &Manifest) -> Value {
    serde_json::from_slice(&manifest.to_json()).unwrap()
}

/// Lists the pointer of every field, arrays by their first item.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (format!("{at}/{name}"), child)).collect(),
        Value::Array(items) => items.first().map(|item| (format!("{at}/0"), item)).into_iter().collect(),
        _ => Vec::new(),
    };
    for (pointer, child) in children {
        pointers(child, &pointer, all);
        all.push(pointer);
    }
}

#[tokio::test]
async fn a_manifest_reads_as_documented() {
    let manifest = written(&Sample::new(0..250)).await;
    let json = String::from_utf8(manifest.to_json()).unwrap();
    insta::with_settings!({filters => vec![
        (r"r000001-[0-9a-f]{8}", "r000001-[nonce]"),
        (r"[0-9a-f]{64}", "[sha256]"),
        (r#""bytes": \d+"#, r#""bytes": [bytes]"#),
    ]}, { insta::assert_snapshot!(json) });
}

#[tokio::test]
async fn every_manifest_fits_the_schema_and_reads_back_as_it_was() {
    let schema = schema();
    let sample = Sample::new(0..25);
    for sample in [
        sample.clone(),
        Sample { mode: RosterKind::None, ..sample.clone() },
        Sample { mode: RosterKind::Pseudonymous, formats: vec![Format::Parquet], ..sample.clone() },
        Sample { source: SourceKind::Simulator, state: PeriodState::Open, ..sample },
    ] {
        let manifest = written(&sample).await;
        let value = as_value(&manifest);
        let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(Manifest::parse(&manifest.to_json(), sample.task).unwrap(), manifest);
    }
}

#[tokio::test]
async fn a_purge_is_a_fact_that_schema_and_program_know_alike() {
    let manifest = written(&Sample::new(0..25)).await;
    let purged = Manifest { rosters_purged_at: Some(manifest.checked_at), ..manifest.clone() };
    let without_records = purged.present_files().cloned().collect::<Vec<_>>();
    assert_eq!((manifest.present_files().count(), without_records.len()), (4, 2));
    assert!(manifest.has_rosters() && !purged.has_rosters());
    let restated = Manifest { files: without_records, ..purged.clone() };
    for purged in [&purged, &restated] {
        assert!(schema().is_valid(&as_value(purged)));
        assert_eq!(Manifest::parse(&purged.to_json(), purged.task()).as_ref(), Ok(purged));
    }
    // Rosters cannot be missing without a purge, nor be purged at no time.
    let missing = Manifest { rosters_purged_at: None, ..restated };
    assert!(Manifest::parse(&missing.to_json(), missing.task()).is_err());
    for wrong in [json!("never"), json!(true)] {
        let mut value = as_value(&purged);
        value["rosters_purged_at"] = wrong;
        assert!(!schema().is_valid(&value));
        assert!(Manifest::parse(value.to_string().as_bytes(), purged.task()).is_err());
    }
}

#[tokio::test]
async fn the_schema_misses_every_field_and_refuses_every_other_type() {
    let root = tempfile::tempdir().unwrap();
    Sample::new(0..25).run(local(root.path())).await.unwrap();
    // A restatement has changes, so that no field is null by chance.
    let outcome = Sample::new(0..26).run(local(root.path())).await.unwrap();
    let value = as_value(outcome.manifest.manifest());
    let schema = schema();
    let mut all = Vec::new();
    pointers(&value, "", &mut all);
    assert!(all.len() > 50);
    for pointer in all {
        let mut retyped = value.clone();
        let field = retyped.pointer_mut(&pointer).unwrap();
        *field = if field.is_array() { json!({}) } else { json!([]) };
        assert!(!schema.is_valid(&retyped), "{pointer} of another type");

        let mut without = value.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if let Some(fields) = without.pointer_mut(parent).and_then(Value::as_object_mut) {
            fields.remove(name).unwrap();
            assert!(!schema.is_valid(&without), "{pointer} missing");
        }
    }
}

#[tokio::test]
async fn what_the_program_refuses_about_evidence_the_schema_refuses_too() {
    let value = as_value(&written(&Sample::new(0..25)).await);
    for (pointer, other) in [
        ("/counts/confirmed_by", json!(null)),
        ("/counts/reconciliation", json!("unavailable")),
        ("/roster/mode", json!("pseudonymous")),
        ("/roster/key_id", json!("0123456789abcdef")),
        ("/files/0/path", json!("../../etc/passwd")),
    ] {
        let mut edited = value.clone();
        *edited.pointer_mut(pointer).unwrap() = other;
        assert!(!schema().is_valid(&edited), "{pointer}");
        assert!(
            Manifest::parse(edited.to_string().as_bytes(), task("12345678", "2026-10")).is_err(),
            "{pointer}"
        );
    }
}

#[tokio::test]
async fn a_manifest_is_believed_only_at_its_own_place_and_while_it_agrees_with_itself() {
    let manifest = written(&Sample::new(0..25)).await;
    let own = manifest.task();
    let json = manifest.to_json();
    assert!(Manifest::parse(&json, task("12345678", "2026-09")).is_err());
    assert!(Manifest::parse(&json, task("87654321", "2026-10")).is_err());
    assert!(Manifest::parse(b"", own).is_err() && Manifest::parse(b"{}", own).is_err());

    let value = as_value(&manifest);
    let other_revision = "revisions/period=2026-10/network=12345678/r000001-00000000/guest_roster.parquet";
    let other_task = "revisions/period=2026-09/network=12345678/r000001-00000000/guest_roster.parquet";
    for (pointer, other) in [
        ("/period_end", json!("2026-10-31T00:00:00Z")),
        ("/revision", json!(2)),
        ("/revision", json!(0)),
        ("/revision", json!(-1)),
        ("/content_sha256", json!("00")),
        ("/checked_at", json!("2026-11-05T05:59:59Z")),
        ("/checked_at", json!("+12026-11-05T06:00:00Z")),
        ("/csv", json!(null)),
        ("/counts/guests", json!(26)),
        ("/counts/guests", json!(u64::MAX)),
        ("/counts/api_guests", json!(26)),
        ("/counts/reconciliation", json!("mismatch")),
        ("/counts/confirmed_by", json!("accepted_zero")),
        ("/files", json!([])),
        ("/files/0", value["files"][1].clone()),
        ("/files/0/rows", json!(24)),
        ("/files/0/path", json!(other_revision)),
        ("/files/0/path", json!(other_task)),
        ("/files/0/path", json!("/etc/passwd")),
        ("/files/0/dataset", json!("guest_counts")),
        ("/files/0/format", json!("csv")),
    ] {
        let mut edited = value.clone();
        *edited.pointer_mut(pointer).unwrap() = other;
        assert!(Manifest::parse(edited.to_string().as_bytes(), own).is_err(), "{pointer}: {edited}");
    }
    let mut fewer = value.clone();
    fewer["files"].as_array_mut().unwrap().remove(0);
    assert!(Manifest::parse(fewer.to_string().as_bytes(), own).is_err());
}

#[tokio::test]
async fn later_versions_may_add_fields_but_not_change_the_form() {
    let manifest = written(&Sample::new(0..25)).await;
    let mut value = as_value(&manifest);
    value["added_later"] = json!({"by": "a newer version"});
    value["walk"]["added_later"] = json!(1);
    assert_eq!(Manifest::parse(value.to_string().as_bytes(), manifest.task()), Ok(manifest.clone()));
    assert!(schema().is_valid(&value));
    value["manifest_version"] = json!(2);
    let error = Manifest::parse(value.to_string().as_bytes(), manifest.task()).unwrap_err();
    assert_eq!(error, ManifestError::Version(2));
}

#[tokio::test]
async fn what_is_no_manifest_is_quoted_briefly_and_on_one_line() {
    let mut value = as_value(&written(&Sample::new(0..25)).await);
    value["source"]["kind"] = json!(format!("a\u{85}kind {}", "x".repeat(10_000)));
    let error = Manifest::parse(value.to_string().as_bytes(), task("12345678", "2026-10")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("a\\u{85}kind xxx") && text.len() < 400, "{text}");
}
