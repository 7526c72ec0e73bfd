//! What a Parquet file announces, held against what a file can have, before the library makes room for it.
//!
//! The library allocates what a page's header says that the page unpacks to, up to 2 GiB, and goes through as many
//! rows as the metadata says that there are. Neither is more than a few bytes of a small file, and a damaged one says
//! anything. So the header's sizes are looked at on its way to the library, and the rows before it reads any.

use std::io::Read;

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

/// The most bytes that a page may unpack to. The writer ends a page at 1 MiB, or at the 1,024 values after it.
pub(super) const MAX_PAGE_BYTES: u64 = 4 * 1024 * 1024;
/// The most rows for each byte of a file. In every dataset some column tells its rows apart.
const MAX_ROWS_PER_BYTE: u64 = 1024;

/// What a file ends with: the length of its metadata, and the format's name.
const FOOTER_BYTES: u64 = 8;

/// A file whose page headers are looked at first: the library reads nothing else through [`ChunkReader::get_read`]
/// but the footer.
pub(super) struct BoundedPages<R>(pub(super) R);

impl<R: Length> Length for BoundedPages<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for BoundedPages<R> {
    type T = R::T;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        if start.checked_add(FOOTER_BYTES) != Some(self.len()) {
            let mut head = Vec::with_capacity(HEAD_BYTES);
            self.0.get_read(start)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
            check_page(&head)?;
        }
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// Makes sure that a file is long enough for its rows.
///
/// # Errors
/// [`ParquetError::General`] if it cannot be.
pub(super) fn check_rows(metadata: &ParquetMetaData, file_bytes: u64) -> Result<()> {
    let counts =
        metadata.row_groups().iter().map(|group| u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
    let rows = counts.fold(0, u64::saturating_add);
    if rows > file_bytes.saturating_mul(MAX_ROWS_PER_BYTE) {
        return Err(ParquetError::General(format!(
            "it announces {rows} rows, more than its {file_bytes} bytes can hold"
        )));
    }
    Ok(())
}

/// As much of a page header as is looked at.
const HEAD_BYTES: usize = 2 * (1 + MAX_VARINT_BYTES);
/// The bytes of a 32-bit integer, seven bits each.
const MAX_VARINT_BYTES: usize = 5;

/// Makes sure that a page's header announces no more than a page can have.
///
/// A header is a Thrift struct in the compact protocol, whose first two fields are required and 32 bits wide: the type,
/// and `uncompressed_page_size`. There are other ways to write the same, which no writer uses.
fn check_page(head: &[u8]) -> Result<()> {
    // A field one further than the one before, of the type i32.
    const NEXT_I32: u8 = 0x15;
    let next_i32 = |bytes| varint(<[u8]>::strip_prefix(bytes, &[NEXT_I32])?);
    let size = next_i32(head).and_then(|(_type, rest)| next_i32(rest)).map(|(zigzag, _)| zigzag);
    let refuse = |problem| Err(ParquetError::General(problem));
    match size {
        None => refuse("a page begins with no page header".to_owned()),
        // An even number is twice the value, an odd one that of a negative.
        Some(zigzag) if zigzag % 2 == 1 || zigzag / 2 > MAX_PAGE_BYTES => {
            refuse(format!("a page announces more than the {MAX_PAGE_BYTES} bytes that one can have"))
        }
        Some(_) => Ok(()),
    }
}

/// Splits an integer, seven bits a byte, off the front.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let last = bytes.iter().take(MAX_VARINT_BYTES).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(last + 1);
    let value = digits.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7F));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_announce_so_many_bytes_and_no_more() {
        let largest = [0x15, 0x00, 0x15, 0x80, 0x80, 0x80, 0x04, 0x15, 0x00];
        assert!(check_page(&largest).is_ok(), "4 MiB");
        for refused in [
            b"PAR1".as_slice(),
            &[],
            &[0x15],
            &[0x15, 0x80],
            &[0x15, 0x00, 0x19, 0x00],
            // One byte more, and a negative number.
            &[0x15, 0x00, 0x15, 0x82, 0x80, 0x80, 0x04],
            &[0x15, 0x00, 0x15, 0x01],
            // More bits than there can be, which the library cuts off: what is left would be a gigabyte, or nothing.
            &[0x15, 0x04, 0x15, 0xF1, 0xFF, 0xFF, 0xFF, 0x16],
            &[0x15, 0x00, 0x15, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            // The field's number written out.
            &[0x15, 0x00, 0x05, 0x04, 0x02],
        ] {
            assert!(check_page(refused).is_err(), "{refused:?}");
        }
    }
}
