//! What recipes declare for engines that cannot be run here, as a parser of their dialects reads it.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::python::Python;

#[test]
fn recipes_that_cannot_be_run_parse_and_declare_what_the_others_do() {
    let Some(python) = Python::for_test("parsing the recipes of other warehouses") else { return };
    let home = TempDir::new().expect("a folder");
    let found = python.json("warehouse/declarations.py", home.path(), [""; 0], &[]);
    let reference = &found["postgres"]["tables"];
    assert_eq!(found["postgres"]["unread"], json!([]));

    let expected = [
        ("athena", &[("guest_summary", "guest_counts"), ("guest_roster", "guest_roster")][..]),
        ("redshift", &[("guest_counts", "guest_counts"), ("guest_roster", "guest_roster")]),
        ("snowflake", &[("published_summary", "guest_counts"), ("published_roster", "guest_roster")]),
        ("bigquery", &[("published_summary", "guest_counts"), ("guest_roster", "guest_roster")]),
    ];
    for (dialect, tables) in expected {
        for (table, of) in tables {
            let mut columns = found[dialect]["tables"][table].clone();
            // Partition keys are strings, or a network loses its zero.
            for key in ["period", "network"] {
                let kind = columns.as_object_mut().expect("a table").remove(key);
                assert!(kind.is_none_or(|kind| kind == "text"), "{dialect}: {table}.{key}");
            }
            assert_eq!(columns, reference[of], "{dialect}: {table}");
        }
        let views = found[dialect]["views"].as_array().expect("a list");
        assert!(views.contains(&Value::from("guest_counts_current")), "{dialect}: {views:?}");
    }
    for dialect in ["redshift", "snowflake", "bigquery"] {
        for table in ["guest_counts", "guest_roster"] {
            assert_eq!(found[dialect]["tables"][table], reference[table], "{dialect}: {table}");
        }
    }
    for table in ["guest_counts", "guest_roster"] {
        let keys = ["period", "network"].map(|key| found["athena"]["tables"][table][key].clone());
        assert_eq!(keys, ["text", "text"], "{table}");
    }
    assert_eq!(found["snowflake"]["tables"]["published_roster"]["network"], "text");
    // Redshift reads those of athena.sql.
    for (dialect, table) in [("athena", "guest_manifest_lines"), ("bigquery", "published_manifest_lines")] {
        assert_eq!(found[dialect]["tables"][table], json!({"line": "text"}), "{dialect}");
    }
    let mut manifest = found["snowflake"]["tables"]["published_manifest"].clone();
    assert_eq!(manifest.as_object_mut().expect("a table").remove("rosters_purged_at"), Some("text".into()));
    let mut state = found["postgres"]["tables"]["load_state"].clone();
    state.as_object_mut().expect("a table").remove("loaded_at");
    assert_eq!(manifest, state, "a revision, as it is published and as it is loaded");

    // These the parser does not know; the README names them as neither run nor parsed.
    let unread = |dialect: &str| found[dialect]["unread"].clone();
    assert_eq!(unread("athena"), json!(["MSCK REPAIR TABLE", "MSCK REPAIR TABLE"]));
    assert_eq!(unread("redshift"), json!(["CREATE EXTERNAL SCHEMA", "LOCK load_state"]));
    assert_eq!(unread("snowflake"), json!(vec!["ALTER EXTERNAL TABLE"; 3]));
    assert_eq!(unread("bigquery"), json!(["CREATE EXTERNAL TABLE"]));
}
