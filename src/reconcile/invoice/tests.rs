//! Invoices as they come: in any order, in any number of files, of any kind, and with any mistake in them.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, GzipLevel};
use ::parquet::file::properties::WriterProperties;
use arrow::array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::reconcile::mapping::Aggregate;
use crate::reconcile::written_period::WrittenPeriod;

/// A folder with an invoice in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn read(&self, name: &str, mapping: &Mapping) -> Result<Invoice, InvoiceError> {
        Invoice::read(&self.0.path().join(name), mapping)
    }

    /// Returns why the invoice is refused, without the folder's path.
    #[track_caller]
    fn refusal(&self, name: &str, mapping: &Mapping) -> String {
        let error = self.read(name, mapping).unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn of_text(text: &str) -> Result<Invoice, InvoiceError> {
    Folder::new().with("invoice.csv", text).read("invoice.csv", &Mapping::default())
}

#[track_caller]
fn refusal(text: impl AsRef<[u8]>) -> String {
    Folder::new().with("invoice.csv", text).refusal("invoice.csv", &Mapping::default())
}

fn packed(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn in_parquet(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Shows the lines of an invoice.
fn shown(invoice: &Invoice) -> Vec<String> {
    let line = |((period, bearer), line): (&(BillingPeriod, Bearer), &InvoicedLine)| {
        format!("{period} {bearer} {}", line.quantity)
    };
    invoice.lines.iter().map(line).collect()
}

#[test]
fn lines_are_compared_by_the_finest_that_all_rows_have() {
    let by_network = "period,account,region,network,quantity\n\
                      2026-10,1,us-east-1,12345678,3000.0\n2026-10,1,us-east-1,1234567,2\n2026-10,,,12345678,-5\n";
    let invoice = of_text(by_network).unwrap();
    assert_eq!(invoice.grain.as_str(), "network");
    assert_eq!(shown(&invoice), ["2026-10 01234567 2", "2026-10 12345678 2995"]);
    let by_account = of_text("quantity,region,account,network,period\n1,EU-West-1,1111,,10/2026\n").unwrap();
    assert_eq!(by_account.grain.as_str(), "account and region");
    assert_eq!(shown(&by_account), ["2026-10 000000001111 eu-west-1 1"]);
    for (text, grain) in [
        ("period,account,quantity\n2026-10,7,1\n", "account"),
        ("period,region,quantity\n2026-10,us-east-1,1\n", "region"),
        ("period,quantity\n2026-10,1\n", "total"),
    ] {
        assert_eq!(of_text(text).unwrap().grain.as_str(), grain);
    }
    let mixed = refusal("period,network,quantity\n2026-10,12345678,1\n2026-10,,1\n");
    let words = "invoice invoice.csv, line 3: names no network, but invoice.csv, line 2 does";
    assert!(mixed.starts_with(words), "{mixed}");
}

#[test]
fn what_does_not_say_what_it_should_is_named_with_its_line_and_column() {
    let with = |row: &str| refusal(format!("period,network,quantity\n2026-10,12345678,1\n{row}\n"));
    for (row, words) in [
        ("2026-10,12345678,NaN", "line 3: the column `quantity` is `NaN`, which is not a number"),
        ("2026-10,12345678,inf", "is `inf`"),
        ("2026-10,12345678,", "line 3: the column `quantity` is empty"),
        ("2026-10,12345678,1e999999999", "beyond a thousand million million"),
        ("2026-10,12345678,\"3,000\"", "is `3,000`, which is not a number"),
        ("2026-10,12345678,=1+1", "is `=1+1`"),
        ("03/04/2026,12345678,1", "the column `period` is `03/04/2026`, which is no billing period"),
        (",12345678,1", "its column `period` is empty; leave it out with exclude = { \"period\" = \"\" }"),
        ("2026-10,Acme,1", "the column `network`"),
        ("2026-10,123456789,1", "the column `network`"),
        ("2026-10,12345678", "line 3 has 2 cells, and the header has 3"),
        ("2026-10", "line 3 has 1 cell, and the header has 3"),
        ("2026-10,12345678,1,,", "line 3 has 5 cells"),
    ] {
        let refusal = with(row);
        assert!(refusal.starts_with("invoice invoice.csv") && refusal.contains(words), "{row}: {refusal}");
    }
    let header = "period,account,quantity\n";
    for account in ["\u{1b}[2J", &"9".repeat(65)] {
        let refusal = refusal(format!("{header}2026-10,{account},1\n"));
        assert!(refusal.contains("the column `account`") && !refusal.contains('\u{1b}'), "{refusal}");
    }
    for (text, words) in [
        ("", "is empty; the first line of a CSV names its columns"),
        ("period,quantity\n", "holds no rows"),
        (
            "period|quantity\n2026-10|1\n",
            "has a single column `period|quantity`, whose parts \"|\" seems to separate",
        ),
        ("period,period,quantity\n", "more than one column `period`"),
        ("PK\u{3}\u{4}", "neither CSV nor Parquet"),
        ("PAR1 not really", "invoice invoice.csv: "),
    ] {
        assert!(refusal(text).contains(words), "{text}: {}", refusal(text));
    }
    assert!(refusal(b"period,quantity\n2026-10,1\n2026-1\xff,1\n").contains("line 3 is not UTF-8"));
    let endless = format!("period,quantity\n2026-10,\"1\n{}", "2026-10,1\n".repeat(500_000));
    assert!(refusal(&endless).contains("a quote may not be closed"), "{}", refusal(&endless));
    let cut = packed("period,quantity\n2026-10,1\n");
    assert!(refusal(&cut[..cut.len() - 9]).contains("cannot be read to its end"));
}

#[test]
fn guests_are_whole_and_a_point_that_may_separate_thousands_is_not_guessed_at() {
    let header = "period,network,quantity\n";
    for (rows, words) in [
        (
            "2026-10,12345678,2.054\n",
            "line 2: the column `quantity` is `2.054`, which is two numbers to two readers",
        ),
        ("2026-10,12345678,3.000\n", "fractions = true"),
        (
            "2026-10,12345678,1\n2026-10,12345678,2.5\n",
            "line 3: is the first row with a fraction of those that make 12345678 in 2026-10 3.5, and guests are whole",
        ),
        ("2026-10,12345678,\"2,054\"\n", "without separators of thousands"),
    ] {
        let refusal = refusal(format!("{header}{rows}"));
        assert!(refusal.contains(words), "{rows}: {refusal}");
    }
    let whole = of_text(&format!("{header}2026-10,12345678,12.0000000\n2026-10,1,0.25\n2026-10,1,1.75\n"));
    assert_eq!(shown(&whole.unwrap()), ["2026-10 00000001 2", "2026-10 12345678 12"]);
    let mapping: Mapping = toml::from_str(
        "quantity = \"quantity\"\nfractions = true\nnetwork = \"network\"\nperiod = {column = \"period\"}",
    )
    .unwrap();
    let folder = Folder::new().with("a.csv", format!("{header}2026-10,12345678,2.054\n2026-10,1,0.5\n"));
    let prorated = folder.read("a.csv", &mapping).unwrap();
    assert_eq!(shown(&prorated), ["2026-10 00000001 0.5", "2026-10 12345678 2.054"]);
}

#[test]
fn a_line_says_what_it_is_made_of_and_files_with_the_same_rows_are_refused() {
    let header = "period,network,quantity,day\n";
    let first = format!("{header}2026-10,12345678,3,1\n2026-10,12345678,4,2\n2026-10,1,9,2\n");
    // The same numbers as part of another export, in rows of another day.
    let second = format!("{header}2026-10,12345678,4,3\n2026-10,1,9,4\n2026-10,12345678,3,3\n");
    let folder = || Folder::new().with("a.csv", &first).with("b.csv.gz", packed(&second));
    let invoice = folder().read("", &Mapping::default()).unwrap();
    let made_of: Vec<_> = invoice.lines.values().map(|line| parts(line.rows, line.files).unwrap()).collect();
    assert_eq!(
        (made_of, invoice.files),
        (vec!["2 rows in 2 files".to_owned(), "4 rows in 2 files".into()], 2)
    );
    assert_eq!((parts(1, 1), parts(2, 1)), (None, Some("2 rows".to_owned())));

    let text = |column: [&'static str; 3]| Arc::new(StringArray::from(column.to_vec())) as ArrayRef;
    let columns = |days: [&'static str; 3]| {
        vec![
            ("period", text(["2026-10"; 3])),
            ("network", text(["12345678", "12345678", "1"])),
            ("quantity", Arc::new(Float64Array::from(vec![3.0, 4.0, 9.0])) as ArrayRef),
            ("day", text(days)),
        ]
    };
    let again = format!("{header}2026-10,1,9,2\n2026-10,12345678,4,2\n2026-10,12345678,3,1\n");
    let whole = in_parquet(columns(["1", "2", "2"]), Compression::SNAPPY);
    let repacked = in_parquet(columns(["1", "2", "2"]), Compression::UNCOMPRESSED);
    for (one, other, name, is_copy) in [
        (first.clone().into_bytes(), packed(&again), "c.csv.gz", true),
        (first.clone().into_bytes(), whole.clone(), "c.parquet", true),
        (whole.clone(), repacked, "c.parquet", true),
        (whole, in_parquet(columns(["3", "4", "3"]), Compression::SNAPPY), "c.parquet", false),
    ] {
        let folder = Folder::new().with("a.csv", one).with(name, other);
        if let Ok(invoice) = folder.read("", &Mapping::default()) {
            assert!(!is_copy && invoice.rows_kept == 6, "{name}");
        } else {
            let refusal = folder.refusal("", &Mapping::default());
            let words = format!("invoice a.csv and {name}: both hold the same 3 rows");
            assert!(is_copy && refusal.starts_with(&words), "{refusal}");
        }
    }
    // What is largest is the same however often it is there.
    let mapping = Mapping { aggregate: Aggregate::Max, ..Mapping::default() };
    let invoice = folder().with("c.csv", &first).read("", &mapping).unwrap();
    assert_eq!(shown(&invoice), ["2026-10 00000001 9", "2026-10 12345678 4"]);
}

#[test]
fn what_spreadsheets_leave_around_a_table_is_passed_over_or_named() {
    let text = "period;network;quantity\r\n\r\n2026-10;12345678;3\r\n;;\r\n   \r\n ; ;;;\r\n2026-10;1;2\r\n";
    let invoice = of_text(text).unwrap();
    assert_eq!((shown(&invoice).len(), invoice.rows_read), (2, 2));
    assert_eq!(shown(&of_text("quantity\tperiod\n5\t2026-10\n").unwrap()), ["2026-10 all networks 5"]);

    let header = "period,account,network,quantity\n2026-10,1,12345678,3\n";
    for (row, column, value) in [
        ("Total,,,3", "period", "Total"),
        ("2026-10,1,Sum:,3", "network", "Sum:"),
        ("2026-10,Grand total,,3", "account", "Grand total"),
        (",,,3", "period", ""),
    ] {
        let refusal = refusal(format!("{header}{row}\n"));
        let words = format!("exclude = {{ \"{column}\" = \"{value}\" }}");
        assert!(
            refusal.contains("line 3: looks like a row of totals") && refusal.contains(&words),
            "{refusal}"
        );
    }
    let mapping: Mapping = toml::from_str(
        "quantity = \"quantity\"\nnetwork = \"network\"\nexclude = { \"period\" = \"Total\" }\n\
         period = {column = \"period\"}",
    )
    .unwrap();
    let folder = Folder::new().with("a.csv", format!("{header}Total,,,3\n"));
    let invoice = folder.read("a.csv", &mapping).unwrap();
    assert_eq!((shown(&invoice).len(), invoice.rows_read, invoice.rows_kept), (1, 2, 1));
}

#[test]
fn totals_in_columns_that_nobody_named_are_refused_and_left_out_by_what_the_refusal_says() {
    let text = "period,description,quantity\n2026-10,Guests,8124\n2026-10,Total,8124\n";
    let told = refusal(text);
    let line = "exclude = { \"description\" = \"Total\" }";
    assert!(
        told.contains("line 3: looks like a row of totals, as its column `description` is `Total`"),
        "{told}"
    );
    assert!(told.contains(line), "{told}");
    let read = |mapping: &str| {
        Folder::new()
            .with("a.csv", text)
            .read("a.csv", &toml::from_str(mapping).unwrap())
            .map(|of| shown(&of))
    };
    assert_eq!(read(line).unwrap(), ["2026-10 all networks 8124"]);
    let wanted = "filter = { \"description\" = [\"Guests\", \"Total\"] }";
    assert_eq!(read(wanted).unwrap(), ["2026-10 all networks 16248"], "whoever asks for them gets them");
    // The same in Parquet.
    let texts = |of: [&str; 2]| Arc::new(StringArray::from(of.to_vec())) as ArrayRef;
    let columns = vec![
        ("period", texts(["2026-10"; 2])),
        ("description", texts(["Guests", "Summe:"])),
        ("quantity", Arc::new(Int64Array::from(vec![7, 7])) as ArrayRef),
    ];
    let folder = Folder::new().with("a", in_parquet(columns, Compression::SNAPPY));
    assert!(folder.refusal("a", &Mapping::default()).contains("row 2: looks like a row of totals"));
}

#[test]
fn an_account_is_the_same_as_the_console_writes_it_and_never_a_rounded_number() {
    let of = |account: &str| format!("period,account,quantity\n2026-10,{account},1\n");
    assert_eq!(shown(&of_text(&of("1111-2222-3333")).unwrap()), ["2026-10 111122223333 1"]);
    for rounded in ["1.11122E+11", "\"1,11122E+11\"", "1E11"] {
        let told = refusal(of(rounded));
        assert!(told.contains("line 2: the column `account` is `1"), "{told}");
        assert!(told.contains("its last digits are lost"), "{told}");
    }
}

#[test]
fn the_line_that_tells_excel_what_separates_cells_is_none_of_the_table() {
    for head in ["sep=;\n", "\u{feff}SEP=;\r\n"] {
        let invoice = of_text(&format!("{head}period;quantity;a,b\n2026-10;3;x\n")).unwrap();
        assert_eq!(shown(&invoice), ["2026-10 all networks 3"]);
        let told = refusal(format!("{head}period;quantity\n2026-10;x\n"));
        assert!(told.contains("line 3: the column `quantity`"), "{told}");
    }
}

#[test]
fn rows_that_nobody_asked_for_may_hold_anything() {
    let mapping: Mapping = toml::from_str(
        "quantity = \"amount\"\naggregate = \"max\"\nperiod = {column = \"day\"}\ndelimiter = \";\"\n\
         filter = {product = [\"Wickr\", \"Wickr Guests\"], kind = \"Usage\"}\n",
    )
    .unwrap();
    let rows = "2026-10-01;Wickr;Usage;7\n2026-10-02;Wickr Guests;Usage;9\n2026-10-03;Wickr;Usage;8\n\
                never;Compute;Usage;NaN\n2026-10-01;Wickr;Tax;\n";
    let folder = Folder::new().with("a.csv", format!("\u{feff}day;product;kind;amount\n{rows}"));
    let invoice = folder.read("a.csv", &mapping).unwrap();
    assert_eq!(
        (shown(&invoice), invoice.rows_read, invoice.rows_kept),
        (vec!["2026-10 all networks 9".to_owned()], 5, 3)
    );

    let other = Folder::new().with("a.csv", "day;product;kind;amount\n2026-10-01;Compute;Usage;1\n");
    let refusal = other.refusal("a.csv", &mapping);
    assert!(refusal.contains("no row of 1 passes the filter"), "{refusal}");
    assert!(
        refusal.ends_with("where `kind` is as wanted, the column `product` holds `Compute`"),
        "{refusal}"
    );
    let text = "day;product;kind;amount\n2026-10-01;Compute;Tax;1\n2026-10-01;Wickr;Tax;1\n";
    let refusal = Folder::new().with("a.csv", text).refusal("a.csv", &mapping);
    assert!(refusal.ends_with("of the mapping; the column `kind` holds `Tax`"), "{refusal}");
}

#[test]
fn parquet_of_an_export_is_read_with_its_floats_and_instants_exact() {
    let text = |values: [&str; 3]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let columns = |amounts: [Option<f64>; 3]| {
        vec![
            ("unrelated", text(["=1", "x", "y"])),
            ("account", Arc::new(Int64Array::from(vec![1111, 1111, 2222])) as ArrayRef),
            ("start", Arc::new(TimestampMillisecondArray::from(vec![1_790_812_800_000; 3])) as ArrayRef),
            ("amount", Arc::new(Float64Array::from(amounts.to_vec())) as ArrayRef),
            ("product", text(["W", "W", "W"])),
        ]
    };
    let mapping: Mapping = toml::from_str(
        "quantity = \"amount\"\nfractions = true\naccount = \"account\"\nperiod = {column = \"start\"}\n\
         filter = {product = \"W\"}",
    )
    .unwrap();
    for compression in
        [Compression::SNAPPY, Compression::GZIP(GzipLevel::default()), Compression::UNCOMPRESSED]
    {
        let bytes = in_parquet(columns([Some(0.1), Some(0.2), Some(3000.0)]), compression);
        let invoice = Folder::new().with("a", bytes).read("a", &mapping).unwrap();
        assert_eq!(shown(&invoice), ["2026-10 000000001111 0.3", "2026-10 000000002222 3000"]);
    }
    let mut zoned = columns([Some(1.0); 3]);
    let instants = TimestampMicrosecondArray::from(vec![1_790_812_799_999_999; 3]).with_timezone("UTC");
    zoned[2].1 = Arc::new(instants);
    let invoice =
        Folder::new().with("a", in_parquet(zoned, Compression::SNAPPY)).read("a", &mapping).unwrap();
    assert_eq!(shown(&invoice), ["2026-09 000000001111 2", "2026-09 000000002222 1"]);
    for (amount, words) in
        [(Some(f64::NAN), "is `NaN`"), (None, "is empty"), (Some(1e300), "beyond a thousand")]
    {
        let bytes = in_parquet(columns([Some(1.0), amount, Some(1.0)]), Compression::SNAPPY);
        let refusal = Folder::new().with("a", bytes).refusal("a", &mapping);
        assert!(refusal.contains("invoice a, row 2: the column `amount`"), "{refusal}");
        assert!(refusal.contains(words), "{refusal}");
    }
    let bytes = in_parquet(columns([Some(1.0); 3]), Compression::SNAPPY);
    for end in [0, 4, bytes.len() / 2, bytes.len() - 1] {
        let folder = Folder::new().with("a", &bytes[..end]);
        assert!(folder.refusal("a", &mapping).starts_with("invoice a: "));
    }
}

#[test]
fn a_folder_partitioned_by_period_is_read_once_and_whole() {
    let mapping: Mapping = toml::from_str(
        "quantity = \"amount\"\naccount = \"account\"\nperiod = {partition = \"BILLING_PERIOD\"}",
    )
    .unwrap();
    let part = |amount: u32| format!("account,amount\n1,{amount}\n");
    let export = || {
        Folder::new()
            .with("data/BILLING_PERIOD=2026-09/export-00001.csv", part(1))
            .with("data/BILLING_PERIOD=2026-10/export-00001.csv.gz", packed(part(20)))
            .with("data/BILLING_PERIOD=2026-10/export-00002.csv.gz", packed(part(300)))
            .with("metadata/BILLING_PERIOD=2026-10/export-Manifest.json", "{}")
    };
    let invoice = export().read("", &mapping).unwrap();
    assert_eq!(shown(&invoice), ["2026-09 000000000001 1", "2026-10 000000000001 320"]);
    assert_eq!(invoice.files_skipped.len(), 1, "{:?}", invoice.files_skipped);
    let columns: Mapping = toml::from_str("quantity = \"amount\"\naccount = \"account\"").unwrap();
    assert_eq!(shown(&export().read("", &columns).unwrap()), shown(&invoice), "the usual key is known");
    let one = export().read("data/BILLING_PERIOD=2026-10/export-00002.csv.gz", &mapping).unwrap();
    assert_eq!(shown(&one), ["2026-10 000000000001 300"]);

    for (name, words) in [
        ("data/BILLING_PERIOD=2026-10/20261105-1/export-00001.csv", "several versions of an export"),
        ("data/BILLING_PERIOD=2026-10/export-00001.csv", "with and without .gz"),
        ("data/BILLING_PERIOD=2026-10/export-00001.csv.zip", "neither CSV nor Parquet"),
        ("data/BILLING_PERIOD=2026-10/export.xlsx", "is a spreadsheet; save the sheet as CSV"),
        ("data/export-00001.csv", "no folder on its path is called BILLING_PERIOD=…"),
        ("data/BILLING_PERIOD=October/export-00001.csv", "the period in its path is `October`"),
    ] {
        let refusal = export().with(name, part(1)).refusal("", &mapping);
        assert!(refusal.contains(words), "{name}: {refusal}");
    }
    assert!(Folder::new().refusal("", &mapping).contains("holds no file that ends in"));
    assert!(Folder::new().refusal("nowhere", &mapping).contains("give a CSV or Parquet file"));
}

/// A row of an invoice.
#[derive(Clone, Debug)]
struct Row(&'static str, &'static str, &'static str, &'static str);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop::sample::select(vec!["2026-09", "2026-10", "10/2026", "2026-11-01T00:00:00Z"]),
        prop::sample::select(vec!["1111", "000000001111", "2222"]),
        prop::sample::select(vec!["us-east-1", "eu-west-1"]),
        prop::sample::select(vec!["1", "0.1", "-2.5", "1e-30", "3E3", "999999999999999", "-999999999999999"]),
    );
    prop::collection::vec(
        row.prop_map(|(period, account, region, quantity)| Row(period, account, region, quantity)),
        1..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn neither_the_order_of_rows_nor_how_files_divide_them_changes_an_invoice(
        rows in rows(),
        shuffled in any::<prop::sample::Index>(),
        parts in prop::collection::vec(0_u8..6, 40),
        aggregate in prop::sample::select(vec![Aggregate::Sum, Aggregate::Max]),
    ) {
        let mapping = Mapping { aggregate, fractions: true, ..Mapping::default() };
        let header = "period,account,region,quantity\n";
        let written = |row: &Row| format!("{},{},{},{}\n", row.0, row.1, row.2, row.3);
        let whole = format!("{header}{}", rows.iter().map(written).collect::<String>());
        let expected = Folder::new().with("a.csv", whole).read("a.csv", &mapping).unwrap();

        let mut moved = rows.clone();
        moved.rotate_left(shuffled.index(rows.len()));
        moved.reverse();
        let mut files = BTreeMap::<u8, Vec<&Row>>::new();
        for (row, part) in moved.iter().zip(&parts) {
            files.entry(*part).or_default().push(row);
        }
        let mut folder = Folder::new();
        for (part, rows) in &files {
            folder = match part % 3 {
                0 => {
                    let column = |cell: fn(&Row) -> &'static str| {
                        Arc::new(rows.iter().map(|row| Some(cell(row))).collect::<StringArray>()) as ArrayRef
                    };
                    let columns = vec![
                        ("region", column(|row| row.2)),
                        ("period", column(|row| row.0)),
                        ("quantity", column(|row| row.3)),
                        ("account", column(|row| row.1)),
                    ];
                    folder.with(&format!("{part}.parquet"), in_parquet(columns, Compression::SNAPPY))
                }
                kind => {
                    let text = format!("{header}{}", rows.iter().map(|row| written(row)).collect::<String>());
                    if kind == 1 { folder.with(&format!("{part}.csv"), text) }
                    else { folder.with(&format!("{part}.csv.gz"), packed(text)) }
                }
            };
        }
        // Parts that happen to hold the same rows are taken for copies, and no others are.
        let meaning = |row: &&Row| {
            let period = WrittenPeriod::read(None, row.0).unwrap();
            (period, format!("{:0>12}", row.1), row.2, row.3.parse::<Decimal>().unwrap())
        };
        let mut held: Vec<Vec<_>> = files.values().map(|rows| rows.iter().map(meaning).collect()).collect();
        for rows in &mut held {
            rows.sort();
        }
        held.sort();
        let read = match folder.read("", &mapping) {
            Err(InvoiceError::Copies { .. }) => {
                prop_assert!(held.windows(2).any(|pair| pair[0] == pair[1]));
                return Ok(());
            }
            read => read.unwrap(),
        };
        let of = |invoice: &Invoice| -> Vec<_> {
            let line = |(key, line): (&(BillingPeriod, Bearer), &InvoicedLine)| {
                (key.clone(), line.quantity.clone(), line.rows)
            };
            invoice.lines.iter().map(line).collect()
        };
        prop_assert_eq!((of(&read), read.rows_kept, read.grain), (of(&expected), expected.rows_kept, expected.grain));
    }
}
