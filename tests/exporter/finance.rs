//! The story of a month's bill, as finance and whoever runs the export live it, told by the commands one after the other.

use std::fs;

use wickr_guest_export::simulator::{Population, SimulatorConfig};

use crate::support::{AS_OF, Exporter, Run, Scene, guests, network, period};

const ACME: &str = "01234567";
const GLOBEX: &str = "12345678";
const JULY: &str = "2025-07";
const AUGUST: &str = "2025-08";
const SEPTEMBER: &str = "2025-09";

type List<'a> = (&'a str, &'a str, std::ops::Range<u32>);

fn lists(lists: &[List<'_>]) -> SimulatorConfig {
    let rows = lists.iter().map(|(id, month, numbers)| (network(id), period(month), guests(numbers.clone())));
    SimulatorConfig {
        population: Population::explicit(rows.collect::<Vec<_>>()),
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    }
}

struct Finance {
    scene: Scene,
}

impl Finance {
    fn export(&self, networks: &[&str]) -> Run {
        let networks = networks.iter().flat_map(|id| ["--network", id]);
        self.scene.job("").args(networks).args(["--period", "2025-07..2025-09"]).run().exits(0)
    }

    fn out(&self) -> String {
        self.scene.path("out").display().to_string()
    }

    fn ask(&self, words: &[&str]) -> Exporter {
        let out = self.out();
        self.scene.exporter().args([words[0], &out]).args(words[1..].iter().copied())
    }

    fn invoice(&self, lines: &[(&str, &str, u32)]) -> String {
        let lines = lines.iter().map(|(month, network, guests)| format!("{month},{network},{guests}\n"));
        self.scene.write("invoice.csv", &format!("period,network,quantity\n{}", lines.collect::<String>()))
    }

    fn page(&self, invoice: &str) -> (Run, String) {
        let page = self.scene.path("page.html").display().to_string();
        let made =
            self.ask(&["report", "--html", &page, "--invoice", invoice, "--as-of", AS_OF]).run().exits(0);
        (made, fs::read_to_string(&page).expect("a page"))
    }
}

#[test]
fn a_wrong_invoice_is_found_explained_and_agrees_in_the_end_and_a_network_that_vanishes_is_missed() {
    // Three months, exported one after the other; of September's guests three are still to come.
    let all: Vec<List<'static>> = [JULY, AUGUST, SEPTEMBER]
        .into_iter()
        .flat_map(|month| [(ACME, month, 0..40), (GLOBEX, month, 100..160)])
        .collect();
    let early = |(id, month, numbers): &List<'static>| match (*id, *month) {
        (GLOBEX, SEPTEMBER) => (*id, *month, 100..157),
        _ => (*id, *month, numbers.clone()),
    };
    let mut finance = Finance { scene: Scene::new(lists(&all.iter().map(early).collect::<Vec<_>>())) };
    finance.export(&[ACME, GLOBEX]);

    // The invoice has one number that is not the roster's.
    let months = [JULY, AUGUST, SEPTEMBER];
    let billed: Vec<_> = months.iter().flat_map(|month| [(*month, ACME, 40), (*month, GLOBEX, 60)]).collect();
    let invoice = finance.invoice(&billed);
    let found = finance.ask(&["reconcile", "--invoice", &invoice]).run().exits(3);
    let finding = "MISMATCH: 12345678 in 2025-09: the invoice has 60, 3 more than the 57 guests published";
    assert!(found.stdout.contains(finding), "{}", found.stdout);
    assert_eq!(found.stdout.matches("MISMATCH:").count(), 1, "{}", found.stdout);
    let (made, page) = finance.page(&invoice);
    let told = "The invoice says something else: network 12345678: 2025-09: the invoice has 60, 3 more";
    assert!(made.stdout.contains(told), "{}", made.stdout);
    assert!(page.contains("The invoice says something else") && page.contains("3 more than the 57"));

    // AWS lists the three that were missing, and the month is exported again.
    finance.scene.becomes(lists(&all));
    let restated = finance.export(&[ACME, GLOBEX]).summary();
    let changed: Vec<_> = restated["tasks"]
        .as_array()
        .expect("tasks")
        .iter()
        .filter(|task| task["status"] == "restated")
        .collect();
    assert_eq!(changed.len(), 1);
    assert_eq!((&changed[0]["network_id"], &changed[0]["added"]), (&GLOBEX.into(), &3.into()));
    let came = finance
        .ask(&["diff", "--from", "2025-09@1", "--to", "2025-09@2", "--network", GLOBEX, "--summary", "json"])
        .run()
        .exits(0);
    assert!(came.stdout.contains("\"added\": 3"), "{}", came.stdout);

    // Everything agrees.
    finance.ask(&["reconcile", "--invoice", &invoice]).run().exits(0);
    let (made, page) = finance.page(&invoice);
    assert!(
        made.stdout.contains("Nothing of the invoice disagrees: lines by network: 6 match"),
        "{}",
        made.stdout
    );
    assert!(page.contains("Nothing of the invoice disagrees") && !page.contains("says something else"));
    finance.ask(&["status", "--as-of", AS_OF]).run().exits(0);
    finance.ask(&["verify"]).run().exits(0);

    // One of the networks is gone, and nobody has said so.
    let left: Vec<List<'_>> = all.iter().filter(|(id, _, _)| *id == ACME).cloned().collect();
    let october = (ACME, "2025-10", 0..40);
    finance.scene.becomes(lists(&left.into_iter().chain([october]).collect::<Vec<_>>()));
    let late = "2025-11-05T09:00:00Z";
    let last =
        finance.scene.job("").replacing("--as-of", late).args(["--network", "all", "--period", "2025-10"]);
    last.run().exits(0);
    let missed = finance.ask(&["status", "--as-of", late]).run().exits(3);
    assert!(missed.stdout.contains(GLOBEX) && missed.stdout.contains("2025-10"), "{}", missed.stdout);
}
