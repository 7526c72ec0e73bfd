//! The CSV opened by `LibreOffice`, which finance does: whatever people are called, nothing of it is run.
//!
//! The same export without the guard is opened too. That it is full of formulas shows that the program would run
//! them and that the test would see it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wickr_guest_export::simulator::{ExplicitPopulation, Population, Simulator, SimulatorConfig};

use crate::processes::{assert_code, export};

/// Its guests have the names; the other networks are called so.
const NETWORK: &str = "01234567";
const MONTH: &str = "2025-09";
const AS_OF: &str = "2025-11-02T09:00:00Z";

/// What some spreadsheet runs, at once or when the cell is next edited: in the file with an apostrophe in front.
const RUN: [&str; 29] = [
    "=1+1",
    "+1+1",
    "-1+1",
    "-2+3",
    "-1",
    "+1",
    "@SUM(1;1)",
    "@SUM(1,1)",
    "=HYPERLINK(\"http://x\";\"y\")",
    "=HYPERLINK(\"http://x\",\"y\")",
    "=WEBSERVICE(\"http://127.0.0.1:9/\")",
    "=cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "=\"a\"&\"b\"",
    "={1;2}",
    "=A1;=A2",
    "=1+1,\"=1+1\"",
    "=1+1\n=2+2",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1",
    "   =1+1",
    "\u{a0}=1+1",
    "\u{feff}=1+1",
    "＝1+1",
    "＠SUM(1;1)",
    "'=1+1",
    "''=1+1",
];

/// What none runs: in the file as it is.
const SHOWN: [&str; 8] = [
    "ann@example.com",
    "\"=1+1\"",
    ",=1+1",
    ";=1+1",
    "\";\"=1+1",
    "two\n=1+1",
    "'tHooft",
    "  Zoë <b>&amp;</b> 🦀  ",
];

/// Without any choice: formulas are evaluated, and the encoding is that of the machine.
const AS_IT_COMES: Option<&str> = None;
/// As the import dialog proposes: comma, double quote, UTF-8, from the first line, columns of any kind, language of
/// the machine; the rest is off.
const PROPOSED: Option<&str> = Some("44,34,76,1,,0,false,false,false,false,false,-1,false");
/// The same with "evaluate formulas" and "detect special numbers" on.
const EVALUATING: Option<&str> = Some("44,34,76,1,,0,false,true,false,false,false,-1,true");
/// The same with "format quoted field as text" on too.
const QUOTED_AS_TEXT: Option<&str> = Some("44,34,76,1,,0,true,true,false,false,false,-1,true");

/// A cell, as it is kept in a sheet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cell {
    formula: Option<String>,
    /// `string`, `float` and so on; empty if the cell is.
    kind: String,
    /// What is shown.
    text: String,
}

impl Cell {
    fn of(kind: &str, text: &str) -> Self {
        Self { formula: None, kind: kind.to_owned(), text: text.to_owned() }
    }
}

/// A sheet whose first row says what the columns are: its other rows, as cells by column.
type Sheet = Vec<BTreeMap<String, Cell>>;

fn names() -> impl Iterator<Item = &'static str> {
    RUN.into_iter().chain(SHOWN)
}

/// Returns the names as the file has to show them.
fn guarded_names() -> Vec<String> {
    RUN.iter().map(|name| format!("'{name}")).chain(SHOWN.map(str::to_owned)).collect()
}

/// Hashes of the usual alphabets are never guarded, so they begin with whatever such a hash may begin with.
fn hash(number: usize) -> String {
    format!("{}{number:02}+/{number:02}h=", ["", "+", "-", "/"][number % 4])
}

fn named_network(number: usize) -> String {
    format!("{}", 10_000_000 + number)
}

fn hostile_names() -> SimulatorConfig {
    let month = MONTH.parse().expect("a month");
    let guests = names().enumerate().map(|(number, name)| (hash(number), name.to_owned()));
    let network = NETWORK.parse().expect("an id");
    let mut population = ExplicitPopulation::default().with_rows(network, month, guests);
    for (number, name) in names().enumerate() {
        let network = named_network(number).parse().expect("an id");
        let guest = (hash(number), "ann".to_owned());
        population = population.with_name(network, name).with_rows(network, month, [guest]);
    }
    SimulatorConfig {
        population: Population::Explicit(population),
        now: Some(AS_OF.parse().expect("an instant")),
        ..SimulatorConfig::default()
    }
}

/// A folder for a user of `LibreOffice`, and whatever is exported into it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// Exports both files that people open, with these lines about CSV in the job.
    fn export(&self, environment: &[(String, String)], csv: &str) -> [PathBuf; 2] {
        let home = self.folder.path();
        let output = TempDir::new_in(home).expect("a folder").keep();
        let file = home.join("job.toml");
        fs::write(&file, format!("[csv]\n{csv}\n")).expect("a job");
        let file = file.display().to_string();
        let mut asked = vec![file.as_str(), "--network", "all", "--period", MONTH, "--as-of", AS_OF];
        asked.extend(["--max-requests-per-second", "1000"]);
        assert_code(&export(home, &output, environment, asked), 0);
        let roster = format!("guest_roster/csv/period={MONTH}/network={NETWORK}/guest_roster.csv");
        [output.join(roster), output.join("summary/csv/guest_counts.csv")]
    }

    /// Opens the files, with the choices of the import dialog or without any, and returns what is in the sheets.
    fn opened(&self, files: &[PathBuf; 2], choices: Option<&str>) -> [Sheet; 2] {
        let folder = TempDir::new_in(self.folder.path()).expect("a folder");
        let (home, sheets) = (folder.path(), folder.path().join("sheets"));
        // Ended if it waits for somebody to answer a question.
        let mut office = Command::new("timeout");
        office.args(["--kill-after=5", "180", "soffice", "--headless", "--norestore"]);
        office.arg(format!("-env:UserInstallation=file://{}", home.join("profile").display()));
        if let Some(choices) = choices {
            office.arg(format!("--infilter=Text - txt - csv (StarCalc):{choices}"));
        }
        office.args(["--convert-to", "fods", "--outdir"]).arg(&sheets).args(files);
        office.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
        // A locale that every machine has, and nobody who is asked for anything.
        office.env("LC_ALL", "C.UTF-8").env("http_proxy", "http://127.0.0.1:9");
        assert_code(&office.output().expect("soffice is installed"), 0);
        files.each_ref().map(|file| {
            let sheet = sheets.join(file.with_extension("fods").file_name().expect("a name"));
            sheet_of(&fs::read_to_string(sheet).expect("what soffice has made of the file"))
        })
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = start.try_get_attribute(name).expect("well-formed attributes")?;
    Some(attribute.normalized_value(XmlVersion::Explicit1_0).expect("known entities").into_owned())
}

fn repeated(start: &BytesStart<'_>, name: &str) -> usize {
    attribute(start, name).map_or(1, |times| times.parse().expect("a number"))
}

/// Reads the only table of a flat `OpenDocument` file: rows as wide as the first one.
fn sheet_of(document: &str) -> Sheet {
    let mut reader = Reader::from_str(document);
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let (mut row, mut cell) = (Vec::new(), Cell::default());
    let (mut cells, mut paragraphs, mut is_text) = (1, 0, false);
    loop {
        let event = reader.read_event().expect("well-formed XML");
        let is_empty = matches!(event, Event::Empty(_));
        match event {
            Event::Start(start) | Event::Empty(start) => match start.name().as_ref() {
                b"table:table-cell" => {
                    let kind = attribute(&start, "office:value-type").unwrap_or_default();
                    cell = Cell { formula: attribute(&start, "table:formula"), kind, ..Cell::default() };
                    (cells, paragraphs) = (repeated(&start, "table:number-columns-repeated"), 0);
                    if is_empty {
                        row.extend(vec![cell.clone(); cells]);
                    }
                }
                b"text:p" => {
                    paragraphs += 1;
                    is_text = !is_empty;
                    cell.text.push_str(if paragraphs > 1 { "\n" } else { "" });
                }
                b"text:s" => cell.text.push_str(&" ".repeat(repeated(&start, "text:c"))),
                b"text:tab" => cell.text.push('\t'),
                b"text:line-break" => cell.text.push('\n'),
                b"table:table-row" => {
                    let times = repeated(&start, "table:number-rows-repeated");
                    assert_eq!(times, 1, "every row is another");
                }
                _ => {}
            },
            Event::Text(text) if is_text => cell.text.push_str(&text.decode().expect("UTF-8")),
            Event::GeneralRef(entity) if is_text => match entity.resolve_char_ref().expect("a reference") {
                Some(character) => cell.text.push(character),
                None => cell.text.push_str(
                    resolve_predefined_entity(&entity.decode().expect("UTF-8")).expect("a known entity"),
                ),
            },
            Event::End(end) => match end.name().as_ref() {
                b"text:p" => is_text = false,
                b"table:table-cell" => row.extend(vec![cell.clone(); cells]),
                b"table:table-row" => rows.push(std::mem::take(&mut row)),
                _ => {}
            },
            Event::Eof => break,
            _ => {}
        }
    }
    let header = rows.remove(0);
    let columns = header.iter().map(|cell| cell.text.clone()).filter(|name| !name.is_empty());
    let columns: Vec<String> = columns.collect();
    rows.into_iter().map(|row| columns.iter().cloned().zip(row).collect()).collect()
}

/// Demands that a cell shows a text, in paragraphs whichever way its lines end.
fn assert_shows(cell: &Cell, text: &str, choices: Option<&str>) {
    assert_eq!(cell.kind, "string", "{choices:?}: {text:?}");
    // What else there is depends on the encoding.
    if choices.is_some() || text.is_ascii() {
        assert_eq!(cell.text, text.replace("\r\n", "\n").replace('\r', "\n"), "{choices:?}");
    }
}

/// Returns the row that has this text in this column.
fn row_of<'a>(sheet: &'a Sheet, column: &str, text: &str) -> &'a BTreeMap<String, Cell> {
    let mut rows = sheet.iter().filter(|row| row[column].text == text);
    let row = rows.next().unwrap_or_else(|| panic!("no {column} is {text}"));
    assert_eq!(rows.next(), None, "one {column} is {text}");
    row
}

/// Demands that both sheets hold every name as text, the numbers as numbers and no formula at all.
fn assert_shows_text([roster, summary]: &[Sheet; 2], choices: Option<&str>) {
    for row in roster.iter().chain(summary) {
        for (column, cell) in row {
            assert_eq!(cell.formula, None, "{choices:?}: {column} of {row:?}");
        }
    }
    let names = guarded_names();
    assert_eq!((roster.len(), summary.len()), (names.len(), names.len() + 1), "{choices:?}");
    // An identity of digits alone is no number to anybody but a spreadsheet.
    let identity = |digits: &str| match choices {
        QUOTED_AS_TEXT => Cell::of("string", digits),
        _ => Cell::of("float", digits.trim_start_matches('0')),
    };
    for (number, name) in names.iter().enumerate() {
        let guest = row_of(roster, "username_hash", &hash(number));
        assert_shows(&guest["username"], name, choices);
        assert_eq!(guest["username_hash"].kind, "string", "{choices:?}");
        assert_eq!(guest["network_id"], identity(NETWORK), "{choices:?}");

        let network = row_of(summary, "network_id", &named_network(number));
        assert_shows(&network["network_name"], name, choices);
        for column in ["guest_count", "api_guest_count", "revision"] {
            assert_eq!(network[column], Cell::of("float", "1"), "{choices:?}: {column}");
        }
    }
    let network = row_of(summary, "network_name", &format!("Simulated network {NETWORK}"));
    assert_eq!(network["network_id"], identity(NETWORK), "{choices:?}");
    assert_eq!(network["guest_count"], Cell::of("float", &names.len().to_string()), "{choices:?}");
}

/// Demands that what the program takes for a formula is one in both sheets: one line that begins as such.
fn assert_runs_formulas([roster, summary]: &[Sheet; 2], choices: Option<&str>) {
    for (number, name) in names().enumerate() {
        let guest = &row_of(roster, "username_hash", &hash(number))["username"];
        let network = &row_of(summary, "network_id", &named_network(number))["network_name"];
        let runs = name.starts_with('=') && !name.contains('\n');
        assert_eq!(guest.formula.is_some(), runs, "{choices:?}: {name:?} is {guest:?}");
        assert_eq!(guest, network, "{choices:?}: {name:?}");
    }
    assert_eq!(row_of(roster, "username_hash", &hash(0))["username"].text, "2", "{choices:?}");
}

#[test]
#[ignore = "takes LibreOffice"]
fn names_that_are_formulas_are_shown_as_text() {
    let runtime = Runtime::new().expect("a runtime");
    let simulator = runtime.block_on(Simulator::start(hostile_names())).expect("a simulator");
    let keys = simulator.credentials();
    let environment = [
        ("AWS_ENDPOINT_URL_WICKR", simulator.endpoint()),
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.clone()),
        ("AWS_REGION", simulator.region().to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let desk = Desk { folder: TempDir::new().expect("a folder") };

    let guarded = desk.export(&environment, "");
    let unguarded = desk.export(&environment, "formula_guard = false");
    // Side by side, as most of it is waiting.
    thread::scope(|scope| {
        for choices in [AS_IT_COMES, PROPOSED, EVALUATING, QUOTED_AS_TEXT] {
            let (desk, guarded) = (&desk, &guarded);
            scope.spawn(move || assert_shows_text(&desk.opened(guarded, choices), choices));
        }
        for choices in [AS_IT_COMES, EVALUATING] {
            let (desk, unguarded) = (&desk, &unguarded);
            scope.spawn(move || assert_runs_formulas(&desk.opened(unguarded, choices), choices));
        }
    });
}
