//! Whether a place takes what a run will do there: tried with a file and a lock that are the check's own.

use std::io::Write as _;
use std::sync::Arc;

use super::{Check, free_space};
use crate::exit::ExitStatus;
use crate::storage::object::PART_BYTES;
use crate::storage::{Destination, DestinationError, LockWait, Precondition, RelativePath};

/// More than a store takes in one part, so that an upload in parts is tried as well.
const REHEARSED_BYTES: u64 = PART_BYTES + 1;

/// Tries a place, named as the job names it.
pub async fn examine_place(name: &str, place: &Arc<dyn Destination>, kms_key: Option<&str>) -> Vec<Check> {
    let mut checks = try_place(name, &**place, kms_key).await;
    checks.extend(place.local_folder().map(|folder| free_space(&format!("{name}: disk"), folder)));
    place.finish().await;
    checks
}

async fn try_place(name: &str, place: &dyn Destination, kms_key: Option<&str>) -> Vec<Check> {
    let (files, lock) = (format!("{name}: files"), format!("{name}: lock"));
    let failed = |name: &str, error: &DestinationError| {
        Check::failed(name, ExitStatus::of_destination(error), error.to_string())
    };
    if let Err(error) = place.probe_writable().await {
        let others = [files, lock].map(|name| Check::not_tried(name, "nothing can be written"));
        return std::iter::once(failed(name, &error)).chain(others).collect();
    }
    let rehearsed = match rehearse(place).await {
        Ok(()) => {
            let encrypted = kms_key.map(|key| format!(", encrypted with {key}")).unwrap_or_default();
            Check::passed(files, format!("a file was written, read, copied, listed and removed{encrypted}"))
        }
        Err(error) => failed(&files, &error),
    };
    let locked = match take_lock(place).await {
        Ok(true) => Check::passed(lock, "one process at a time holds it"),
        Ok(false) => {
            let advice = "two hold the same lock: choose a filesystem or a store with locks";
            Check::failed(lock, ExitStatus::Destination, advice)
        }
        Err(error) => failed(&lock, &error),
    };
    vec![writable(name, place), rehearsed, locked]
}

fn writable(name: &str, place: &dyn Destination) -> Check {
    let shown = place.describe();
    if !place.honours_conditions() {
        return Check::warning(
            name,
            format!(
                "{shown} can be written to, but ignores conditional puts: never let two runs run at once"
            ),
        );
    }
    let conditions = if place.local_folder().is_none() { " and honours conditional puts" } else { "" };
    Check::passed(name, format!("{shown} can be written to{conditions}"))
}

/// A name that no other check has, on whatever machine.
fn own_name() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// Puts a file through what publications and checkpoints do with theirs, and leaves nothing behind.
async fn rehearse(place: &dyn Destination) -> Result<(), DestinationError> {
    let folder = format!(".probe/{}", own_name());
    let [file, copy] = ["file", "copy"].map(|name| RelativePath::known(format!("{folder}/{name}")));
    let done = rehearse_at(place, &RelativePath::known(folder), &file, &copy).await;
    let (file, copy) = (place.remove(&file).await, place.remove(&copy).await);
    done.and(file).and(copy)
}

async fn rehearse_at(
    place: &dyn Destination,
    folder: &RelativePath,
    file: &RelativePath,
    copy: &RelativePath,
) -> Result<(), DestinationError> {
    let misread = |what: &str| DestinationError::Unavailable {
        operation: "used",
        place: place.describe(),
        cause: what.to_owned(),
    };
    let mut staged = place.stage(file).await?;
    let content = vec![0_u8; usize::try_from(REHEARSED_BYTES).expect("a few MiB")];
    let made_in = staged.folder();
    staged.write_all(&content).map_err(|error| DestinationError::io("written", made_in, error))?;
    place.install(staged, file, Precondition::Absent).await?;
    let read = place.read(file, REHEARSED_BYTES).await?;
    if read.is_none_or(|read| read.bytes != content) {
        return Err(misread("a file that was just written is not read back as it was written"));
    }
    place.copy(file, copy).await?;
    let listed = place.list(folder).await?.files;
    let is_whole =
        |path: &RelativePath| listed.iter().any(|file| file.path == *path && file.bytes == REHEARSED_BYTES);
    if !is_whole(file) || !is_whole(copy) {
        return Err(misread("files that were just written are not listed"));
    }
    Ok(())
}

/// Says whether a lock that is held is refused to others. Nobody else knows of it, so that nobody waits for it.
async fn take_lock(place: &dyn Destination) -> Result<bool, DestinationError> {
    let name = RelativePath::known(format!(".locks/{}.lock", own_name()));
    let tried = take_twice(place, &name).await;
    // A lease is there until it is given back.
    place.finish().await;
    let removed = place.remove(&name).await;
    tried.and_then(|excludes| removed.map(|()| excludes))
}

async fn take_twice(place: &dyn Destination, name: &RelativePath) -> Result<bool, DestinationError> {
    let held = place.lock(name, &LockWait::none()).await?;
    let second = place.lock(name, &LockWait::none()).await;
    held.confirm().await?;
    match second {
        Err(DestinationError::Locked { .. }) => Ok(true),
        Err(error) => Err(error),
        Ok(_second) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::CheckStatus;
    use crate::storage::LocalDestination;

    #[tokio::test]
    async fn a_folder_takes_it_all_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let place: Arc<dyn Destination> = Arc::new(LocalDestination::new(root.clone()));
        let checks = examine_place("output", &place, None).await;
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["output", "output: files", "output: lock", "output: disk"]);
        assert!(checks[..3].iter().all(|check| check.status == CheckStatus::Passed), "{checks:?}");
        for folder in [".probe", ".locks"] {
            assert_eq!(std::fs::read_dir(root.join(folder)).map_or(0, Iterator::count), 0, "{folder}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_fails_once_and_the_rest_is_not_tried() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let place: Arc<dyn Destination> = Arc::new(LocalDestination::new(file.path().to_owned()));
        let checks = examine_place("state", &place, None).await;
        let statuses: Vec<CheckStatus> = checks[..3].iter().map(|check| check.status).collect();
        assert_eq!(statuses, [CheckStatus::Failed, CheckStatus::NotTried, CheckStatus::NotTried]);
        assert_eq!(checks[0].exit, Some(ExitStatus::Destination), "{checks:?}");
    }
}
