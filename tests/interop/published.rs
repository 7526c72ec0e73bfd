//! What must be published, and the check that every reader of the output sees exactly that.
//!
//! The CSV is not byte for byte the roster: cells that a spreadsheet would run are guarded. The rule is stated
//! here once more, from outside, and not taken from the exporter.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::python::Python;

/// Username by username hash.
pub(crate) type Roster = BTreeMap<String, String>;

/// The rosters that the output must hold, by period and network, and nothing besides.
#[derive(Default)]
pub(crate) struct Expected(pub(crate) BTreeMap<(String, String), Roster>);

impl Expected {
    /// Reads a roster as the scripts print it: `[{username_hash, username}]`.
    pub(crate) fn insert(&mut self, network: &str, period: &str, guests: &Value) {
        let text = |guest: &Value, field: &str| guest[field].as_str().expect("a string").to_owned();
        let guests = guests.as_array().expect("a list of guests");
        let roster = guests.iter().map(|guest| (text(guest, "username_hash"), text(guest, "username")));
        self.0.insert((period.to_owned(), network.to_owned()), roster.collect());
    }

    /// Demands that every engine reads every dataset below `output` as one table with exactly these rows.
    pub(crate) fn assert_published(&self, python: &Python, home: &Path, output: &Path) {
        let seen = python.json("readers.py", home, [output], &[]);
        let exact = |column: &str, row: &Value, cell: &Value| row[column] == *cell;

        let roster = self.roster_rows();
        let counts = self.count_rows();
        for (engine, rows) in engines(&seen["guest_roster"]) {
            if engine.contains("csv") {
                assert_rows(engine, &roster, rows, |column, row, cell| read_back(column, &row[column], cell));
            } else {
                assert_rows(engine, &roster, rows, exact);
            }
        }
        for (engine, rows) in engines(&seen["guest_counts"]) {
            assert_rows(engine, &counts, rows, |column, row, cell| {
                exact(column, row, cell)
                    || (engine == "csv module" && cell.as_str() == Some(row[column].to_string().as_str()))
            });
        }
        self.assert_summary(&seen["summary"]);
    }

    /// The summary must say the same in every engine, and one line for each roster, with its count.
    fn assert_summary(&self, summary: &Value) {
        let reference = summary["pyarrow"].as_array().expect("pyarrow reads the summary");
        for (engine, rows) in engines(summary) {
            if engine == "csv module" {
                assert_eq!(rows.len(), reference.len(), "{engine}");
                continue;
            }
            assert_rows(engine, reference, rows, |column, row, cell| {
                row[column] == *cell || (engine == "duckdb csv" && read_back(column, &row[column], cell))
            });
        }
        let columns = ["billing_period", "network_id", "guest_count", "status"];
        let told = reference.iter().map(|row| columns.map(|column| row[column].clone())).collect::<Vec<_>>();
        let counts = self
            .count_rows()
            .into_iter()
            .map(|row| ["billing_period", "network_id", "guest_count"].map(|column| row[column].clone()));
        let expected = counts.map(|[period, network, count]| [period, network, count, json!("published")]);
        assert_eq!(told, expected.collect::<Vec<_>>());
    }

    fn roster_rows(&self) -> Vec<Value> {
        let rows = self.0.iter().flat_map(|((period, network), roster)| {
            roster.iter().map(move |(username_hash, username)| {
                json!({"billing_period": period, "network_id": network,
                       "username_hash": username_hash, "username": username})
            })
        });
        rows.collect()
    }

    fn count_rows(&self) -> Vec<Value> {
        let rows = self.0.iter().map(|((period, network), roster)| {
            json!({"billing_period": period, "network_id": network, "guest_count": roster.len()})
        });
        rows.collect()
    }
}

fn engines(dataset: &Value) -> impl Iterator<Item = (&str, &Vec<Value>)> {
    let engines = dataset.as_object().expect("rows by engine");
    assert_eq!(engines.len(), 8, "three engines in two ways each, and two readers of CSV");
    engines.iter().map(|(engine, rows)| (engine.as_str(), rows.as_array().expect("rows")))
}

/// Compares row by row, so that a failure shows one row and not thousands.
fn assert_rows(
    engine: &str,
    expected: &[Value],
    seen: &[Value],
    same: impl Fn(&str, &Value, &Value) -> bool,
) {
    for (expected, seen) in expected.iter().zip(seen) {
        let (row, cells) = (expected, seen.as_object().expect("a row"));
        assert_eq!(
            row.as_object().map(serde_json::Map::len),
            Some(cells.len()),
            "{engine}: columns of {seen}"
        );
        for (column, cell) in cells {
            assert!(same(column, row, cell), "{engine}: {column} of {seen}, where {row} is right");
        }
    }
    assert_eq!(seen.len(), expected.len(), "{engine}: number of rows");
}

/// Says whether a CSV cell shows a value: exactly, or behind an apostrophe where a spreadsheet would run it.
fn read_back(column: &str, value: &Value, cell: &Value) -> bool {
    let (Some(value), Some(cell)) = (value.as_str(), cell.as_str()) else { return value == cell };
    let opaque = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    let exact_hash = column == "username_hash" && value.chars().all(opaque);
    let runs = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let harmless = value.chars().next().is_none_or(char::is_alphanumeric);
    if exact_hash || harmless {
        cell == value
    } else if runs {
        cell.strip_prefix('\'') == Some(value)
    } else {
        cell == value || cell.strip_prefix('\'') == Some(value)
    }
}
