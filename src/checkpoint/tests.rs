//! What is saved is found again by the same task alone, whole, and not for ever.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::*;
use crate::period::PeriodSpelling;
use crate::roster::SortedRun;
use crate::storage::{LocalDestination, LockWait};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    text: String,
    runs: Vec<RunRecord>,
}

impl Resumable for Note {
    fn runs(&self) -> Vec<RunRecord> {
        self.runs.clone()
    }

    fn check(&self) -> Result<(), String> {
        if self.text == "nonsense" { Err("it is nonsense".to_owned()) } else { Ok(()) }
    }
}

/// A clock that is set by hand, in minutes.
#[derive(Debug, Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(self.0.load(Ordering::SeqCst))
    }
}

struct Scene {
    folder: tempfile::TempDir,
    clock: Arc<SetClock>,
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::default() }
    }

    fn checkpoint_of(&self, fingerprint: Fingerprint) -> Checkpoint {
        let place = Arc::new(LocalDestination::new(self.folder.path().to_owned()));
        let location = StateLocation::new(place, LockWait::none());
        let max_age = TimeDelta::minutes(360);
        Checkpoint::new(Some(location), fingerprint, max_age, self.clock.clone(), CancellationToken::new())
    }

    fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_of(fingerprint())
    }

    /// Saves a note with a run, and lets go of the checkpoint as a process does that ends.
    async fn save(&self, text: &str) -> Note {
        let mut checkpoint = self.checkpoint();
        let run = checkpoint.store().await.unwrap().write(SortedRun::of([("a", text)])).await.unwrap();
        let note = Note { text: text.to_owned(), runs: vec![run] };
        checkpoint.save(&note, checkpoint.clock.now()).await.unwrap();
        note
    }

    async fn load(&self) -> Option<Note> {
        self.checkpoint().load().await.unwrap().map(|(note, _saved_at)| note)
    }

    async fn files(&self) -> Vec<String> {
        let place = LocalDestination::new(self.folder.path().to_owned());
        let listing = place.list(&RelativePath::new("walks").unwrap()).await.unwrap();
        listing.files.iter().map(|file| file.path.as_str().rsplit('/').next().unwrap().to_owned()).collect()
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint {
        network: "12345678".parse().unwrap(),
        billing_period: "2026-10".parse().unwrap(),
        spelling: PeriodSpelling::Hyphen,
        endpoint: "https://admin.wickr.us-east-1.amazonaws.com".to_owned(),
        region: "us-east-1".to_owned(),
        source: "wickr".to_owned(),
        aws_account_id: Some("999988887777".to_owned()),
        as_of: None,
        strategy: "forward".to_owned(),
        page_size: 100,
        destination: "/out".to_owned(),
        roster: "full".to_owned(),
        key_id: None,
        published: None,
    }
}

#[tokio::test]
async fn nothing_is_touched_before_there_is_something_to_keep() {
    let scene = Scene::new();
    let mut checkpoint = scene.checkpoint();
    assert_eq!(checkpoint.load::<Note>().await.unwrap(), None);
    checkpoint.clear().await.unwrap();
    assert_eq!(std::fs::read_dir(scene.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_was_saved_last_is_found_again_and_what_it_does_not_list_is_swept() {
    let scene = Scene::new();
    scene.save("one").await;
    let two = scene.save("two").await;
    assert_eq!(scene.files().await.len(), 2, "the run of the first note is garbage by then");
    let mut killed = scene.checkpoint();
    killed.store().await.unwrap().write(SortedRun::of([("a", "three")])).await.unwrap();
    drop(killed);
    assert_eq!(scene.load().await, Some(two));
    assert_eq!(scene.files().await.len(), 2, "the run that was written before a kill is swept");
}

#[tokio::test]
async fn a_run_without_a_cursor_is_garbage() {
    let scene = Scene::new();
    scene.checkpoint().store().await.unwrap().write(SortedRun::of([("a", "x")])).await.unwrap();
    assert_eq!(scene.load().await, None);
    assert_eq!(scene.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn any_other_fingerprint_is_refused() {
    let other = |change: fn(&mut Fingerprint)| {
        let mut other = fingerprint();
        change(&mut other);
        other
    };
    for other in [
        other(|it| it.spelling = PeriodSpelling::Underscore),
        other(|it| it.endpoint.push('x')),
        other(|it| it.region.push('x')),
        other(|it| it.source = "simulator".to_owned()),
        other(|it| it.aws_account_id = Some("111122223333".to_owned())),
        other(|it| it.as_of = Some(DateTime::UNIX_EPOCH)),
        other(|it| it.strategy.push('x')),
        other(|it| it.page_size = 99),
        other(|it| it.roster = "none".to_owned()),
        other(|it| it.key_id = Some("0".to_owned())),
        other(|it| it.published = Some("revision 1".to_owned())),
    ] {
        let scene = Scene::new();
        scene.save("one").await;
        assert_eq!(scene.checkpoint_of(other.clone()).load::<Note>().await.unwrap(), None, "{other:?}");
        assert_eq!(scene.files().await, Vec::<String>::new(), "{other:?}");
    }
    let unknown = other(|it| it.aws_account_id = None);
    let scene = Scene::new();
    let note = scene.save("one").await;
    assert_eq!(
        scene.checkpoint_of(unknown).load().await.unwrap().map(|(note, _saved_at)| note),
        Some(note),
        "an unknown account is no other"
    );
    // Other tasks and outputs are other checkpoints.
    for other in [
        other(|it| it.network = "87654321".parse().unwrap()),
        other(|it| it.billing_period = "2026-09".parse().unwrap()),
        other(|it| it.destination.push('x')),
    ] {
        let scene = Scene::new();
        let note = scene.save("one").await;
        assert_eq!(scene.checkpoint_of(other).load::<Note>().await.unwrap(), None);
        assert_eq!(scene.load().await, Some(note));
    }
}

#[tokio::test]
async fn every_changed_byte_of_a_cursor_is_noticed() {
    let scene = Scene::new();
    scene.save("one").await;
    let folder = location::folder("/out", TaskKey::new(fingerprint().network, fingerprint().billing_period));
    let path = scene.folder.path().join(location::cursor(&folder).as_str());
    let sound = std::fs::read(&path).unwrap();
    assert!(Cursor::<Note>::parse(&sound).is_ok());
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        assert!(matches!(Cursor::<Note>::parse(&damaged), Err(CursorError::Damaged)), "byte {at}");
        assert!(Cursor::<Note>::parse(&sound[..at]).is_err(), "cut at {at}");
    }
}

#[tokio::test]
async fn a_checkpoint_is_good_for_its_age_by_a_clock_that_may_be_off_either_way() {
    for (minutes, is_good) in [(0, true), (360, true), (361, false), (-360, true), (-361, false)] {
        let scene = Scene::new();
        scene.save("one").await;
        scene.clock.0.store(minutes, Ordering::SeqCst);
        assert_eq!(scene.load().await.is_some(), is_good, "{minutes}");
    }
}

#[tokio::test]
async fn a_document_that_finds_itself_unusable_is_dropped() {
    let scene = Scene::new();
    scene.save("nonsense").await;
    assert_eq!(scene.load().await, None);
    assert_eq!(scene.files().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_checkpoint_in_use_is_nobody_elses() {
    let scene = Scene::new();
    let note = scene.save("one").await;
    let mut holder = scene.checkpoint();
    assert_eq!(holder.load().await.unwrap().map(|(note, _saved_at)| note), Some(note));
    let error = scene.checkpoint().load::<Note>().await.unwrap_err();
    assert!(matches!(error, CheckpointError::Storage(DestinationError::Locked { .. })), "{error}");
    holder.clear().await.unwrap();
    assert_eq!(scene.load().await, None);
}

#[test]
fn the_default_folder_follows_the_base_directory_specification() {
    let folder = |xdg: Option<&str>, home: Option<&str>| {
        StateLocation::default_folder(|name| match name {
            "XDG_STATE_HOME" => xdg.map(str::to_owned),
            "HOME" => home.map(str::to_owned),
            other => panic!("{other} is not asked for"),
        })
    };
    assert_eq!(folder(Some("/state"), Some("/home/ann")).unwrap(), "/state/wickr-guest-export");
    assert_eq!(folder(None, Some("/home/ann")).unwrap(), "/home/ann/.local/state/wickr-guest-export");
    assert_eq!(
        folder(Some("relative"), Some("/home/ann")).unwrap(),
        "/home/ann/.local/state/wickr-guest-export"
    );
    assert_eq!(folder(Some(""), None), None);
}
