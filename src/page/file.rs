//! The page as a file: whole or as it was, and for its owner alone until they pass it on.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Why a page was not written (exit 73).
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written: {cause}; name another file with --html, or see to its folder", path = .path.display())]
pub struct PageFileError {
    path: PathBuf,
    cause: io::Error,
}

/// Replaces a page, or makes it.
///
/// # Errors
/// [`PageFileError`]; what was there is then still there.
pub fn replace(path: &Path, html: &str) -> Result<(), PageFileError> {
    written(path, html).map_err(|cause| PageFileError { path: path.to_owned(), cause })
}

fn written(path: &Path, html: &str) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".wickr-guest-export-")
        .suffix(".tmp")
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(html.as_bytes())?;
    // Else a loss of power could leave the new name with nothing in it.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
