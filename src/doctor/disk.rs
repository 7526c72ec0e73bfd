//! What the filesystems of this machine have room for, and take.

use std::path::Path;

use super::Check;

/// Less than this is worth a word. A guest takes some 300 bytes until its roster stands: what a walk keeps, CSV and
/// Parquet; so this is three million of them.
const ENOUGH_BYTES: u64 = 1 << 30;

/// Looks at the filesystem of a folder, which need not be there yet.
#[must_use]
pub fn free_space(name: &str, folder: &Path) -> Check {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(folder);
    let shown = folder.display();
    match rustix::fs::statvfs(there) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let message = format!("{} MiB are free at {shown}", free >> 20);
            if free < ENOUGH_BYTES {
                let advice = "a roster takes some 300 bytes a guest while it is written";
                Check::warning(name, format!("{message}; {advice}"))
            } else {
                Check::passed(name, message)
            }
        }
        Err(error) => Check::warning(name, format!("how much is free at {shown} is not known: {error}")),
    }
}

/// Tries to write beside a file that is replaced at the end of each run.
#[must_use]
pub fn replaceable(name: &str, file: &Path) -> Check {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let shown = file.display();
    match tempfile::Builder::new().prefix(".wickr-guest-export-").tempfile_in(folder) {
        Ok(_removed) => Check::passed(name, format!("{shown} can be replaced")),
        Err(error) => {
            let advice = "create its folder, and let this user write there";
            Check::warning(name, format!("{shown} cannot be replaced: {error}; {advice}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_filesystem_of_what_it_will_be_in() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("a/b"), "not-there".into()] {
            let check = free_space("disk", &path);
            assert!(check.message.contains(&format!("free at {}", path.display())), "{check}");
            assert!(!check.message.contains("not known"), "{check}");
        }
    }
}
