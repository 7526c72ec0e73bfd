//! The page in a real browser: at the width of a phone and of a screen, and printed.
//!
//! Not every machine of a reader has Chromium, so it is asked for by name; `.ci/run` brings Debian's. It looks at the page
//! in a frame, because its own window is never as narrow as a phone.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::report::{many, page_again, page_of};
use crate::support::{CLOSED, OLD, OPEN, SETTLING, Scene, period};

const LOOK: &str = include_str!("look.html");

/// Runs Chromium on a file and returns what it printed and what it logged.
fn chromium(folder: &Path, arguments: &[&str], file: &Path) -> (String, String) {
    let profile = folder.join("profile");
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(arguments)
        .arg(format!("file://{}", file.display()))
        .env("HOME", folder);
    let output = command.output().expect("chromium is on PATH");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

/// Looks at a page in a frame of a width, and returns what was measured.
fn look(page: &Path, width: u32) -> Value {
    let folder = page.parent().expect("a folder");
    let look = folder.join("look.html");
    let name = page.file_name().expect("a name").to_str().expect("UTF-8");
    fs::write(&look, LOOK.replace("PAGE", name).replace("WIDTH", &width.to_string())).expect("a file");
    let log = ["--enable-logging=stderr", "--v=0", "--allow-file-access-from-files"];
    let wait = ["--window-size=1600,1000", "--virtual-time-budget=10000", "--dump-dom"];
    let (dom, logged) = chromium(folder, &[log, wait].concat(), &look);
    let spoken: Vec<&str> = logged.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(
        spoken.len() == 1 && spoken[0].contains("looked"),
        "the page says nothing on the console: {logged}"
    );
    let (_, found) = dom.split_once("<pre id=\"found\">").expect("what was found");
    let (found, _) = found.split_once("</pre>").expect("the end of it");
    serde_json::from_str(found).unwrap_or_else(|error| panic!("{error}: {found}"))
}

#[track_caller]
fn assert_looks_well(page: &Path) {
    for (width, drawing) in [(320, "narrow"), (375, "narrow"), (768, "wide"), (1280, "wide")] {
        let found = look(page, width);
        assert_eq!(found["width"], width, "{found}");
        assert_eq!(
            (&found["folded"], &found["unfolded"]),
            (&found["width"], &found["width"]),
            "no overflow: {found}"
        );
        assert_eq!(found["drawings"], serde_json::json!([format!("chart {drawing}")]), "{found}");
        assert_eq!(found["clashes"], serde_json::json!([]), "labels of the chart at {width}");
        assert!(found["contrast"][0].as_f64().is_some_and(|ratio| ratio >= 4.5), "contrast (AA): {found}");
    }
}

/// Prints a page and returns its sheets, which must be A4.
#[track_caller]
fn sheets(page: &Path) -> usize {
    let folder = page.parent().expect("a folder");
    let printed = folder.join("page.pdf");
    chromium(folder, &["--no-pdf-header-footer", &format!("--print-to-pdf={}", printed.display())], page);
    let pdf = fs::read(&printed).expect("a PDF");
    let pdf = String::from_utf8_lossy(&pdf);
    let boxes: Vec<Vec<f64>> = pdf
        .split("/MediaBox [")
        .skip(1)
        .map(|text| {
            text.split(']')
                .next()
                .expect("numbers")
                .split_whitespace()
                .map(|side| side.parse().expect("a side"))
                .collect()
        })
        .collect();
    for sheet in &boxes {
        let [left, bottom, right, top] = sheet[..] else { panic!("{sheet:?}") };
        let is_a4 = (right - left - 595.28).abs() < 1.0 && (top - bottom - 841.89).abs() < 1.0;
        assert!(is_a4, "{sheet:?} is no A4");
    }
    boxes.len()
}

#[test]
#[ignore = "takes chromium"]
fn pages_of_few_and_many_months_and_networks_fit_a_phone_a_screen_and_a4() {
    for (networks, months, guests) in [(1, 1, 130), (3, 3, 3000), (1, 36, 700), (200, 2, 110)] {
        let scene = Scene::new(many(networks, months, guests));
        let first = period(OPEN).plus_months(1 - months);
        let page = page_of(&scene, &format!("{first}..{OPEN}"));
        assert_looks_well(&page);
        let sheets = sheets(&page);
        assert!((1..=20).contains(&sheets), "{networks} networks, {months} months: {sheets} sheets");
    }
}

#[test]
#[ignore = "takes chromium"]
fn names_that_are_long_or_run_the_other_way_break_nothing() {
    let scene = Scene::new(many(3, 4, 120));
    page_of(&scene, &format!("{OLD}..{OPEN}"));
    for (at, name) in ["W".repeat(300), "\u{202e}\u{2067}שלום עולם".repeat(20), "<b>a&amp;</b> ".repeat(30)]
        .iter()
        .enumerate()
    {
        let network = scene.simulator.networks()[at].to_string();
        for month in [OLD, CLOSED, SETTLING, OPEN] {
            scene.output().edit_manifest(&network, month, |manifest| {
                manifest["source"]["network_name"] = name.as_str().into();
                manifest["source"]["region"] = format!("region-{at}").into();
            });
        }
    }
    let damaged = scene.output().manifest_path(&scene.simulator.networks()[0].to_string(), SETTLING);
    fs::write(damaged, "{}").expect("a manifest");
    assert_looks_well(&page_again(&scene));
}
