//! A folder as a destination, in an empty folder of its own each time.

use std::io::Write;

use super::*;

fn output() -> (tempfile::TempDir, LocalDestination) {
    let folder = tempfile::tempdir().unwrap();
    let destination = LocalDestination::new(folder.path().join("deep/output"));
    (folder, destination)
}

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).unwrap()
}

async fn put(destination: &LocalDestination, to: &str, text: &str, precondition: Precondition) -> bool {
    let mut staged = destination.stage(&path(to)).await.unwrap();
    staged.write_all(text.as_bytes()).unwrap();
    match destination.install(staged, &path(to), precondition).await {
        Ok(()) => true,
        Err(DestinationError::Changed { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn text_at(destination: &LocalDestination, at: &str) -> Option<String> {
    let read = destination.read(&path(at), 1024).await.unwrap()?;
    Some(String::from_utf8(read.bytes).unwrap())
}

fn staged_files(destination: &LocalDestination) -> usize {
    fs::read_dir(destination.staging()).unwrap().count()
}

#[tokio::test]
async fn an_immutable_file_is_created_once() {
    let (_folder, output) = output();
    assert!(put(&output, "a/b/c", "first", Precondition::Absent).await);
    assert!(!put(&output, "a/b/c", "second", Precondition::Absent).await);
    assert_eq!(text_at(&output, "a/b/c").await.as_deref(), Some("first"));
    assert_eq!(staged_files(&output), 0);
}

#[tokio::test]
async fn a_file_is_replaced_only_while_it_is_what_was_read() {
    let (_folder, output) = output();
    assert!(put(&output, "m", "one", Precondition::Absent).await);
    let version = output.read(&path("m"), 10).await.unwrap().unwrap().version;
    assert!(put(&output, "m", "two", Precondition::Unchanged(version.clone())).await);
    assert!(!put(&output, "m", "three", Precondition::Unchanged(version.clone())).await);
    assert_eq!(text_at(&output, "m").await.as_deref(), Some("two"));
    output.remove(&path("m")).await.unwrap();
    assert!(!put(&output, "m", "four", Precondition::Unchanged(version)).await);
}

#[tokio::test]
async fn nothing_is_readable_by_others_or_writable_in_place() {
    let (_folder, output) = output();
    assert!(put(&output, "a/b", "x", Precondition::Any).await);
    let mode = |at: &str| fs::metadata(output.root.join(at)).unwrap().mode() & 0o777;
    assert_eq!((mode("a/b"), mode("a"), mode("")), (0o400, 0o700, 0o700));
}

#[tokio::test]
async fn a_copy_replaces_what_stands_there_and_is_the_same_file() {
    let (_folder, output) = output();
    assert!(put(&output, "r/1", "one", Precondition::Absent).await);
    assert!(put(&output, "r/2", "two", Precondition::Absent).await);
    for source in ["r/1", "r/2", "r/2"] {
        output.copy(&path(source), &path("current/x")).await.unwrap();
        assert!(is_same_file(&output.at(&path(source)), &output.at(&path("current/x"))));
    }
    assert_eq!(text_at(&output, "current/x").await.as_deref(), Some("two"));
    assert_eq!(text_at(&output, "r/1").await.as_deref(), Some("one"));
    assert_eq!(staged_files(&output), 0);
    assert!(output.copy(&path("r/3"), &path("current/x")).await.is_err());
}

#[tokio::test]
async fn without_links_a_copy_has_the_same_bytes() {
    let (_folder, output) = output();
    assert!(put(&output, "r/1", "one", Precondition::Absent).await);
    let (source, target) = (output.at(&path("r/1")), output.at(&path("current/x")));
    output.copy_bytes(&source, &target).unwrap();
    let first = fs::metadata(&target).unwrap().ino();
    output.copy_bytes(&source, &target).unwrap();
    assert_eq!(text_at(&output, "current/x").await.as_deref(), Some("one"));
    assert_eq!(fs::metadata(&target).unwrap().ino(), first, "an equal copy is left alone");
    assert!(!is_same_file(&source, &target));
}

#[tokio::test]
async fn removing_takes_the_folders_that_it_empties_and_no_others() {
    let (_folder, output) = output();
    assert!(put(&output, "a/b/c/1", "x", Precondition::Absent).await);
    assert!(put(&output, "a/2", "x", Precondition::Absent).await);
    output.remove(&path("a/b/c/1")).await.unwrap();
    output.remove(&path("a/b/c/1")).await.unwrap();
    assert!(!output.root.join("a/b").exists());
    assert_eq!(text_at(&output, "a/2").await.as_deref(), Some("x"));
    output.remove(&path("a/2")).await.unwrap();
    assert!(output.root.is_dir() && !output.root.join("a").exists());
}

#[tokio::test]
async fn a_listing_is_sorted_and_names_what_is_no_file() {
    let (_folder, output) = output();
    for name in ["p/b/1", "p/a", "p/b/0", "q/1"] {
        assert!(put(&output, name, "x", Precondition::Absent).await);
    }
    std::os::unix::fs::symlink("/etc", output.root.join("p/elsewhere")).unwrap();
    fs::write(output.root.join("p/back\\slash"), "x").unwrap();
    let listing = output.list(&path("p")).await.unwrap();
    let names: Vec<&str> = listing.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["p/a", "p/b/0", "p/b/1"]);
    assert_eq!(listing.foreign, ["p/back\\\\slash", "p/elsewhere"]);
    assert_eq!(output.list(&path("nowhere")).await.unwrap(), Listing::default());
}

#[tokio::test]
async fn links_folders_and_overlong_files_are_not_read() {
    let (_folder, output) = output();
    assert!(put(&output, "a/b", "12345", Precondition::Absent).await);
    std::os::unix::fs::symlink("/etc/passwd", output.root.join("link")).unwrap();
    for name in ["link", "a"] {
        assert!(matches!(output.open(&path(name)).await, Err(DestinationError::InTheWay { .. })), "{name}");
    }
    assert!(matches!(output.read(&path("a/b"), 4).await, Err(DestinationError::TooLong { .. })));
    assert!(output.read(&path("a/b"), 5).await.unwrap().is_some());
    assert!(output.open(&path("a/b/c")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_sweep_takes_what_the_dead_left_and_nothing_of_the_living() {
    let (_folder, output) = output();
    let mut living = output.stage(&path("x")).await.unwrap();
    fs::write(output.staging().join("part-dead"), "half").unwrap();
    output.probe_writable().await.unwrap();
    assert_eq!(staged_files(&output), 1);
    living.write_all(b"whole").unwrap();
    output.install(living, &path("x"), Precondition::Absent).await.unwrap();
    assert_eq!(text_at(&output, "x").await.as_deref(), Some("whole"));
}

#[tokio::test]
async fn a_sweep_leaves_a_link_that_is_on_its_way_and_takes_it_once_its_run_is_dead() {
    let (_folder, output) = output();
    assert!(put(&output, "r/1", "one", Precondition::Absent).await);
    let (source, target) = (output.at(&path("r/1")), output.at(&path("current/x")));
    let (content, link) = output.staged_link(&source).unwrap().unwrap();
    output.sweep_staging().unwrap();
    output.put_in_place(&content, link, &target, true).unwrap();
    assert!(is_same_file(&source, &target));
    drop(content);

    let (content, link) = output.staged_link(&source).unwrap().unwrap();
    link.keep().unwrap();
    drop(content);
    output.sweep_staging().unwrap();
    assert_eq!(staged_files(&output), 0);
}

#[tokio::test]
async fn a_root_that_is_a_file_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("file");
    fs::write(&root, "x").unwrap();
    for root in [root.clone(), root.join("below")] {
        let error = LocalDestination::new(root).probe_writable().await.unwrap_err();
        assert!(matches!(error, DestinationError::InTheWay { .. }), "{error}");
    }
}

#[test]
fn what_the_system_says_is_classified() {
    let classify = |kind: io::ErrorKind| DestinationError::io("written", "x", io::Error::from(kind));
    assert!(matches!(classify(io::ErrorKind::PermissionDenied), DestinationError::Refused { .. }));
    assert!(matches!(classify(io::ErrorKind::ReadOnlyFilesystem), DestinationError::ReadOnly { .. }));
    assert!(matches!(classify(io::ErrorKind::StorageFull), DestinationError::Full { .. }));
    assert!(matches!(classify(io::ErrorKind::QuotaExceeded), DestinationError::Full { .. }));
    assert!(matches!(classify(io::ErrorKind::BrokenPipe), DestinationError::Io { .. }));
}
