//! Parquet: rows to bytes with settings pinned in this one place, and back.
//!
//! Same rows, same version, same bytes. So nothing is left to a default that a library upgrade could move, and
//! the rows are cut into batches anew before they reach the writer, whose page boundaries depend on them.
//! Values are stored `PLAIN` in version 1 pages: hashes hold nothing for a cleverer encoding to find, zstd does
//! the rest, and every engine of the last ten years reads it. The Arrow schema is left out of the metadata: all
//! four column types survive without it, and it would tie the bytes to the Arrow library's serialisation.

mod announced;

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

use self::announced::BoundedPages;
use super::error::{ReadError, RowsError, WriteError};
use super::schema::{self, SchemaError};
use super::{BATCH_ROWS, Encoded};

/// The rows of every row group but the last.
pub const ROW_GROUP_ROWS: usize = 131_072;

/// The encoded bytes, give or take a batch, at which a row group ends early to bound memory: 256 for each row,
/// which only a roster of absurdly long names reaches. The row at which that is depends on the rows alone.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// The bytes of a page before compression, give or take a thousand rows: what is to be compressed is still in the
/// processor's cache, and a reader that looks for one guest unpacks no more than that.
const PAGE_BYTES: usize = 256 * 1024;

/// Who wrote the file, in the form that the Parquet format asks for and its readers parse.
const CREATED_BY: &str = concat!("wickr-guest-export version ", env!("CARGO_PKG_VERSION"));

/// The columns with few distinct values, which a dictionary shrinks to nothing. In any other column it would be
/// filled once and given up for `PLAIN`, at the cost of a megabyte.
const DICTIONARY_COLUMNS: [&str; 2] = [schema::BILLING_PERIOD, schema::NETWORK_ID];

/// Encodes the rows as one Parquet file. Holds one row group in memory at most.
///
/// `sorting_columns` names the columns that the rows are already sorted by, ascending and bytewise; it is
/// written into the metadata, not checked.
///
/// # Errors
/// [`WriteError`]; what was written until then is not a valid file.
pub fn write<E: Into<RowsError>>(
    schema: &SchemaRef,
    batches: impl IntoIterator<Item = Result<RecordBatch, E>>,
    sorting_columns: &[&str],
    out: impl Write + Send,
) -> Result<Encoded, WriteError> {
    schema::column_types(schema)?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties(schema, sorting_columns)?)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(out, Arc::clone(schema), options)?;
    let mut cutter = BatchCoalescer::new(Arc::clone(schema), BATCH_ROWS);
    let mut rows = 0;
    for batch in batches {
        let batch = batch.map_err(|error| WriteError::Rows(error.into()))?;
        schema::require(schema, &batch.schema())?;
        rows += batch.num_rows() as u64;
        // One that is cut right already need not be copied.
        if cutter.is_empty() && batch.num_rows() == BATCH_ROWS {
            writer.write(&batch)?;
            continue;
        }
        cutter.push_batch(batch)?;
        while let Some(batch) = cutter.next_completed_batch() {
            writer.write(&batch)?;
        }
    }
    cutter.finish_buffered_batch()?;
    while let Some(batch) = cutter.next_completed_batch() {
        writer.write(&batch)?;
    }
    // Not `into_inner`, which turns the `io::Error` of a full disk into a text.
    writer.finish()?;
    writer.inner_mut().flush()?;
    Ok(Encoded { rows, guarded_cells: 0 })
}

/// Every setting that decides a byte of the file.
fn properties(schema: &Schema, sorting_columns: &[&str]) -> Result<WriterProperties, SchemaError> {
    let sorting = sorting_columns
        .iter()
        .map(|name| {
            let index = schema.index_of(name).map_err(|_| SchemaError::NoSuchColumn((*name).to_owned()))?;
            let column_idx = i32::try_from(index).expect("a dataset has few columns");
            Ok(SortingColumn { column_idx, descending: false, nulls_first: false })
        })
        .collect::<Result<Vec<_>, SchemaError>>()?;
    // Hashes hold nothing for a longer search to find: the fastest level makes the smallest file, too.
    let zstd = ZstdLevel::try_new(1).expect("a level that zstd has");
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_write_batch_size(1024)
        .set_data_page_row_count_limit(20_000)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(1024 * 1024)
        .set_compression(Compression::ZSTD(zstd))
        .set_encoding(Encoding::PLAIN)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_write_page_header_statistics(false)
        .set_statistics_truncate_length(Some(64))
        .set_column_index_truncate_length(Some(64))
        .set_offset_index_disabled(false)
        .set_bloom_filter_enabled(false)
        .set_write_row_group_number_distinct_values(false)
        .set_write_path_in_schema(true)
        .set_content_defined_chunking(None)
        .set_coerce_types(false)
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting));
    // In no order, so that every page has nearly the same bounds: they would lead no reader anywhere.
    let username = ColumnPath::from(schema::USERNAME);
    properties = properties.set_column_statistics_enabled(username, EnabledStatistics::None);
    for column in DICTIONARY_COLUMNS {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), true);
    }
    Ok(properties.build())
}

/// Opens a Parquet file that must have exactly the columns of `schema`.
///
/// # Errors
/// [`ReadError`] if it cannot be read, is no intact Parquet file, or has other columns.
pub fn read(file: impl ChunkReader + 'static, schema: &SchemaRef) -> Result<ParquetBatches, ReadError> {
    let file_bytes = file.len();
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(BoundedPages(file), options)?;
    announced::check_rows(builder.metadata(), file_bytes)?;
    schema::require(schema, builder.schema())?;
    let reader = builder.with_batch_size(BATCH_ROWS).build()?;
    Ok(ParquetBatches { reader, schema: Arc::clone(schema) })
}

/// The rows of a Parquet file, in batches of at most [`BATCH_ROWS`].
pub struct ParquetBatches {
    reader: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl Iterator for ParquetBatches {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?.map_err(ReadError::from);
        Some(batch.and_then(|batch| {
            RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec()).map_err(ReadError::from)
        }))
    }
}

#[cfg(test)]
mod tests {
    use arrow::compute::concat_batches;
    use bytes::Bytes;
    use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

    use super::*;
    use crate::dataset::Dataset;
    use crate::dataset::samples::{Rows, hostile_batch, roster_batch, sorted_batches, typed_batch};
    use crate::guest::MAX_TEXT_BYTES;

    fn encoded(schema: &SchemaRef, batches: Vec<Rows>) -> Bytes {
        let mut out = Vec::new();
        let rows = batches.iter().map(|batch| batch.as_ref().unwrap().num_rows() as u64).sum();
        let result = write(schema, batches, Dataset::GuestRoster.sorting_columns(), &mut out);
        assert_eq!(result.unwrap(), Encoded { rows, guarded_cells: 0 });
        out.into()
    }

    fn metadata(file: &Bytes) -> ParquetMetaData {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
        ParquetMetaData::clone(builder.metadata())
    }

    fn roundtrip(batch: &RecordBatch, sorting_columns: &[&str]) -> RecordBatch {
        let mut out = Vec::new();
        write(&batch.schema(), [Rows::Ok(batch.clone())], sorting_columns, &mut out).unwrap();
        let batches = read(Bytes::from(out), &batch.schema()).unwrap();
        concat_batches(&batch.schema(), &batches.collect::<Result<Vec<_>, _>>().unwrap()).unwrap()
    }

    #[test]
    fn hostile_texts_and_every_type_come_back_exactly() {
        assert_eq!(roundtrip(&hostile_batch(), &[schema::USERNAME_HASH]), hostile_batch());
        assert_eq!(roundtrip(&typed_batch(), &["text", "integer"]), typed_batch());
    }

    #[test]
    fn the_bytes_depend_on_the_rows_alone() {
        let schema = schema::guest_roster();
        let file = encoded(&schema, sorted_batches(20_000, BATCH_ROWS));
        for rows in [999, 8_191, 8_193, 20_000] {
            assert!(encoded(&schema, sorted_batches(20_000, rows)) == file, "batches of {rows} rows");
        }
        assert!(encoded(&schema, sorted_batches(19_999, BATCH_ROWS)) != file);
    }

    #[test]
    fn an_empty_roster_is_a_valid_file_without_rows() {
        let schema = schema::guest_roster();
        let file = encoded(&schema, Vec::new());
        assert_eq!(metadata(&file).file_metadata().num_rows(), 0);
        assert_eq!(read(file, &schema).unwrap().count(), 0);
    }

    #[test]
    fn row_groups_end_at_the_pinned_row() {
        let schema = schema::guest_roster();
        let groups = |guests| {
            let metadata = metadata(&encoded(&schema, sorted_batches(guests, BATCH_ROWS)));
            metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect::<Vec<_>>()
        };
        assert_eq!(groups(131_072), [131_072]);
        assert_eq!(groups(131_073), [131_072, 1]);
    }

    #[test]
    fn absurdly_long_names_end_a_row_group_before_it_fills_the_memory() {
        // Texts out of digits that repeat only after megabytes: zstd can do no more than halve them.
        let mut state = 1_u64;
        let mut digits = String::new();
        while digits.len() < 4 * 1024 * 1024 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            digits.push_str(&hex::encode(state.to_be_bytes()));
        }
        let text = |row: usize| &digits[row * 997 % (digits.len() - MAX_TEXT_BYTES)..][..MAX_TEXT_BYTES];
        let file = |batch_rows: usize| {
            let batches = (0..48_000).step_by(batch_rows).map(|start| {
                let rows = start..(start + batch_rows).min(48_000);
                Rows::Ok(roster_batch(&rows.map(|row| (text(row), Some(text(row + 1)))).collect::<Vec<_>>()))
            });
            let mut file = Vec::new();
            write(&schema::guest_roster(), batches, &[], &mut file).unwrap();
            Bytes::from(file)
        };
        let whole = file(BATCH_ROWS);
        let metadata = metadata(&whole);
        assert!(metadata.num_row_groups() > 1, "before it has {ROW_GROUP_ROWS} rows");
        for group in metadata.row_groups() {
            let bytes = usize::try_from(group.compressed_size()).unwrap();
            assert!(bytes < 2 * ROW_GROUP_BYTES, "a row group of {bytes} bytes");
        }
        assert!(file(1_000) == whole, "where it ends depends on the rows alone");
    }

    #[test]
    fn the_settings_that_readers_see_are_pinned() {
        let metadata = metadata(&encoded(&schema::guest_roster(), sorted_batches(100, BATCH_ROWS)));
        let file = metadata.file_metadata();
        assert_eq!(file.created_by(), Some(CREATED_BY));
        assert_eq!(file.version(), 1);
        assert!(file.key_value_metadata().is_none(), "{:?}", file.key_value_metadata());
        let group = metadata.row_group(0);
        let sorted = SortingColumn { column_idx: 2, descending: false, nulls_first: false };
        assert_eq!(group.sorting_columns(), Some(&vec![sorted]));
        for column in group.columns() {
            let name = column.column_path().string();
            assert_eq!(column.compression(), Compression::ZSTD(ZstdLevel::default()), "{name}");
            assert!(column.offset_index_offset().is_some(), "{name}");
            let dictionary = DICTIONARY_COLUMNS.contains(&name.as_str());
            assert_eq!(column.dictionary_page_offset().is_some(), dictionary, "{name}");
            assert!(column.encodings().all(|encoding| {
                matches!(encoding, Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY)
            }));
            let is_bounded =
                column.statistics().is_some_and(|statistics| statistics.min_bytes_opt().is_some());
            assert_eq!(is_bounded, name != schema::USERNAME, "{name}");
            assert_eq!(column.column_index_offset().is_some(), is_bounded, "{name}");
        }
    }

    /// Equal rows give equal bytes under one version of the program, which the bytes name. So this digest may
    /// move with the version number, and a library upgrade that moves it needs a new one.
    #[test]
    fn an_upgrade_that_moves_bytes_shows() {
        use sha2::{Digest, Sha256};

        let file = encoded(&schema::guest_roster(), sorted_batches(3, BATCH_ROWS));
        assert_eq!(
            hex::encode(Sha256::digest(&file)),
            "2a3757f9eeff171b88d26f77320ff8858d8640591354030b98e3d4925710afe3"
        );
    }

    #[test]
    fn other_columns_are_refused_in_both_directions() {
        let counts = schema::guest_counts();
        let file = encoded(&schema::guest_roster(), sorted_batches(1, 1));
        assert!(matches!(read(file, &counts), Err(ReadError::Schema(SchemaError::Columns { .. }))));
        let error = write(&counts, sorted_batches(1, 1), &[], Vec::new()).unwrap_err();
        assert!(matches!(error, WriteError::Schema(SchemaError::Columns { .. })), "{error:?}");
        let error = write(&counts, Vec::<Rows>::new(), &["username"], Vec::new()).unwrap_err();
        assert!(matches!(error, WriteError::Schema(SchemaError::NoSuchColumn(_))), "{error:?}");
    }

    #[test]
    fn a_damaged_file_is_no_intact_parquet() {
        let schema = schema::guest_roster();
        let file = encoded(&schema, sorted_batches(100, 100));
        for broken in [file.slice(..0), file.slice(..100), file.slice(..file.len() - 1), file.slice(1..)] {
            let outcome = read(broken, &schema).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            assert!(matches!(outcome, Err(ReadError::Parquet(_))), "{outcome:?}");
        }
    }

    #[test]
    fn rows_that_end_in_an_error_and_a_full_disk_are_told_apart() {
        let rows = [Rows::Err(std::io::Error::other("walk"))];
        let error = write(&schema::guest_roster(), rows, &[], Vec::new()).unwrap_err();
        assert!(matches!(error, WriteError::Rows(_)), "{error:?}");
        let full: &mut [u8] = &mut [0; 64];
        let error = write(&schema::guest_roster(), sorted_batches(9, 9), &[], full).unwrap_err();
        let WriteError::Io(error) = error else { panic!("{error:?}") };
        assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
    }
}
