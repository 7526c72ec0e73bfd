//! What every kind of destination owes its callers, whatever it is made of.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use wickr_guest_export::storage::{Destination, DestinationError, LockWait, Precondition, RelativePath};

/// One place, as two processes see it that share nothing else.
pub(crate) type Handles = (Arc<dyn Destination>, Arc<dyn Destination>);

fn path(text: &str) -> RelativePath {
    RelativePath::new(text).expect("a path")
}

async fn put(
    place: &Arc<dyn Destination>,
    at: &str,
    bytes: &[u8],
    precondition: Precondition,
) -> Result<(), DestinationError> {
    let mut staged = place.stage(&path(at)).await?;
    staged.write_all(bytes).expect("room for a file");
    place.install(staged, &path(at), precondition).await
}

async fn text_at(place: &Arc<dyn Destination>, at: &str) -> Option<String> {
    let read = place.read(&path(at), 1000).await.expect("it can be read")?;
    Some(String::from_utf8(read.bytes).expect("text"))
}

async fn listed(place: &Arc<dyn Destination>, folder: &str) -> Vec<(String, u64)> {
    let listing = place.list(&path(folder)).await.expect("it can be listed");
    assert_eq!(listing.foreign, Vec::<String>::new());
    listing.files.into_iter().map(|file| (file.path.to_string(), file.bytes)).collect()
}

/// Puts a place through everything that publications and checkpoints rest on.
pub(crate) async fn hold((one, other): Handles) {
    one.probe_writable().await.expect("it is writable");
    assert_eq!(listed(&one, "a").await, []);
    assert!(one.read(&path("a/b"), 10).await.expect("nothing is no error").is_none());
    assert!(one.open(&path("a/b")).await.expect("nothing is no error").is_none());

    files_come_into_place_only_as_they_may(&one, &other).await;
    a_put_tells_the_version_that_replaces_it(&one, &other).await;
    of_many_at_once_one_creates_a_file(&one).await;
    copies_are_the_files_that_they_are_of(&one).await;
    a_large_file_comes_back_exactly(&one).await;
    a_lock_is_one_process_s_at_a_time(&one, &other).await;
    one.finish().await;
    other.finish().await;
}

async fn files_come_into_place_only_as_they_may(one: &Arc<dyn Destination>, other: &Arc<dyn Destination>) {
    let is_refused = |put: Result<(), DestinationError>| matches!(put, Err(DestinationError::Changed { .. }));
    put(one, "a/b", b"first", Precondition::Absent).await.expect("nothing is there");
    assert!(is_refused(put(other, "a/b", b"second", Precondition::Absent).await), "something is");
    assert_eq!(text_at(other, "a/b").await.as_deref(), Some("first"));

    let version = one.read(&path("a/b"), 10).await.expect("read").expect("there").version;
    put(other, "a/b", b"third", Precondition::Unchanged(version.clone())).await.expect("it is unchanged");
    assert!(is_refused(put(one, "a/b", b"fourth", Precondition::Unchanged(version.clone())).await));
    assert_eq!(text_at(one, "a/b").await.as_deref(), Some("third"));
    let nowhere = put(one, "a/c", b"fifth", Precondition::Unchanged(version)).await;
    assert!(is_refused(nowhere), "what is gone is not unchanged");
    put(one, "a/b", b"sixth", Precondition::Any).await.expect("it may be replaced");
    assert_eq!(text_at(other, "a/b").await.as_deref(), Some("sixth"));

    let too_long = one.read(&path("a/b"), 4).await;
    assert!(matches!(too_long, Err(DestinationError::TooLong { limit: 4, .. })));
    put(one, "a/network=01234567/x y.txt", b"", Precondition::Absent).await.expect("nothing is there");
    put(one, "ab", b"beside", Precondition::Absent).await.expect("nothing is there");
    let expected = [("a/b".to_owned(), 5), ("a/network=01234567/x y.txt".to_owned(), 0)];
    assert_eq!(listed(other, "a").await, expected, "in order, and nothing from beside");
    for name in ["a/b", "a/network=01234567/x y.txt", "ab", "ab"] {
        one.remove(&path(name)).await.expect("what is gone is no error");
    }
    assert_eq!(listed(other, "a").await, []);
}

async fn a_put_tells_the_version_that_replaces_it(one: &Arc<dyn Destination>, other: &Arc<dyn Destination>) {
    let put = async |place: &Arc<dyn Destination>, text: &str, precondition| {
        place.put(text.as_bytes().to_vec(), &path("cursor"), precondition).await
    };
    let first = put(one, "first", Precondition::Absent).await.expect("nothing is there");
    assert!(matches!(put(other, "other", Precondition::Absent).await, Err(DestinationError::Changed { .. })));
    let second = put(one, "second", Precondition::Unchanged(first.clone())).await.expect("it is unchanged");
    let stale = put(other, "other", Precondition::Unchanged(first)).await;
    assert!(matches!(stale, Err(DestinationError::Changed { .. })), "{stale:?}");
    let read = other.read(&path("cursor"), 10).await.expect("read").expect("there");
    assert_eq!((read.bytes, read.version), (b"second".to_vec(), second));
}

async fn of_many_at_once_one_creates_a_file(one: &Arc<dyn Destination>) {
    let racing = (0..8_u8).map(|number| {
        let place = Arc::clone(one);
        tokio::spawn(async move { put(&place, "race", &[b'0' + number], Precondition::Absent).await.is_ok() })
    });
    let mut winners = Vec::new();
    for (number, racer) in (0_u8..).zip(racing.collect::<Vec<_>>()) {
        if racer.await.expect("no panic") {
            winners.push(char::from(b'0' + number).to_string());
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(text_at(one, "race").await, winners.pop());
}

async fn copies_are_the_files_that_they_are_of(one: &Arc<dyn Destination>) {
    let (first, second, current) = (path("r/1"), path("r/2"), path("current/x"));
    put(one, "r/1", b"one", Precondition::Absent).await.expect("nothing is there");
    put(one, "r/2", b"two", Precondition::Absent).await.expect("nothing is there");
    for (source, text) in [(&first, "one"), (&first, "one"), (&second, "two"), (&first, "one")] {
        one.copy(source, &current).await.expect("it can be copied");
        assert_eq!(text_at(one, "current/x").await.as_deref(), Some(text));
    }
    one.remove(&first).await.expect("it goes away");
    assert_eq!(text_at(one, "current/x").await.as_deref(), Some("one"), "a copy of its own");
    assert!(one.copy(&path("r/3"), &current).await.is_err(), "nothing cannot be copied");
}

async fn a_large_file_comes_back_exactly(one: &Arc<dyn Destination>) {
    let bytes: Vec<u8> = (0..20_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    put(one, "large", &bytes, Precondition::Absent).await.expect("nothing is there");
    let mut found = Vec::new();
    one.open(&path("large")).await.expect("read").expect("there").read_to_end(&mut found).expect("read");
    assert!(found == bytes, "{} of {} bytes", found.len(), bytes.len());
    let again = put(one, "large", &bytes[1..], Precondition::Absent).await;
    assert!(matches!(again, Err(DestinationError::Changed { .. })), "{again:?}");
    one.copy(&path("large"), &path("copy")).await.expect("it can be copied");
    let copied = one.read(&path("copy"), 30_000_000).await.expect("read").expect("there");
    assert!(copied.bytes == bytes, "the copy is whole");
    one.remove(&path("large")).await.expect("it goes away");
}

async fn a_lock_is_one_process_s_at_a_time(one: &Arc<dyn Destination>, other: &Arc<dyn Destination>) {
    let name = path(".locks/task.lock");
    let held = one.lock(&name, &LockWait::of(Duration::ZERO)).await.expect("nobody holds it");
    held.confirm().await.expect("it is ours");
    match other.lock(&name, &LockWait::of(Duration::from_millis(300))).await {
        Err(DestinationError::Locked { holder: Some(holder), .. }) => {
            assert_eq!(holder.pid, std::process::id());
        }
        taken => panic!("{taken:?}"),
    }
    let waiting = tokio::spawn({
        let (other, name) = (Arc::clone(other), name.clone());
        async move { other.lock(&name, &LockWait::of(Duration::from_mins(1))).await }
    });
    held.confirm().await.expect("it is ours still");
    drop(held);
    one.finish().await;
    let taken = waiting.await.expect("no panic").expect("it was given back");
    taken.confirm().await.expect("it is the other's now");
    assert!(matches!(
        one.lock(&name, &LockWait::of(Duration::ZERO)).await,
        Err(DestinationError::Locked { .. })
    ));
}
