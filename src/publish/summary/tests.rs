//! What the summary says, and that it never loses or invents a row.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::period::PeriodState;
use crate::publish::fixture::{Sample, local, publisher, summary, task};
use crate::publish::manifest::MAX_MANIFEST_BYTES;

fn attempted(task: TaskKey) -> AttemptedTask {
    AttemptedTask {
        task,
        period_state: PeriodState::Settling,
        aws_account_id: None,
        region: Some("eu-west-1".to_owned()),
        network_name: Some("Not yet".to_owned()),
    }
}

fn rows(root: &Path) -> Vec<SummaryRow> {
    let file = |format| File::open(root.join(layout::summary(format).as_str())).unwrap();
    let rows = read_parquet(file(Format::Parquet)).unwrap();
    assert_eq!(read_csv(file(Format::Csv), true).unwrap(), rows);
    rows
}

fn shown(root: &Path) -> Vec<String> {
    let count = |row: &SummaryRow| row.published.as_ref().map(|of| of.guest_count);
    rows(root).iter().map(|row| format!("{} {:?}", row.task, count(row))).collect()
}

#[tokio::test]
async fn the_latest_period_comes_first_and_missing_tasks_are_named() {
    let root = tempfile::tempdir().unwrap();
    Sample::new(0..3).of(task("12345678", "2026-08")).run(local(root.path())).await.unwrap();
    Sample::new(0..4).of(task("99999999", "2026-10")).run(local(root.path())).await.unwrap();
    Sample::new(0..5).of(task("01234567", "2026-10")).run(local(root.path())).await.unwrap();
    let tried = [attempted(task("12345678", "2026-09")), attempted(task("99999999", "2026-10"))];
    let totals = summary(local(root.path())).merge(&tried).await.unwrap();
    assert_eq!(totals, SummaryTotals { published: 3, missing: 1 });
    assert_eq!(
        shown(root.path()),
        [
            "01234567/2026-10 Some(5)",
            "99999999/2026-10 Some(4)",
            "12345678/2026-09 None",
            "12345678/2026-08 Some(3)"
        ]
    );
    let csv = std::fs::read_to_string(root.path().join("summary/csv/guest_counts.csv")).unwrap();
    insta::with_settings!({filters => vec![(r"[0-9a-f]{64}", "[sha256]")]}, { insta::assert_snapshot!(csv) });
}

#[tokio::test]
async fn a_run_keeps_the_rows_of_others_and_renews_its_own() {
    let root = tempfile::tempdir().unwrap();
    let missing = attempted(task("11111111", "2026-10"));
    summary(local(root.path())).merge(std::slice::from_ref(&missing)).await.unwrap();
    Sample::new(0..3).run(local(root.path())).await.unwrap();
    Sample::new(0..7).hours_later(1).run(local(root.path())).await.unwrap();
    assert_eq!(shown(root.path()), ["11111111/2026-10 None", "12345678/2026-10 Some(7)"]);
    Sample::new(0..2).of(missing.task).run(local(root.path())).await.unwrap();
    assert_eq!(shown(root.path()), ["11111111/2026-10 Some(2)", "12345678/2026-10 Some(7)"]);
}

#[tokio::test]
async fn a_summary_that_cannot_be_read_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    Sample::new(0..3).run(local(root.path())).await.unwrap();
    Sample::new(0..4).of(task("87654321", "2026-10")).run(local(root.path())).await.unwrap();
    let whole = shown(root.path());
    let path = root.path().join("summary/parquet/guest_counts.parquet");
    for damage in ["", "PAR1 is not enough PAR1"] {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, damage).unwrap();
        summary(local(root.path())).merge(&[]).await.unwrap();
        assert_eq!(shown(root.path()), whole);
    }
    std::fs::remove_dir_all(root.path().join("summary")).unwrap();
    summary(local(root.path())).merge(&[]).await.unwrap();
    assert_eq!(shown(root.path()), whole);
}

#[tokio::test]
async fn what_has_no_manifest_is_not_shown_as_published() {
    let root = tempfile::tempdir().unwrap();
    Sample::new(0..3).run(local(root.path())).await.unwrap();
    Sample::new(0..4).of(task("87654321", "2026-10")).run(local(root.path())).await.unwrap();
    std::fs::remove_dir_all(root.path().join("manifests/period=2026-10/network=12345678")).unwrap();
    summary(local(root.path())).merge(&[attempted(task("12345678", "2026-10"))]).await.unwrap();
    assert_eq!(shown(root.path()), ["12345678/2026-10 None", "87654321/2026-10 Some(4)"]);
}

/// Puts other bytes in the place of a file that cannot be written to.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_row_follows_its_manifest_whoever_changed_that() {
    let root = tempfile::tempdir().unwrap();
    let sample = Sample::new(0..3);
    sample.run(local(root.path())).await.unwrap();
    // A run whose merge failed: the manifest says 7, and the summary still says 3.
    let publisher = publisher(local(root.path()));
    let lock = publisher.lock(sample.task).await.unwrap();
    publisher.publish(&lock, Sample::new(0..7).hours_later(1).publication()).await.unwrap();
    assert_eq!(shown(root.path()), ["12345678/2026-10 Some(3)"]);
    Sample::new(0..4).of(task("87654321", "2026-10")).run(local(root.path())).await.unwrap();
    assert_eq!(shown(root.path()), ["12345678/2026-10 Some(7)", "87654321/2026-10 Some(4)"]);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_believed_has_no_row_and_stops_no_other() {
    let root = tempfile::tempdir().unwrap();
    Sample::new(0..3).run(local(root.path())).await.unwrap();
    Sample::new(0..4).of(task("87654321", "2026-10")).run(local(root.path())).await.unwrap();
    let whole = shown(root.path());
    let place = root.path().join(layout::manifest(task("12345678", "2026-10")).as_str());
    let json = std::fs::read(&place).unwrap();
    let edited =
        String::from_utf8(json.clone()).unwrap().replace("\"pages\": 1", "\"pages\": 2").into_bytes();
    let too_long = vec![b' '; usize::try_from(MAX_MANIFEST_BYTES).unwrap() + 1];
    for damaged in [b"{".to_vec(), edited, too_long] {
        replace(&place, &damaged);
        summary(local(root.path())).merge(&[]).await.unwrap();
        assert_eq!(shown(root.path()), ["87654321/2026-10 Some(4)"]);
        let tried = attempted(task("12345678", "2026-10"));
        let totals = summary(local(root.path())).merge(&[tried]).await.unwrap();
        assert_eq!(totals, SummaryTotals { published: 1, missing: 1 });
        replace(&place, &json);
        summary(local(root.path())).merge(&[]).await.unwrap();
        assert_eq!(shown(root.path()), whole);
    }
}

#[tokio::test]
async fn runs_that_merge_at_the_same_time_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let networks: Vec<String> = (0..6).map(|network| format!("1234567{network}")).collect();
    let run = |network: &String| {
        let (sample, destination) = (Sample::new(0..3).of(task(network, "2026-10")), local(root.path()));
        async move { sample.run(destination).await.unwrap() }
    };
    futures::future::join_all(networks.iter().map(run)).await;
    assert_eq!(rows(root.path()).len(), networks.len());
}

#[tokio::test]
async fn a_locked_summary_is_waited_for_and_then_an_error() {
    let root = tempfile::tempdir().unwrap();
    let destination = local(root.path());
    let _held = destination.lock(&layout::summary_lock(), &LockWait::none()).await.unwrap();
    let waiting = Summary::new(
        destination,
        CsvOptions { bom: false, formula_guard: true },
        LockWait::of(Duration::from_millis(10)),
    );
    let error = waiting.merge(&[]).await.unwrap_err();
    assert!(matches!(error, SummaryError::Destination(DestinationError::Locked { .. })), "{error}");
}

#[tokio::test]
async fn the_same_publications_give_the_same_bytes_in_any_order() {
    let bytes = |root: &Path| {
        Format::ALL.map(|format| std::fs::read(root.join(layout::summary(format).as_str())).unwrap())
    };
    let samples = [Sample::new(0..3), Sample::new(0..4).of(task("87654321", "2026-09"))];
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for sample in &samples {
        sample.run(local(one.path())).await.unwrap();
    }
    for sample in samples.iter().rev() {
        sample.run(local(other.path())).await.unwrap();
    }
    assert_eq!(bytes(one.path()), bytes(other.path()));
}
