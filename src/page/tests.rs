//! Pages of made-up ledgers.

use std::collections::BTreeSet;

use super::sample::{ledger, manifest};
use super::*;
use crate::publish::Manifest;

fn page(manifests: Vec<Manifest>) -> String {
    let ledger = ledger(manifests);
    let facts = PageFacts {
        output: "out & <about>",
        as_of: "2026-12-02T09:00:00Z".parse().unwrap(),
        settle_days: 3,
        ledger: &ledger,
        told: &Told::default(),
        attempts: &Attempts::Known(BTreeSet::new()),
        arrivals: &Arrivals::new(),
        invoice: None,
    };
    let page = make(facts).unwrap();
    assert_eq!(page.html, make(facts).unwrap().html, "the same facts are the same page");
    page.html
}

#[test]
fn texts_of_others_are_shown_and_never_run() {
    let mut hostile = manifest("12345678", "2026-10", 5);
    hostile.source.network_name = Some("<script>alert('&amp;')</script>\u{202e}\u{0}\"שלום".to_owned());
    let html = page(vec![hostile]);
    assert!(!html.contains("<script"), "{html}");
    let shown =
        "<bdi>&#60;script&#62;alert(&#39;&#38;amp;&#39;)&#60;/script&#62;\u{202e}\\u{0}&#34;שלום</bdi>";
    assert!(html.contains(shown), "{html}");
    assert!(html.contains("out &#38; &#60;about&#62;"));
}

#[test]
fn a_closed_month_stands_first_and_a_later_one_is_called_not_final() {
    let open =
        Manifest { period_state: crate::period::PeriodState::Open, ..manifest("12345678", "2026-12", 3) };
    let months = ["2026-10", "2026-11"].map(|period| manifest("12345678", period, 2_500));
    let html = page(months.into_iter().chain([open]).collect());
    assert!(html.contains("The latest final month: 2026-11"), "{html}");
    assert!(
        html.contains("<data value=\"2500\">2,500</data>")
            && html.contains("So far in <span class=\"period\">2026-12")
    );
    assert!(html.contains("In order") && html.contains("Not final yet"));
}

#[test]
fn two_hundred_networks_are_ranked_and_folded() {
    let networks = (0..200).map(|n| manifest(&format!("{:08}", 10_000_000 + n), "2026-10", 1_000 + n));
    let html = page(networks.collect());
    let rows: Vec<&str> = html.lines().filter(|line| line.contains("<th scope=\"row\"")).collect();
    let ranked = rows.iter().filter(|row| row.starts_with("<tr><td class=\"number\">"));
    let guests: Vec<String> =
        ranked.map(|row| row.split('"').nth(7).unwrap_or_default().to_owned()).collect();
    assert_eq!(guests.len(), 200);
    assert!(guests.is_sorted_by(|one, next| one >= next), "{guests:?}");
    assert!(html.contains("180 more networks, <data value=\"196110\">196,110</data> guests"), "{html}");
}

#[test]
fn nothing_to_believe_is_no_page() {
    let mut ledger = ledger([]);
    let nothing = NothingToShow::check(&ledger, "out").unwrap_err().to_string();
    assert!(nothing.contains("nothing is published at out"), "{nothing}");
    ledger.unreadable.insert("12345678/2026-10".parse().unwrap(), "was altered".to_owned());
    let nothing = NothingToShow::check(&ledger, "out").unwrap_err().to_string();
    assert!(
        nothing.contains("its manifest cannot be believed") && nothing.contains("was altered"),
        "{nothing}"
    );
}
