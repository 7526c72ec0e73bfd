//! `reconcile`: the line of an invoice that is wrong is named, and so is what is missing on either side.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use wickr_guest_export::simulator::{Population, SimulatorConfig};

use crate::support::{CLOSED, Exporter, NETWORK, OLD, OPEN, Run, Scene, guests, network, period, population};

const JULY: &str = "2025-07";
const OTHER: &str = "01234567";
/// Three months of two networks, by their guests.
const MONTHS: [(&str, u32, u32); 3] = [(JULY, 30, 7), (OLD, 40, 8), (CLOSED, 50, 9)];
/// What an invoice says of them that is right.
const RIGHT: &str = "period,account,region,network,quantity\n\
    2025-07,111122223333,us-east-1,12345678,30\n2025-07,111122223333,us-east-1,01234567,7\n\
    2025-08,111122223333,us-east-1,12345678,40.0\n2025-08,111122223333,us-east-1,01234567,8\n\
    2025-09,111122223333,us-east-1,12345678,5E1\n2025-09,111122223333,us-east-1,01234567,9\n";

/// Two networks that are published for three closed months.
fn published() -> Scene {
    let lists = MONTHS.iter().flat_map(|&(month, many, few)| {
        [(NETWORK, many), (OTHER, few)].map(|(id, count)| (network(id), period(month), guests(0..count)))
    });
    let scene = Scene::new(SimulatorConfig {
        networks: [NETWORK, OTHER].map(network).to_vec(),
        population: Population::explicit(lists),
        ..population(&[(CLOSED, Vec::new())])
    });
    let months = format!("{JULY}..{CLOSED}");
    scene.job("").args(["--network", "all", "--period", &months]).run().exits(0);
    scene
}

/// Holds an invoice against the output.
fn reconcile(scene: &Scene, invoice: &str, flags: &[&str]) -> Run {
    let output = scene.path("out").display().to_string();
    let command = ["reconcile", &output, "--invoice", invoice, "--quiet"];
    scene.exporter().args(command.into_iter().chain(flags.iter().copied())).run()
}

/// Holds the text of an invoice against the output.
fn against(scene: &Scene, text: &str, flags: &[&str]) -> Run {
    reconcile(scene, &scene.write("invoice.csv", text), flags)
}

/// Returns the lines whose verdict is not a match, each as period, network and verdict.
#[track_caller]
fn findings(scene: &Scene, text: &str, flags: &[&str]) -> (i32, Vec<String>) {
    let run = against(scene, text, &[flags, &["--summary", "json"]].concat());
    let summary = run.summary();
    let lines = summary["lines"].as_array().expect("lines");
    let found = lines.iter().filter(|line| line["verdict"] != "match").map(|line| {
        let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", word("period"), word("network_id"), word("verdict"))
    });
    (run.code, found.collect())
}

fn without_folder(run: &Run, scene: &Scene) -> String {
    run.stdout.replace(&format!("{}/", scene.path("").display()).replace("//", "/"), "")
}

#[test]
fn a_wrong_number_is_named_with_network_period_and_difference() {
    let scene = published();
    let right = against(&scene, RIGHT, &[]).exits(0);
    assert!(right.stdout.contains("6 lines by network: 6 match."), "{}", right.stdout);

    let wrong = RIGHT.replace("12345678,40.0", "12345678,43.0");
    let run = against(&scene, &wrong, &[]).exits(3);
    let named = "MISMATCH: 12345678 in 2025-08: the invoice has 43, 3 more than the 40 guests published";
    assert!(run.stdout.contains(named), "{}", run.stdout);
    assert!(
        run.stdout.contains("Invoice less roster, in guests: +3 in all.\n  MISMATCH, 1 line: +3\n6 lines")
    );

    let money = ["--price-per-guest", "5.00", "--currency", "USD", "--free", "41"];
    let run = against(&scene, &wrong, &money).exits(3);
    insta::assert_snapshot!("text", without_folder(&run, &scene));
    let csv = against(&scene, &wrong, &[&money[..], &["--summary", "csv"]].concat()).exits(3);
    insta::assert_snapshot!("csv", csv.stdout);
    let json = against(&scene, &wrong, &[&money[..], &["--summary", "json"]].concat()).exits(3);
    insta::assert_snapshot!("json", without_folder(&json, &scene));
}

#[test]
fn a_restatement_explains_an_invoice_that_was_right_before() {
    let mut scene = Scene::new(population(&[(CLOSED, guests(0..50))]));
    scene.run(CLOSED).exits(0);
    let invoice = "period,network,quantity\n2025-09,12345678,50\n";
    against(&scene, invoice, &[]).exits(0);
    scene.becomes(population(&[(CLOSED, guests(0..52))]));
    scene.run(CLOSED).exits(0);
    let run = against(&scene, invoice, &[]).exits(3);
    let named = "the invoice has 50, 2 fewer than the 52 guests published; that is what was published before it was \
                 restated";
    assert!(run.stdout.contains(named), "{}", run.stdout);
    against(&scene, &invoice.replace(",50", ",52"), &[]).exits(0);
}

#[test]
fn what_is_on_one_side_only_and_gaps_are_findings_whatever_the_tolerance() {
    let scene = published();
    let lax = &["--tolerance", "1000"];
    let without_line = RIGHT.replace("2025-08,111122223333,us-east-1,01234567,8\n", "");
    let not_invoiced = vec!["2025-08 01234567 not_invoiced".to_owned()];
    assert_eq!(findings(&scene, &without_line, lax), (3, not_invoiced));

    let unknown = format!("{RIGHT}2025-09,111122223333,us-east-1,99999999,1\n");
    assert_eq!(findings(&scene, &unknown, lax), (3, vec!["2025-09 99999999 not_published".to_owned()]));

    let later = format!("{RIGHT}2025-11,111122223333,us-east-1,12345678,1\n");
    let (code, found) = findings(&scene, &later, lax);
    assert_eq!(code, 3);
    // Nobody has October, and of November there is no number.
    assert_eq!(found, ["2025-10 - gap", "2025-11 12345678 not_published"]);

    let (_, rows_of_september) =
        RIGHT.split_once("2025-08,111122223333,us-east-1,01234567,8\n").expect("a row");
    let september = format!("period,account,region,network,quantity\n{rows_of_september}");
    assert_eq!(
        findings(&scene, &september, &[]),
        (0, Vec::new()),
        "months before the invoice are not asked for"
    );
    let (code, found) = findings(&scene, &september, &["--period", "2025-08..2025-10"]);
    let missing = ["2025-08 01234567 not_invoiced", "2025-08 12345678 not_invoiced", "2025-10 - gap"];
    assert_eq!((code, found), (3, missing.map(str::to_owned).to_vec()));

    scene.output().unpublish(OTHER, OLD);
    let (_, found) = findings(&scene, &without_line, lax);
    assert_eq!(found, ["2025-08 01234567 gap"], "a network that has both neighbours of a month");
}

#[test]
fn a_month_that_has_not_begun_is_a_finding_and_no_month_before_it_is_invented() {
    let scene = published();
    let text = "period,network,quantity\n2025-09,12345678,50\n2025-09,01234567,9\n2997-10,01234567,9999\n";
    // With the months until now, which have begun.
    let run = against(&scene, text, &["--summary", "json"]).exits(3);
    let lines = run.summary()["lines"].as_array().expect("lines").clone();
    let last = lines.last().expect("a line");
    assert_eq!((&last["period"], &last["verdict"]), (&"2997-10".into(), &"not_begun".into()));
    assert_eq!(last["difference"], "9999");
    let begun = |line: &&Value| line["period"].as_str() < Some("2900");
    assert_eq!(lines.iter().filter(begun).count(), lines.len() - 1, "{lines:#?}");

    let alone = "period,network,quantity\n2997-10,01234567,9999\n";
    let (code, found) = findings(&scene, alone, &["--tolerance", "100%"]);
    assert_eq!((code, found), (3, vec!["2997-10 01234567 not_begun".to_owned()]));
    let told = against(&scene, alone, &[]).exits(3).stdout;
    let named = "NOT BEGUN: 01234567 in 2997-10: the month begins on 2997-10-01 and is invoiced already: the invoice has 9999;";
    assert!(told.contains(named) && !told.contains("Nothing is published of"), "{told}");
}

#[test]
fn a_network_that_is_gone_without_effect_is_said_and_one_that_never_was_there_refused() {
    let scene = published();
    let refused = against(&scene, RIGHT, &["--gone", "99999999"]).exits(2).error();
    assert!(refused.contains("--gone 99999999: nothing is published of this network"), "{refused}");
    let told = against(&scene, RIGHT, &["--gone", OTHER]).exits(0).stdout;
    assert!(told.contains("--gone without effect: network 01234567 is missed in no month"), "{told}");
    let summary = against(&scene, RIGHT, &["--gone", OTHER, "--summary", "json"]).exits(0).summary();
    assert_eq!(summary["gone_without_effect"], serde_json::json!([OTHER]));
    scene.output().unpublish(OTHER, CLOSED);
    let total = "period,quantity\n2025-08,48\n2025-09,50\n";
    let summary = against(&scene, total, &["--gone", OTHER, "--summary", "json"]).exits(0).summary();
    assert_eq!(summary["gone_without_effect"], serde_json::json!([]));
}

#[test]
fn the_total_has_what_one_side_alone_has_with_its_money() {
    let scene = published();
    let wrong = RIGHT.replace("12345678,40.0", "12345678,43").replace(
        "2025-09,111122223333,us-east-1,01234567,9\n",
        "2025-09,111122223333,us-east-1,99999999,12\n",
    );
    // Of March there are rows twice, and of the months until July there is nothing.
    let wrong = format!("{wrong}2025-03,,,12345678,4\n2025-03,,,12345678,5\n");
    let money = ["--price-per-guest", "5.00", "--currency", "USD"];
    let run = against(&scene, &wrong, &money).exits(3);
    insta::assert_snapshot!("one_sided", without_folder(&run, &scene));
    let csv = against(&scene, &wrong, &["--summary", "csv"]).exits(3);
    assert_eq!(csv.stdout.matches("\"gap\"").count(), 3, "months are folded for people only: {}", csv.stdout);
}

#[test]
fn a_network_that_is_missing_behind_a_sum_is_named() {
    let scene = published();
    scene.output().unpublish(OTHER, CLOSED);
    let total = "period,quantity\n2025-08,48\n2025-09,50\n";
    let run = against(&scene, total, &[]).exits(3);
    insta::assert_snapshot!("missing_network", without_folder(&run, &scene));
    let summary = against(&scene, total, &["--summary", "json"]).exits(3).summary();
    assert_eq!(summary["lines"][1]["missing_networks"], serde_json::json!([OTHER]));
    against(&scene, total, &["--gone", OTHER]).exits(0);
}

#[test]
fn an_invoice_of_other_months_than_are_published_is_said_to_be_one() {
    let scene = published();
    let run = against(&scene, "period,quantity\n2025-01,1\n2025-02,1\n", &[]).exits(3);
    let said = "Nothing is published of 2025-01 to 2025-02, which is all that is compared; the output has 2025-07 to \
                2025-09.";
    assert!(run.stdout.contains(said), "{}", run.stdout);
}

#[test]
fn a_tolerance_is_in_guests_or_in_hundredths() {
    let scene = published();
    let wrong = RIGHT.replace("12345678,40.0", "12345678,41");
    for (tolerance, code) in [("0", 3), ("0.99", 3), ("1", 0), ("2.4%", 3), ("2.5%", 0)] {
        let run = against(&scene, &wrong, &["--tolerance", tolerance]).exits(code);
        assert_eq!(run.stdout.contains("within tolerance: 12345678 in 2025-08"), code == 0, "{}", run.stdout);
    }
}

fn packed(text: &str, path: &Path) {
    let mut encoder = GzEncoder::new(File::create(path).expect("a file"), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("a file");
    encoder.finish().expect("a file");
}

/// Writes what an export would of a month: by account and region, several rows, and rows for other things.
fn in_parquet(rows: &[(&str, f64)], path: &Path) {
    let text = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("line_item_usage_account_id", text(vec!["111122223333"; rows.len()])),
        ("product_region_code", text(vec!["us-east-1"; rows.len()])),
        ("line_item_product_code", text(rows.iter().map(|row| row.0).collect())),
        ("line_item_line_item_type", text(vec!["Usage"; rows.len()])),
        (
            "line_item_usage_amount",
            Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Float64Array>()) as ArrayRef,
        ),
    ])
    .expect("columns");
    let mut writer =
        ArrowWriter::try_new(File::create(path).expect("a file"), batch.schema(), None).expect("Parquet");
    writer.write(&batch).expect("rows");
    writer.close().expect("a file");
}

#[test]
fn an_export_by_account_is_compared_with_the_sum_over_its_networks() {
    let scene = published();
    let mapping = scene.write(
        "mapping.toml",
        "quantity = \"line_item_usage_amount\"\naccount = \"line_item_usage_account_id\"\n\
         region = \"product_region_code\"\nperiod = { partition = \"BILLING_PERIOD\" }\n\
         filter = { line_item_product_code = \"Wickr\", line_item_line_item_type = [\"Usage\", \"Credit\"] }\n",
    );
    let folder = |month: &str| {
        let folder = scene.path(&format!("cur/data/BILLING_PERIOD={month}"));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    };
    scene.write("cur/metadata/BILLING_PERIOD=2025-07/cur-Manifest.json", "{}");
    in_parquet(
        &[("Wickr", 36.5), ("Compute", f64::NAN), ("Wickr", 0.5)],
        &folder(JULY).join("cur-00001.parquet"),
    );
    in_parquet(&[("Wickr", 48.0)], &folder(OLD).join("cur-00001.snappy.parquet"));
    let header = "line_item_product_code,line_item_line_item_type,line_item_usage_amount,line_item_usage_account_id,product_region_code";
    let text =
        format!("{header}\nWickr,Usage,60,111122223333,us-east-1\nWickr,Credit,-2,111122223333,us-east-1\n");
    packed(&text, &folder(CLOSED).join("cur-00001.csv.gz"));

    let invoice = scene.path("cur").display().to_string();
    let run = reconcile(&scene, &invoice, &["--mapping", &mapping]).exits(3);
    let named = "MISMATCH: 111122223333 us-east-1 in 2025-09: the invoice has 58 in 2 rows, 1 fewer than the 59 guests published";
    assert!(run.stdout.contains(named), "{}", run.stdout);
    assert!(run.stdout.contains("3 lines by account and region: 2 match, 1 MISMATCH"), "{}", run.stdout);
    assert!(run.stdout.contains("a guest of two networks counts twice"), "{}", run.stdout);

    let text = fs::read_to_string(&mapping).expect("a mapping").replace("\"Wickr\"", "\"AWSWickr\"");
    let none = reconcile(&scene, &invoice, &["--mapping", &scene.write("other.toml", &text)]).exits(2);
    let error = none.error();
    assert!(error.ends_with("`line_item_product_code` holds `Compute`, `Wickr`"), "{error}");
}

#[test]
fn an_invoice_or_a_mapping_that_says_nothing_is_a_wrong_command_line() {
    let scene = published();
    let wrong = |text: &str, flags: &[&str]| against(&scene, text, flags).exits(2).stderr;
    for (text, words) in [
        ("", "is empty"),
        ("month,quantity\n2025-09,1\n", "has no column `period`, but `month`, `quantity`"),
        ("period,quantity\n2025-09,NaN\n", "invoice.csv, line 2: the column `quantity` is `NaN`"),
        ("period,quantity\n2025-09,1\n2025-09,99999999999999999\n", "line 3: the column `quantity`"),
        (
            "period,quantity\n2025-09,2.054\n",
            "line 2: the column `quantity` is `2.054`, which is two numbers",
        ),
        ("period,quantity\n2025-09,36.5\n", "line 2: is the first row with a fraction"),
        ("period,quantity\n2025-09,1\nTotal,1\n", "line 3: looks like a row of totals"),
        ("period,quantity\n1999-09,1\n", "line 2: the column `period` is `1999-09`"),
        ("period,quantity\n2000-01,1\n2025-09,1\n", "say with --period which to compare"),
    ] {
        assert!(wrong(text, &[]).contains(words), "{text}: {}", wrong(text, &[]));
    }
    let mapping =
        scene.write("mapping.toml", "quantity = \"q\"\nperiod = { column = \"p\" }\nunit = \"guests\"\n");
    let error = wrong(RIGHT, &["--mapping", &mapping]);
    assert!(
        error.contains("mapping.toml: TOML parse error at line 3") && error.contains("`unit`"),
        "{error}"
    );
    for flags in [
        ["--tolerance", "five"],
        ["--price-per-guest", "5.00"],
        ["--currency", "USD"],
        ["--free", "5"],
        ["--mapping", "nowhere.toml"],
        ["--period", "2125-01"],
    ] {
        wrong(RIGHT, &flags);
    }
    let negative = wrong(RIGHT, &["--tolerance", "-1"]);
    assert!(negative.contains("`-1` is no tolerance; write a number of guests such as 5"), "{negative}");
    let negative = wrong(RIGHT, &["--price-per-guest", "-1", "--currency", "USD"]);
    assert!(negative.contains("a price is more than 0"), "{negative}");
    let dollars = wrong(RIGHT, &["--price-per-guest", "$5", "--currency", "USD"]);
    assert!(dollars.contains("write the number alone, such as 5.00"), "{dollars}");
    wrong(RIGHT, &["--price-per-guest", "NaN", "--currency", "USD"]);
    wrong(RIGHT, &["--price-per-guest", "5", "--currency", "$"]);
    reconcile(&scene, &scene.path("nowhere").display().to_string(), &[]).exits(2);
}

#[test]
fn its_help_teaches() {
    let help =
        Exporter::new(Path::new("/")).env("COLUMNS", "100").args(["reconcile", "--help"]).run().exits(0);
    insta::assert_snapshot!("help", help.stdout);
}

#[test]
fn a_credit_takes_guests_back() {
    let scene = published();
    let credited = format!("{RIGHT}2025-08,111122223333,us-east-1,12345678,-50\n");
    let run = against(&scene, &credited, &["--price-per-guest", "0.015", "--currency", "EUR"]).exits(3);
    let named = "the invoice has -10 in 2 rows, 50 fewer than the 40 guests published (-0.600 EUR)";
    assert!(run.stdout.contains(named), "{}", run.stdout);
}

#[test]
fn a_number_that_was_read_before_its_period_closed_is_none_to_judge_by() {
    let scene = Scene::new(population(&[(OPEN, guests(0..5))]));
    scene.run(OPEN).exits(0);
    let text = "period,network,quantity\n2025-11,12345678,5\n";
    let run = against(&scene, text, &[]).exits(3);
    let named =
        "STALE: 12345678 in 2025-11: the number was read while the period was open, and it has closed since";
    assert!(run.stdout.contains(named), "{}", run.stdout);
}

#[test]
fn a_manifest_that_is_not_to_be_believed_makes_no_invoice_right() {
    let scene = published();
    let path = scene.output().manifest_path(OTHER, CLOSED);
    let manifest = fs::read_to_string(&path).expect("a manifest");
    fs::write(&path, manifest.replace("\"guests\": 9", "\"guests\": 8")).expect("a file");
    let (code, found) = findings(&scene, RIGHT, &[]);
    assert_eq!((code, found), (65, vec!["2025-09 01234567 damaged".to_owned()]));
    let total = "period,quantity\n2025-08,48\n2025-09,59\n";
    let (code, found) = findings(&scene, total, &[]);
    assert_eq!((code, found), (65, vec!["2025-09 - damaged".to_owned()]), "a sum that lacks one is no sum");
    let run = against(&scene, total, &[]).exits(65);
    assert!(run.stdout.contains("DAMAGED: all networks in 2025-09: the manifest of 01234567/2025-09"));
    let summary: Value = against(&scene, total, &["--summary", "json"]).summary();
    assert_eq!((&summary["verdicts"]["match"], &summary["verdicts"]["damaged"]), (&1.into(), &1.into()));
}
