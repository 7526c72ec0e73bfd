//! Locks, conditions and lost answers, on paused time.

use tokio::time::Instant;

use super::moody::{Fate, Moody};
use super::*;
use crate::storage::lock::Holder;

fn place(store: &Arc<Moody>, conditional_puts: ConditionalPuts) -> ObjectDestination {
    let url = StoreUrl::parse("s3://bucket/prefix").unwrap().unwrap();
    let settings = StoreSettings { conditional_puts, ..StoreSettings::default() };
    ObjectDestination::new(Arc::clone(store) as Arc<dyn ObjectStore>, url, settings)
}

fn strict(store: &Arc<Moody>) -> ObjectDestination {
    place(store, ConditionalPuts::Required)
}

fn name() -> RelativePath {
    RelativePath::new(".locks/task.lock").unwrap()
}

fn term() -> Duration {
    LeaseTerm::default().0
}

/// Puts the lease of a run that died as soon as it had it.
async fn a_dead_run_holds_it(place: &ObjectDestination) {
    let Holder { pid, host, .. } = Holder::this_process();
    let lease = serde_json::json!({
        "nonce": "of the dead", "pid": pid, "host": host, "renewals": 0, "released": false
    });
    place.put(lease.to_string().into_bytes(), &name(), Precondition::Any).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_holder_died_is_taken_over_after_its_term_even_by_the_impatient() {
    let store = Moody::new(&[]);
    a_dead_run_holds_it(&strict(&store)).await;
    let begun = Instant::now();
    let taken = strict(&store).lock(&name(), &LockWait::none()).await.unwrap();
    assert!(begun.elapsed() > term(), "{:?}", begun.elapsed());
    taken.confirm().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_holder_lives_is_refused_as_soon_as_it_is_renewed() {
    let store = Moody::new(&[]);
    let (one, other) = (strict(&store), strict(&store));
    let held = one.lock(&name(), &LockWait::none()).await.unwrap();
    let begun = Instant::now();
    let refused = other.lock(&name(), &LockWait::none()).await;
    assert!(matches!(refused, Err(DestinationError::Locked { holder: Some(_), .. })), "{refused:?}");
    assert!(begun.elapsed() < term() / 2, "{:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_hours(1)).await;
    held.confirm().await.unwrap();
    drop(held);
    one.finish().await;
    other.lock(&name(), &LockWait::none()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_held_here_is_refused_at_once() {
    let place = strict(&Moody::new(&[]));
    let held = place.lock(&name(), &LockWait::none()).await.unwrap();
    let begun = Instant::now();
    let refused = place.clone().lock(&name(), &LockWait::none()).await;
    assert!(matches!(refused, Err(DestinationError::Locked { .. })), "{refused:?}");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(held);
    place.finish().await;
    place.lock(&name(), &LockWait::none()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_nobody_watches_any_longer() {
    let store = Moody::new(&[]);
    a_dead_run_holds_it(&strict(&store)).await;
    let wait = LockWait::of(Duration::from_mins(10));
    let (stop, begun) = (wait.stop.clone(), Instant::now());
    let waiting = tokio::spawn(async move { strict(&store).lock(&name(), &wait).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    let ended = waiting.await.unwrap();
    assert!(matches!(ended, Err(DestinationError::Interrupted { holder: Some(_), .. })), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_got_lost_is_found_out_to_have_taken_effect() {
    for lost in [&[Fate::Unanswered, Fate::Answered][..], &[Fate::Lost, Fate::Lost, Fate::Answered][..]] {
        let store = Moody::new(&[]);
        let held = strict(&store).lock(&name(), &LockWait::none()).await.unwrap();
        store.become_(lost);
        tokio::time::sleep(term() * 3).await;
        held.confirm().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_given_back_though_its_last_renewal_was_not_answered() {
    let store = Moody::new(&[]);
    let place = strict(&store);
    let held = place.lock(&name(), &LockWait::none()).await.unwrap();
    store.become_(&[Fate::Unanswered, Fate::Answered]);
    tokio::time::sleep(term() / 3 + Duration::from_millis(1)).await;
    assert_eq!(store.puts(), 2, "the renewal is under way");
    drop(held);
    place.finish().await;
    let begun = Instant::now();
    strict(&store).lock(&name(), &LockWait::none()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "it is free, not dead");
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_keeps_the_lock_only_if_nobody_took_it_over() {
    for somebody_waits in [false, true] {
        let store = Moody::new(&[]);
        let held = strict(&store).lock(&name(), &LockWait::none()).await.unwrap();
        store.become_(&[Fate::Broken]);
        tokio::time::sleep(term() * 2).await;
        assert!(matches!(held.confirm().await, Err(DestinationError::Unavailable { .. })));
        store.become_(&[Fate::Answered]);
        if somebody_waits {
            // Without its owner's task the lease is as that of a dead run.
            let lease = strict(&store).read(&name(), 4096).await.unwrap().unwrap();
            let text = String::from_utf8(lease.bytes).unwrap().replacen("\"nonce\":\"", "\"nonce\":\"f", 1);
            let precondition = Precondition::Unchanged(lease.version);
            strict(&store).put(text.into_bytes(), &name(), precondition).await.unwrap();
            assert!(matches!(held.confirm().await, Err(DestinationError::LockLost { .. })));
        } else {
            held.confirm().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_answer_got_lost_is_our_own_when_it_is_tried_again() {
    let store = Moody::new(&[Fate::Unanswered, Fate::Answered]);
    let (place, path) = (strict(&store), RelativePath::new("a").unwrap());
    let unanswered = place.put(b"one".to_vec(), &path, Precondition::Absent).await;
    assert!(matches!(unanswered, Err(DestinationError::Unavailable { .. })), "{unanswered:?}");
    let again = place.put(b"one".to_vec(), &path, Precondition::Absent).await.unwrap();
    assert_eq!(place.read(&path, 9).await.unwrap().unwrap().version, again);
    let other = place.put(b"two".to_vec(), &path, Precondition::Absent).await;
    assert!(matches!(other, Err(DestinationError::Changed { .. })), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_ignores_conditions_is_refused_or_said() {
    let only_creates = [Fate::Answered, Fate::Answered, Fate::Answered, Fate::Unconditional];
    for fates in [&[Fate::Unconditional][..], &[Fate::Unsupported], &only_creates] {
        let refused = strict(&Moody::new(fates)).probe_writable().await;
        let text = refused.as_ref().unwrap_err().to_string();
        assert!(matches!(refused, Err(DestinationError::Unconditional { .. })), "{text}");
        assert!(text.contains("conditional_puts = \"best-effort\""), "{text}");
    }
    for fate in [Fate::Unconditional, Fate::Unsupported] {
        let place = place(&Moody::new(&[fate]), ConditionalPuts::BestEffort);
        place.probe_writable().await.unwrap();
        let path = RelativePath::new("a").unwrap();
        let version = place.put(b"one".to_vec(), &path, Precondition::Absent).await.unwrap();
        let again = place.put(b"two".to_vec(), &path, Precondition::Absent).await;
        assert!(matches!(again, Err(DestinationError::Changed { .. })));
        place.put(b"two".to_vec(), &path, Precondition::Unchanged(version.clone())).await.unwrap();
        let stale = place.put(b"three".to_vec(), &path, Precondition::Unchanged(version)).await;
        assert!(matches!(stale, Err(DestinationError::Changed { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out_of_order_is_not_one_that_ignores_conditions() {
    for fates in [&[Fate::Broken][..], &[Fate::Answered, Fate::Broken], &[Fate::Lost]] {
        let error = strict(&Moody::new(fates)).probe_writable().await.unwrap_err();
        assert!(matches!(error, DestinationError::Unavailable { .. }), "{error}");
    }
    let store = Moody::new(&[]);
    strict(&store).probe_writable().await.unwrap();
    assert!(strict(&store).list(&RelativePath::new(".probe").unwrap()).await.unwrap().files.is_empty());
}
