//! What is held against what, of publications as they are really made.

use tempfile::TempDir;

use super::*;
use crate::publish::fixture::{Sample, local, publisher, task};
use crate::reconcile::invoice::InvoicedLine;

const NOW: &str = "2026-11-20T00:00:00Z";

/// A ledger of some guests of networks and months.
async fn ledger(of: &[(&str, &str, u32, PeriodState)]) -> Ledger {
    let folder = TempDir::new().unwrap();
    for (network, month, guests, state) in of {
        let publisher = publisher(local(folder.path()));
        let sample = Sample { state: *state, ..Sample::new(0..*guests).of(task(network, month)) };
        let lock = publisher.lock(sample.task).await.unwrap();
        publisher.publish(&lock, sample.publication()).await.unwrap();
    }
    Ledger::read(&*local(folder.path()), |_| true).await.unwrap()
}

fn invoice(grain: Grain, lines: &[(&str, Bearer, &str)]) -> Invoice {
    let lines = lines.iter().map(|(month, bearer, quantity)| {
        let line = InvoicedLine { quantity: quantity.parse().unwrap(), rows: 1, files: 1 };
        ((month.parse().unwrap(), bearer.clone()), line)
    });
    Invoice { grain, lines: lines.collect(), rows_read: 1, rows_kept: 1, files: 1, files_skipped: Vec::new() }
}

const BY_NETWORK: Grain = Grain { network: true, account: false, region: false };
const BY_ACCOUNT: Grain = Grain { network: false, account: true, region: true };

fn of_network(network: &str) -> Bearer {
    Bearer { network: Some(network.parse().unwrap()), ..Bearer::default() }
}

fn of_account(account: &str) -> Bearer {
    Bearer { account: Some(account.to_owned()), region: Some("us-east-1".to_owned()), ..Bearer::default() }
}

fn terms(months: &[&str]) -> Terms {
    Terms {
        periods: months.iter().map(|month| month.parse().unwrap()).collect(),
        tolerance: "0".parse().unwrap(),
        price: None,
        gone: BTreeSet::new(),
        now: NOW.parse().unwrap(),
        settle_days: 3,
    }
}

fn verdicts(comparison: &Comparison) -> Vec<(String, Verdict)> {
    comparison.lines.iter().map(|line| (line.bearer(), line.verdict)).collect()
}

#[tokio::test]
async fn what_is_not_closed_is_compared_and_not_judged() {
    use PeriodState::{Closed, Open, Settling};
    let ledger = ledger(&[
        ("12345678", "2026-11", 5, Open),
        ("12345678", "2026-10", 7, Closed),
        ("87654321", "2026-10", 7, Settling),
    ])
    .await;
    let published = Published { ledger, ..Published::default() };
    let invoice = invoice(
        BY_NETWORK,
        &[
            ("2026-10", of_network("12345678"), "7"),
            ("2026-10", of_network("87654321"), "7"),
            ("2026-11", of_network("12345678"), "3"),
            ("2026-11", of_network("87654321"), "4"),
        ],
    );
    let comparison = compare(&invoice, &published, &terms(&["2026-10", "2026-11"]));
    let found: Vec<Verdict> = comparison.lines.iter().map(|line| line.verdict).collect();
    assert_eq!(found, [Verdict::Match, Verdict::NotFinal, Verdict::NotClosed, Verdict::NotClosed]);
    assert_eq!(comparison.lines[2].difference.as_ref().map(Decimal::signed).as_deref(), Some("-2"));
    assert!(comparison.difference.is_zero(), "what is not final counts in no sum");
    let left_out: Vec<_> = comparison.totals.iter().filter(|total| total.difference.is_none()).collect();
    assert_eq!(
        left_out.iter().map(|total| (total.verdict, total.lines)).collect::<Vec<_>>(),
        [(Verdict::NotClosed, 2), (Verdict::NotFinal, 1)]
    );
    assert_eq!(comparison.exit(), ExitStatus::Refused, "October has closed since");
    let of_november = compare(&invoice, &published, &terms(&["2026-11"]));
    assert_eq!(of_november.exit(), ExitStatus::Success);
    assert!(of_november.lines.iter().all(|line| line.message.is_some()), "each is said to be open");
}

#[tokio::test]
async fn a_number_that_the_invoice_has_instead_is_named() {
    let of = |guests| ("12345678", "2026-10", guests, PeriodState::Closed);
    let mut ledger = ledger(&[of(7), ("12345678", "2026-09", 6, PeriodState::Closed)]).await;
    let key = task("12345678", "2026-10");
    ledger.publications.get_mut(&key).unwrap().counts.api_guests = Some(9);
    let before_restatement = BTreeMap::from([(key, 5)]);
    let published = Published { ledger, before_restatement };
    for (invoiced, words) in [
        ("9", Some("that is AWS's own count")),
        ("5", Some("that is what was published before it was restated")),
        ("6", Some("that is the number of 2026-09")),
        ("8", None),
    ] {
        let invoice = invoice(BY_NETWORK, &[("2026-10", of_network("12345678"), invoiced)]);
        let comparison = compare(&invoice, &published, &terms(&["2026-10"]));
        let [line] = &comparison.lines[..] else { panic!("{:?}", comparison.lines) };
        let message = line.message.clone().unwrap();
        assert_eq!(message.split_once("; ").map(|(_, hint)| hint), words, "{message}");
        assert_eq!((line.guests_before_restatement, line.guests_of_period_before), (Some(5), Some(6)));
    }
}

#[tokio::test]
async fn accounts_and_regions_are_sums_over_their_networks() {
    use PeriodState::Closed;
    let mut ledger = ledger(&[
        ("12345678", "2026-10", 7, Closed),
        ("87654321", "2026-10", 5, Closed),
        ("01234567", "2026-10", 4, Closed),
        ("11111111", "2026-10", 0, Closed),
    ])
    .await;
    let mut source = |network: &str, account: Option<&str>| {
        let manifest = ledger.publications.get_mut(&task(network, "2026-10")).unwrap();
        manifest.source.aws_account_id = account.map(str::to_owned);
    };
    source("01234567", None);
    source("11111111", Some("999999999999"));
    let published = Published { ledger, ..Published::default() };
    let invoice = invoice(BY_ACCOUNT, &[("2026-10", of_account("111122223333"), "12")]);
    let comparison = compare(&invoice, &published, &terms(&["2026-10"]));
    assert_eq!(
        verdicts(&comparison),
        [
            ("us-east-1".to_owned(), Verdict::NotInvoiced),
            ("111122223333 us-east-1".to_owned(), Verdict::Match),
            ("999999999999 us-east-1".to_owned(), Verdict::Match),
        ],
        "guests of an account that is not known are charged to nobody, and nobody is charged for none"
    );
    assert_eq!(comparison.lines[1].networks, 2);
    assert_eq!(comparison.difference.signed(), "-4");
}

#[tokio::test]
async fn lines_of_one_side_each_with_the_same_number_are_said_to_be_one_perhaps() {
    let of = |network, guests| (network, "2026-10", guests, PeriodState::Closed);
    let published = Published { ledger: ledger(&[of("11111111", 40)]).await, ..Published::default() };
    let in_words = Bearer { region: Some("us east (n. virginia)".to_owned()), ..of_account("111122223333") };
    let lines = [("2026-10", in_words, "40")];
    let comparison = compare(&invoice(BY_ACCOUNT, &lines), &published, &terms(&["2026-10"]));
    let messages: Vec<_> = comparison.lines.iter().map(|line| line.message.clone().unwrap()).collect();
    assert!(
        messages[0].contains("; 111122223333 us-east-1 has as many guests and is not invoiced"),
        "{messages:?}"
    );
    assert!(
        messages[1].contains("; the invoice has as many for 111122223333 us east (n. virginia)"),
        "{messages:?}"
    );
    let other = [("2026-10", of_account("999999999999"), "41")];
    let comparison = compare(&invoice(BY_ACCOUNT, &other), &published, &terms(&["2026-10"]));
    assert!(comparison.lines.iter().all(|line| !line.message.clone().unwrap().contains("as many")));
}

#[tokio::test]
async fn the_total_has_what_one_side_alone_has_and_is_the_sum_of_its_kinds() {
    use PeriodState::Closed;
    let of = |network, guests| (network, "2026-10", guests, Closed);
    let ledger = ledger(&[of("11111111", 40), of("22222222", 8), of("33333333", 5)]).await;
    let published = Published { ledger, ..Published::default() };
    let lines = [
        ("2026-10", of_network("11111111"), "43"),
        ("2026-10", of_network("33333333"), "5"),
        ("2026-10", of_network("44444444"), "9"),
    ];
    let price = Price { per_guest: "5.00".parse().unwrap(), currency: "USD".to_owned(), free: 0 };
    let terms = Terms { price: Some(price), ..terms(&["2026-10"]) };
    let comparison = compare(&invoice(BY_NETWORK, &lines), &published, &terms);
    let shown =
        |difference: &Option<Decimal>| difference.as_ref().map_or_else(|| "-".to_owned(), Decimal::signed);
    let totals: Vec<String> = comparison
        .totals
        .iter()
        .map(|total| {
            let (difference, amount) = (shown(&total.difference), shown(&total.difference_amount));
            format!("{} {} {difference} {amount}", total.lines, total.verdict)
        })
        .collect();
    assert_eq!(
        totals,
        ["1 match 0 0.00", "1 MISMATCH +3 +15.00", "1 NOT INVOICED -8 -40.00", "1 NOT PUBLISHED +9 +45.00"]
    );
    assert_eq!(comparison.difference.signed(), "+4");
    assert_eq!(shown(&comparison.difference_amount), "+20.00");
}

#[tokio::test]
async fn a_network_that_is_missed_is_named_on_the_line_that_lacks_it() {
    use PeriodState::Closed;
    let ledger = ledger(&[
        ("12345678", "2026-09", 7, Closed),
        ("87654321", "2026-09", 4, Closed),
        ("12345678", "2026-10", 7, Closed),
    ])
    .await;
    let published = Published { ledger, ..Published::default() };
    let in_total = Grain { network: false, account: false, region: false };
    let of_october = |grain, bearer, guests, terms: &Terms| {
        let comparison = compare(&invoice(grain, &[("2026-10", bearer, guests)]), &published, terms);
        (verdicts(&comparison), comparison.lines.last().unwrap().message.clone().unwrap_or_default())
    };
    let october = terms(&["2026-10"]);
    for (grain, bearer) in [(in_total, Bearer::default()), (BY_ACCOUNT, of_account("111122223333"))] {
        let whose = bearer.to_string();
        let (found, message) = of_october(grain, bearer.clone(), "12", &october);
        assert_eq!(found, [(whose.clone(), Verdict::Mismatch)]);
        assert!(
            message.contains("5 more than the 7 guests published; network 87654321 is missing"),
            "{message}"
        );
        let (found, message) = of_october(grain, bearer.clone(), "7", &october);
        assert_eq!(found, [(whose.clone(), Verdict::Incomplete)]);
        assert!(
            message.starts_with("the invoice has 7, as many as are published; network 87654321 is missing"),
            "{message}"
        );
        assert!(message.ends_with("or leave it out with --gone 87654321 if it is no more"), "{message}");
        let gone = Terms { gone: BTreeSet::from(["87654321".parse().unwrap()]), ..october.clone() };
        assert_eq!(of_october(grain, bearer, "7", &gone), (vec![(whose, Verdict::Match)], String::new()));
    }
    let (found, message) = of_october(BY_NETWORK, of_network("12345678"), "7", &october);
    assert_eq!(found, [("12345678".to_owned(), Verdict::Match), ("87654321".to_owned(), Verdict::Gap)]);
    assert!(message.contains("nothing is published and nothing is invoiced"), "{message}");
}
