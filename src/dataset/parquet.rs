//! Parquet: rows to bytes with settings pinned in this one place, and back.
//!
//! Same rows, same version, same bytes. So nothing is left to a default that a library upgrade could move, and
//! the rows are cut into batches anew before they reach the writer, whose page boundaries depend on them.
//! Values are stored `PLAIN` in version 1 pages: hashes hold nothing for a cleverer encoding to find, zstd does
//! the rest, and every engine of the last ten years reads it. The Arrow schema is left out of the metadata: all
//! four column types survive without it, and it would tie the bytes to the Arrow library's serialisation.

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

use super::error::{ReadError, RowsError, WriteError};
use super::schema::{self, SchemaError};
use super::{BATCH_ROWS, Encoded};

/// The rows of every row group but the last.
pub const ROW_GROUP_ROWS: usize = 131_072;

/// The most bytes of a row group that are gathered in memory: about a thousand for each of its rows, which only
/// a roster of absurdly long names reaches. It ends a row group early, at a row that the rows alone decide.
const ROW_GROUP_BYTES: usize = 128 * 1024 * 1024;

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
        cutter.push_batch(batch)?;
        while let Some(batch) = cutter.next_completed_batch() {
            writer.write(&batch)?;
        }
    }
    cutter.finish_buffered_batch()?;
    while let Some(batch) = cutter.next_completed_batch() {
        writer.write(&batch)?;
    }
    writer.into_inner()?.flush()?;
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
    let zstd = ZstdLevel::try_new(3).expect("a level that zstd has");
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_write_batch_size(1024)
        .set_data_page_row_count_limit(20_000)
        .set_data_page_size_limit(1024 * 1024)
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
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
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
