//! The columns of every dataset, and which column types a dataset may have at all.
//!
//! Only four types are allowed, none of them dictionary-encoded in memory, because pyarrow, `DuckDB`, Polars and
//! Spark read exactly these without a conversion. The partition keys of the paths are called `period` and
//! `network`; no column is, so that no engine ever sees one name twice.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error_chain::excerpt;
use crate::guest::NetworkId;
use crate::period::BillingPeriod;

/// The column with the month, such as `2026-10`.
pub const BILLING_PERIOD: &str = "billing_period";
/// The column with the network's eight digits.
pub const NETWORK_ID: &str = "network_id";
/// The column with the identity that is counted, or its pseudonym.
pub const USERNAME_HASH: &str = "username_hash";
/// The column with the guest's name, null in pseudonymous rosters.
pub const USERNAME: &str = "username";
/// The column with the number of distinct guests.
pub const GUEST_COUNT: &str = "guest_count";

/// Why rows are not what a dataset holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The columns are others, or in another order, or of another type.
    #[error("expected the columns {expected}, found {found}")]
    Columns {
        /// The columns that the dataset has.
        expected: String,
        /// The columns that were found.
        found: String,
    },
    /// A column has a type that datasets do not use.
    #[error("the column `{column}` is of type {data_type}; use Utf8, Int64, Boolean or Timestamp(us, UTC)")]
    UnsupportedType {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// A column that was to be sorted by does not exist.
    #[error("there is no column `{0}` to sort by")]
    NoSuchColumn(String),
}

/// Returns the schema of `guest_roster`: one row a guest, sorted bytewise by `username_hash`.
#[must_use]
pub fn guest_roster() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new(BILLING_PERIOD, DataType::Utf8, false),
            Field::new(NETWORK_ID, DataType::Utf8, false),
            Field::new(USERNAME_HASH, DataType::Utf8, false),
            Field::new(USERNAME, DataType::Utf8, true),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Returns the schema of `guest_counts`: one row a period and network, with nothing that a clock decides.
#[must_use]
pub fn guest_counts() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        Arc::new(Schema::new(vec![
            Field::new(BILLING_PERIOD, DataType::Utf8, false),
            Field::new(NETWORK_ID, DataType::Utf8, false),
            Field::new(GUEST_COUNT, DataType::Int64, false),
        ]))
    });
    Arc::clone(&SCHEMA)
}

/// Makes the one row of `guest_counts`.
///
/// # Panics
/// If there are more guests than an `i64` counts.
#[must_use]
pub fn guest_counts_batch(period: BillingPeriod, network: NetworkId, guests: u64) -> RecordBatch {
    let guests = i64::try_from(guests).expect("fewer guests than 2^63");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values([period.to_string()])),
        Arc::new(StringArray::from_iter_values([network.as_str()])),
        Arc::new(Int64Array::from(vec![guests])),
    ];
    RecordBatch::try_new(guest_counts(), columns).expect("the columns of guest_counts")
}

/// Returns the type of all timestamps: microseconds in UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A column type that datasets use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    Integer,
    Boolean,
    Timestamp,
}

/// Names the type of every column.
///
/// # Errors
/// [`SchemaError::UnsupportedType`] for the first column of another type.
pub(super) fn column_types(schema: &Schema) -> Result<Vec<ColumnType>, SchemaError> {
    let column_type = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Ok(ColumnType::Text),
        DataType::Int64 => Ok(ColumnType::Integer),
        DataType::Boolean => Ok(ColumnType::Boolean),
        other if *other == timestamp() => Ok(ColumnType::Timestamp),
        other => Err(SchemaError::UnsupportedType { column: field.name().clone(), data_type: other.clone() }),
    };
    schema.fields().iter().map(column_type).collect()
}

/// Holds the found columns against the expected ones: names, order, types and nullability.
///
/// # Errors
/// [`SchemaError::Columns`] with both, if they differ.
pub(super) fn require(expected: &Schema, found: &Schema) -> Result<(), SchemaError> {
    let shape = |field: &Arc<Field>| (field.name().clone(), field.data_type().clone(), field.is_nullable());
    if expected.fields().iter().map(shape).eq(found.fields().iter().map(shape)) {
        return Ok(());
    }
    Err(SchemaError::Columns { expected: described(expected), found: described(found) })
}

/// Returns a text column of a batch whose schema has been required.
pub(super) fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> &'a StringArray {
    let column = batch.column_by_name(name).expect("a column of the schema that was required");
    column.as_any().downcast_ref().expect("a text column of the schema that was required")
}

/// Describes columns, those of a damaged file too.
fn described(schema: &Schema) -> String {
    let column = |field: &Arc<Field>| {
        let nullable = if field.is_nullable() { ", nullable" } else { "" };
        format!("{} ({}{nullable})", field.name(), field.data_type())
    };
    excerpt(&schema.fields().iter().map(column).collect::<Vec<_>>().join(", "), 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_column_has_the_name_of_a_partition_key() {
        for schema in [guest_roster(), guest_counts()] {
            assert!(
                schema.fields().iter().all(|field| !["period", "network"].contains(&field.name().as_str()))
            );
            assert!(column_types(&schema).is_ok());
        }
    }

    #[test]
    fn only_the_username_may_be_null() {
        let roster = guest_roster();
        let nullable: Vec<_> = roster.fields().iter().filter(|field| field.is_nullable()).collect();
        assert_eq!(nullable.len(), 1);
        assert_eq!(nullable[0].name(), USERNAME);
        assert!(guest_counts().fields().iter().all(|field| !field.is_nullable()));
    }

    #[test]
    fn the_counts_row_keeps_leading_zeros() {
        let batch = guest_counts_batch("2026-10".parse().unwrap(), "01234567".parse().unwrap(), 3000);
        let network = batch.column(1).as_any().downcast_ref::<StringArray>().unwrap();
        let count = batch.column(2).as_any().downcast_ref::<Int64Array>().unwrap();
        assert_eq!((network.value(0), count.value(0)), ("01234567", 3000));
    }

    #[test]
    fn a_difference_in_name_order_type_or_nullability_is_refused() {
        let expected = guest_counts();
        let swapped = expected.project(&[1, 0, 2]).unwrap();
        let fewer = expected.project(&[0, 1]).unwrap();
        let nullable = Schema::new(vec![
            Field::new(BILLING_PERIOD, DataType::Utf8, false),
            Field::new(NETWORK_ID, DataType::Utf8, false),
            Field::new(GUEST_COUNT, DataType::Int64, true),
        ]);
        assert_eq!(require(&expected, &expected.clone()), Ok(()));
        for other in [&swapped, &fewer, &nullable] {
            assert!(matches!(require(&expected, other), Err(SchemaError::Columns { .. })));
        }
        let foreign = Schema::new(vec![Field::new("a\nb".repeat(1000), DataType::Utf8, false)]);
        let error = require(&expected, &foreign).unwrap_err().to_string();
        assert!(error.contains("found a\\nba\\nb") && error.len() < 2000, "{error}");
        let error = require(&expected, &nullable).unwrap_err().to_string();
        assert!(error.contains("guest_count (Int64, nullable)"), "{error}");
    }

    #[test]
    fn other_column_types_are_refused_by_name() {
        let wide = Schema::new(vec![Field::new("name", DataType::LargeUtf8, false)]);
        let error = column_types(&wide).unwrap_err().to_string();
        assert!(error.contains("`name` is of type LargeUtf8"), "{error}");
        let local = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert!(column_types(&Schema::new(vec![Field::new("at", local, false)])).is_err());
        assert!(column_types(&Schema::new(vec![Field::new("at", timestamp(), false)])).is_ok());
    }
}
