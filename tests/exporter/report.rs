//! `report`: a page that says what is published and what is missing, that anybody can read, and that names no guest.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::Value;
use wickr_guest_export::simulator::{Population, SimulatorConfig};

use crate::support::{
    AS_OF, CLOSED, Exporter, NETWORK, OLD, OPEN, SETTLING, Scene, guests, network, period, population,
};

/// Four months, whose guests come and go, exported.
fn exported() -> Scene {
    let months = [(OLD, 0..30), (CLOSED, 10..45), (SETTLING, 10..45), (OPEN, 40..52)];
    let scene = Scene::new(population(&months.map(|(month, numbers)| (month, guests(numbers)))));
    scene.export(&format!("{OLD}..{OPEN}")).run().exits(0);
    scene
}

/// Prepares the report of an output as of the day of all tests.
fn report(scene: &Scene) -> Exporter {
    let (output, page) = (scene.path("out"), scene.path("page.html"));
    let words =
        ["report", &output.display().to_string(), "--html", &page.display().to_string(), "--as-of", AS_OF];
    scene.exporter().args(words)
}

/// Makes the page and returns it; no guest may be on it.
fn page(scene: &Scene) -> String {
    report(scene).run().exits(0);
    let html = fs::read_to_string(scene.path("page.html")).expect("a page");
    for month in [OLD, CLOSED, SETTLING, OPEN] {
        for (hash, username) in scene.simulator.expected(network(NETWORK), period(month)) {
            assert!(!html.contains(&hash) && !html.contains(&username), "a guest is on the page");
        }
    }
    html
}

/// An element of a page, and the text that is directly in it.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Takes a page apart, which must be well-formed.
fn elements(html: &str) -> Vec<Element> {
    let mut reader = Reader::from_str(html);
    let (mut elements, mut open): (Vec<Element>, Vec<usize>) = (Vec::new(), Vec::new());
    let begin = |start: &BytesStart<'_>, elements: &mut Vec<Element>| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.expect("an attribute");
            (text(attribute.key.as_ref()), text(&attribute.value))
        });
        let (name, attributes) = (text(start.name().as_ref()), attributes.collect());
        elements.push(Element { name, attributes, text: String::new() });
    };
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("the page is not well-formed: {error}")) {
            Event::Start(start) => {
                begin(&start, &mut elements);
                open.push(elements.len() - 1);
            }
            Event::Empty(start) => begin(&start, &mut elements),
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                if let Some(at) = open.last() {
                    elements[*at].text.push_str(&text.decode().expect("UTF-8"));
                }
            }
            Event::GeneralRef(entity) => {
                let at = *open.last().expect("within an element");
                let resolved = entity.resolve_char_ref().expect("a number").expect("a character");
                elements[at].text.push(resolved);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "every element is closed");
    elements
}

fn named<'a>(elements: &'a [Element], name: &str) -> Vec<&'a Element> {
    elements.iter().filter(|element| element.name == name).collect()
}

/// Says what makes a page readable for everybody, and needs nothing but itself.
fn assert_is_accessible_and_self_contained(elements: &[Element]) {
    let html = &named(elements, "html")[0];
    assert_eq!(html.attribute("lang"), Some("en"));
    let levels: Vec<u32> = elements
        .iter()
        .filter_map(|element| element.name.strip_prefix('h').and_then(|level| level.parse().ok()))
        .collect();
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1, "one title");
    assert_eq!(levels[0], 1);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no level is left out: {levels:?}");

    let ids: Vec<&str> = elements.iter().filter_map(|element| element.attribute("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "every id is one element's: {ids:?}");
    let labels = elements.iter().filter_map(|element| element.attribute("aria-labelledby"));
    for label in labels.flat_map(str::split_whitespace) {
        assert!(ids.contains(&label), "{label}");
    }
    assert_eq!(
        named(elements, "caption").len(),
        named(elements, "table").len(),
        "every table says what it is"
    );
    for header in named(elements, "th") {
        let scope = header.attribute("scope");
        assert!(matches!(scope, Some("col" | "row")), "{}: {scope:?}", header.text);
    }
    let drawings = named(elements, "svg");
    assert_eq!(drawings.len(), 2, "for a wide page and for a phone");
    for drawing in drawings {
        assert_eq!(drawing.attribute("role"), Some("img"));
        assert_eq!(drawing.attribute("aria-labelledby").map(|ids| ids.split(' ').count()), Some(2));
    }

    for element in elements {
        let loads = ["script", "link", "img", "iframe", "object", "base", "form", "a"];
        assert!(!loads.contains(&element.name.as_str()), "{} needs something else", element.name);
        for (name, _) in &element.attributes {
            assert!(!name.starts_with("on") && !["src", "href", "style"].contains(&name.as_str()), "{name}");
        }
    }
    let style = &named(elements, "style")[0].text;
    assert!(!style.contains("url(") && !style.contains("@import"), "{style}");
}

/// The numbers of a table, by the beginning of its caption, row by row.
fn numbers(html: &str, caption: &str) -> Vec<Vec<u64>> {
    let (_, table) = html.split_once(&format!("<caption>{caption}")).unwrap_or_else(|| panic!("{caption}"));
    let (table, _) = table.split_once("</table>").expect("a table");
    let rows = table.split("<tr>").filter(|row| row.contains("<th scope=\"row\""));
    let of_row = |row: &str| {
        let cells = row.split("<data value=\"").skip(1);
        cells.map(|cell| cell.split('"').next().expect("a value").parse().expect("a number")).collect()
    };
    rows.map(of_row).collect()
}

#[test]
fn every_number_is_that_of_its_manifest_and_of_its_rosters() {
    let scene = exported();
    let html = page(&scene);
    assert_is_accessible_and_self_contained(&elements(&html));
    let published = [OPEN, SETTLING, CLOSED, OLD].map(|month| {
        let guests = scene.output().manifest(NETWORK, month)["counts"]["guests"].clone();
        vec![guests.as_u64().expect("a number")]
    });
    assert_eq!(numbers(&html, "Guests by month"), published);
    assert_eq!(numbers(&html, "Most guests first"), [[35]]);
    // New, returning and gone, held against the month before; of the first month nothing is known.
    let arrivals = numbers(&html, "Guests of each month");
    assert_eq!(arrivals, [vec![7, 5], vec![0, 35, 0], vec![15, 20, 10], vec![]]);
    assert!(html.contains("not yet") && html.contains("The latest final month: 2025-09"), "{html}");
    assert!(html.contains("<td>second reading</td>") && html.contains("<td>AWS’s count</td>"), "{html}");
    assert!(html.contains("These numbers come from the simulator"), "{html}");

    let path = scene.path("page.html");
    let mode = fs::metadata(&path).expect("a page").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner alone");
    assert_eq!(page(&scene), html, "the same output as of the same instant is the same page");
    let beside =
        fs::read_dir(scene.path("")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    assert!(
        !beside.into_iter().any(|name| name.to_string_lossy().contains(".tmp")),
        "nothing is left beside it"
    );
}

#[test]
fn what_needs_attention_stands_first_and_on_stdout_and_changes_no_code() {
    let months = [(OLD, 0..30), (CLOSED, 10..45), (OPEN, 40..52)];
    let mut config = population(&months.map(|(month, numbers)| (month, guests(numbers))));
    config.history.delta = 2;
    let scene = Scene::new(config);
    scene.export(&format!("{OLD},{CLOSED},{OPEN}")).run().exits(0);
    let damaged = scene.output().manifest_path(NETWORK, OLD);
    let text =
        fs::read_to_string(&damaged).expect("a manifest").replacen("\"guests\": 30", "\"guests\": 29", 1);
    fs::write(&damaged, text).expect("a manifest");
    // What a network is called now, the latest manifest says.
    scene.output().edit_manifest(NETWORK, OPEN, |manifest| {
        manifest["source"]["network_name"] = "<script>alert(1)</script> \u{202e}=שלום".into();
    });
    let run = report(&scene).replacing("--as-of", "2025-11-05T00:00:00Z").run().exits(0);
    let folder = scene.path("").display().to_string();
    insta::with_settings!({filters => vec![(folder.as_str(), "[folder]/")]}, {
        insta::assert_snapshot!(run.stdout);
    });
    let html = fs::read_to_string(scene.path("page.html")).expect("a page");
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is not in {html}"));
    let order = ["What needs attention", "Damaged: records that", "Mismatch: AWS counts another"];
    assert!(order.map(at).is_sorted() && at("Mismatch: AWS counts another") < at("The latest final month"));
    assert_is_accessible_and_self_contained(&elements(&html));
    let elements = elements(&html);
    let names: BTreeSet<&str> = named(&elements, "bdi").into_iter().map(|name| name.text.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["<script>alert(1)</script> \u{202e}=שלום"]));
    assert_eq!(
        numbers(&html, "Guests by month"),
        [vec![12], vec![], vec![35], vec![]],
        "what is damaged, or not there, has no number"
    );

    let run = report(&scene).args(["--summary", "json"]).run().exits(0);
    let made: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(made["page"]["publications"], 2);
    assert!(made["page"]["warnings"].as_array().is_some_and(|warnings| warnings.len() >= 3), "{made}");
}

#[test]
fn nothing_to_believe_ends_with_65_and_leaves_the_page_as_it_was() {
    let scene = exported();
    let html = page(&scene);
    for month in [OLD, CLOSED, SETTLING, OPEN] {
        fs::write(scene.output().manifest_path(NETWORK, month), "{}").expect("a manifest");
    }
    let error = report(&scene).run().exits(65).error();
    assert!(error.contains("none of its 4 manifests can be believed"), "{error}");
    assert_eq!(fs::read_to_string(scene.path("page.html")).expect("a page"), html);
    let nowhere = scene.path("nowhere").display().to_string();
    let words = ["report", &nowhere, "--html", "page.html", "--rebuild-summary"];
    let error = scene.exporter().args(words).run().exits(65).error();
    assert!(error.contains("nothing is published at"), "{error}");
    assert!(!Path::new(&nowhere).exists(), "nothing is made of nothing");
}

#[test]
fn a_page_that_cannot_be_written_ends_with_73_and_a_wrong_command_line_with_2() {
    let scene = exported();
    fs::create_dir(scene.path("folder")).expect("a folder");
    for place in ["folder", "no/such/folder/page.html"] {
        let path = scene.path(place).display().to_string();
        let error = report(&scene).replacing("--html", &path).run().exits(73).error();
        assert!(error.contains(place) && error.contains("--html"), "{error}");
    }
    let output = scene.path("out").display().to_string();
    for words in [
        &["report", &output][..],
        &["report", "--html", "x.html"],
        &["report", &output, "--rebuild-summary", "--compare-rosters", "1"],
        &["report", &output, "--html", "x.html", "--as-of", "soon"],
        &["report", &output, "--html", "-"],
        &["report", &output, "--html", "x.html", "--gone", "99999999"],
    ] {
        scene.exporter().args(words.iter().copied()).run().exits(2);
    }
    scene.output().edit_manifest(NETWORK, OPEN, |manifest| manifest["source"]["kind"] = "wickr".into());
    let error = report(&scene).replacing("--as-of", "2999-01-01T00:00:00Z").run().exits(2).error();
    assert!(error.contains("--as-of") && error.contains("future"), "{error}");
}

#[test]
fn rosters_that_are_elsewhere_tell_who_is_new_only_where_they_may_be_read() {
    let months = [(OLD, 0..30), (CLOSED, 10..45)];
    let scene = Scene::new(population(&months.map(|(month, numbers)| (month, guests(numbers)))));
    let rosters = scene.path("rosters").display().to_string();
    let job = format!("[output]\nroster_url = '{rosters}'\n");
    scene.job(&job).args(["--network", NETWORK, "--period", &format!("{OLD},{CLOSED}")]).run().exits(0);
    let html = page(&scene);
    assert!(html.contains("not known: a roster is not there"), "{html}");
    assert!(
        html.contains("not known: nothing is published for the month before"),
        "each month has its reason"
    );
    report(&scene).args(["--compare-rosters", "0"]).run().exits(0);
    let html = fs::read_to_string(scene.path("page.html")).expect("a page");
    assert!(html.contains("Not known: rosters were not read for this page"), "{html}");
    report(&scene).args(["--roster-url", &rosters]).run().exits(0);
    let html = fs::read_to_string(scene.path("page.html")).expect("a page");
    assert_eq!(numbers(&html, "Guests of each month"), [vec![15, 20, 10], vec![]]);
}

#[test]
fn the_summary_is_made_anew_from_the_manifests_as_it_was() {
    let scene = exported();
    let summary = || {
        ["csv", "parquet"]
            .map(|format| scene.output().bytes(&format!("summary/{format}/guest_counts.{format}")))
    };
    let before = summary();
    let words = ["report", &scene.path("out").display().to_string(), "--rebuild-summary"].map(str::to_owned);
    let rebuild = || scene.exporter().args(words.iter().map(String::as_str)).run().exits(0);
    for file in ["summary/parquet/guest_counts.parquet", "summary/csv/guest_counts.csv"] {
        fs::write(scene.path("out").join(file), "damaged").expect("a file");
    }
    let run = rebuild();
    assert!(
        run.stdout.contains("summary made anew, 4 rows published, 0 tried and never published"),
        "{}",
        run.stdout
    );
    assert_eq!(summary(), before);
    fs::remove_dir_all(scene.path("out").join("summary")).expect("a folder");
    rebuild();
    assert_eq!(summary(), before);
    scene.exporter().verifying(&scene.path("out")).run().exits(0);
}

/// The text of a page without its tags.
fn shown(html: &str) -> String {
    let texts = html.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text);
    let words = texts.flat_map(|text| text.split([' ', '\n'])).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_network_without_a_number_for_a_month_is_missing_and_no_new_one_the_month_after() {
    let (one, two) = ("11111111", "22222222");
    let lists = [OLD, CLOSED, SETTLING].into_iter().enumerate().flat_map(|(at, month)| {
        let more = 10 * u32::try_from(at).expect("few");
        [(one, 0..20 + more), (two, 100..300)]
            .map(|(id, numbers)| (network(id), period(month), guests(numbers)))
    });
    let scene = Scene::new(SimulatorConfig {
        networks: [one, two].map(network).to_vec(),
        population: Population::explicit(lists),
        ..population(&[])
    });
    scene.job("").args(["--network", "all", "--period", &format!("{OLD}..{SETTLING}")]).run().exits(0);
    scene.output().unpublish(two, CLOSED);
    let late = "2025-11-05T00:00:00Z";
    scene.output().edit_manifest(one, SETTLING, |manifest| manifest["period_state"] = "closed".into());
    scene.output().edit_manifest(two, SETTLING, |manifest| manifest["period_state"] = "closed".into());
    let run = report(&scene).replacing("--as-of", late).args(["--rebuild-summary"]).run().exits(0);
    // What the summary has no row for, as no run has tried it in vain, is missing all the same.
    let made = "summary made anew, 5 rows published, 0 tried and never published; 1 number of a closed month is missing";
    assert!(run.stdout.contains(made), "{}", run.stdout);
    assert!(
        run.stdout.contains("Missing: networks without a number: network 22222222: 2025-09"),
        "{}",
        run.stdout
    );
    let html = fs::read_to_string(scene.path("page.html")).expect("a page");
    let shown = shown(&html);
    let change = "+10 +33.3\u{a0}%, 30 guests then, in the 1 network with a number for both; not comparable: 1 of 2 networks \
                  has no number for 2025-09";
    assert!(shown.contains(change), "{shown}");
    assert!(!shown.contains("1 new,"), "{shown}");
    assert!(
        shown.contains("1 missing")
            && shown.contains("1 of 2 networks; not for the rest: nothing is published")
    );
    let drawn = "2 months are final. 1 month is not final. The table below";
    assert!(shown.contains(drawn), "{shown}");
}

#[test]
fn a_damaged_record_stands_among_the_damaged_ones_and_not_under_the_invoice() {
    let scene = exported();
    fs::write(scene.output().manifest_path(NETWORK, OLD), "{}").expect("a manifest");
    let lines = "period,network,quantity\n2025-08,12345678,30\n2025-09,12345678,35\n";
    let invoice = scene.write("invoice.csv", lines);
    let run = report(&scene).args(["--invoice", &invoice]).run().exits(0);
    assert!(
        run.stdout.contains("WARNING  Damaged: records that cannot be believed: network 12345678: 2025-08")
    );
    assert!(!run.stdout.contains("The invoice says something else"), "{}", run.stdout);
    let agrees = "Nothing of the invoice disagrees: lines by network: 1 match, 1 DAMAGED";
    assert!(run.stdout.contains(agrees), "{}", run.stdout);
}

#[test]
fn an_invoice_is_blamed_for_its_own_lines_alone() {
    let scene = exported();
    let line = |month, guests| format!("{month},{NETWORK},{guests}\n");
    let told = |lines: &str, more: &[&str]| {
        let invoice = scene.write("invoice.csv", &format!("period,network,quantity\n{lines}"));
        report(&scene).args(["--invoice", &invoice]).args(more.iter().copied()).run().exits(0).stdout
    };
    let open = told(&line(OPEN, 3), &[]);
    assert!(
        open.contains(
            "note     Nothing of this invoice could be compared yet: lines by network: 1 not closed"
        )
    );
    let wrong = line(OLD, 33) + &line(CLOSED, 35);
    let run = told(&wrong, &[]);
    assert!(run.contains("WARNING  The invoice says something else: network 12345678: 2025-08"), "{run}");
    let run = told(&wrong, &["--tolerance", "3"]);
    assert!(run.contains("Nothing of the invoice disagrees: lines by network: 1 match, 1 within tolerance"));

    // A number that agrees and is stale says nothing of the invoice; nor does a month that neither has.
    let manifest = |manifest: &mut Value| manifest["period_state"] = "settling".into();
    scene.output().edit_manifest(NETWORK, CLOSED, manifest);
    let run = told(&line(CLOSED, 35), &[]);
    assert!(!run.contains("The invoice says something else"), "{run}");
    assert!(
        run.contains("Nothing of this invoice could be compared yet: lines by network: 1 STALE"),
        "{run}"
    );
    assert_eq!(run.matches("2025-09").count(), 1, "{run}");
    let run = told(&(line("2025-06", 1) + &line(OLD, 30)), &[]);
    assert!(run.contains("WARNING  The invoice says something else: network 12345678: 2025-06"), "{run}");
    assert!(run.contains("WARNING  Gap: neither published nor invoiced: 2025-07"), "{run}");
    scene.output().unpublish(NETWORK, CLOSED);
    let run = told(&(line(OLD, 30) + &line(SETTLING, 35)), &[]);
    assert_eq!(run.matches("2025-09").count(), 1, "{run}");
    assert!(run.contains("WARNING  Missing: months without any number: 2025-09"), "{run}");
    let html = fs::read_to_string(scene.path("page.html")).expect("a page");
    assert_eq!(numbers(&html, "Guests by month").len(), 4, "a month without a number has a row");
    assert!(shown(&html).contains("1 month has no number"), "and a place in the chart");
}

#[test]
fn networks_that_are_gone_are_missed_on_the_page_no_more_than_by_status() {
    let (one, two) = ("11111111", "22222222");
    let lists = [(one, OLD), (one, CLOSED), (two, OLD)];
    let lists = lists.map(|(id, month)| (network(id), period(month), guests(0..20)));
    let scene = Scene::new(SimulatorConfig {
        networks: [one, two].map(network).to_vec(),
        population: Population::explicit(lists),
        ..population(&[])
    });
    scene.job("").args(["--network", "all", "--period", &format!("{OLD}..{CLOSED}")]).run().exits(0);
    scene.output().unpublish(two, CLOSED);
    let invoice = scene.write("invoice.csv", "period,quantity\n2025-09,20\n");
    let with_invoice = || report(&scene).args(["--invoice", &invoice]);
    let run = with_invoice().run().exits(0).stdout;
    assert!(run.contains("Missing: networks without a number: network 22222222: 2025-09"), "{run}");
    assert!(run.contains("or leave it out with --gone 22222222"), "{run}");
    let run = with_invoice().args(["--gone", two]).run().exits(0).stdout;
    assert!(!run.contains(two) && run.contains("Nothing of the invoice disagrees"), "{run}");
    let run = report(&scene).args(["--gone", one]).run().exits(0).stdout;
    assert!(run.contains("--gone without effect: network 11111111 is missed in no month"), "{run}");
}

#[test]
fn a_closing_that_is_damaged_and_months_that_are_stale_are_told() {
    let scene = exported();
    fs::write(scene.path(&format!("out/manifests/period={OLD}/_CLOSED.json")), "{}").expect("a closing");
    let stale = report(&scene).replacing("--as-of", "2026-03-01T00:00:00Z").run().exits(0).stdout;
    assert!(
        stale.contains("Damaged: records that cannot be believed: 2025-08: its closing was altered"),
        "{stale}"
    );
    let deadline = "2025-11: read while the month was open on the day of the simulator; AWS's count could confirm it \
                    until 2026-01-30, and now only two walks can";
    assert!(stale.contains(deadline), "{stale}");
    let shown = shown(&fs::read_to_string(scene.path("page.html")).expect("a page"));
    assert!(shown.contains("The latest final month: 2025-09"), "{shown}");
    assert!(!shown.contains("So far in"), "no month is open: {shown}");
    assert!(shown.contains("2 months have no number"), "up to January, which is the latest closed: {shown}");
}

/// Makes a page of a generated output, for a browser to look at.
pub(crate) fn page_of(scene: &Scene, periods: &str) -> PathBuf {
    let job = "concurrency = 8\n[source]\nnetworks = \"all\"\n[request]\nattempts = 2\n";
    scene.job(job).args(["--period", periods]).run().exits(0);
    page_again(scene)
}

/// Makes the page of what is published already.
pub(crate) fn page_again(scene: &Scene) -> PathBuf {
    report(scene).run().exits(0);
    scene.path("page.html")
}

/// So many networks and months up to the open one.
pub(crate) fn many(networks: u32, months: i64, guests: u64) -> SimulatorConfig {
    let last = period(OPEN);
    SimulatorConfig {
        networks: (0..networks)
            .map(|number| network(&format!("{:08}", 20_000_000 + number * 7_919)))
            .collect(),
        periods: (0..months).rev().map(|back| last.plus_months(-back)).collect(),
        guests,
        guests_vary_percent: 40,
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    }
}
