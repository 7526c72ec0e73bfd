//! An export of costs and usage is read as other programs write it, by the mapping that is shipped.

use std::fs;

use wickr_guest_export::reconcile::invoice::Invoice;
use wickr_guest_export::reconcile::mapping::Mapping;

use crate::python::Python;

const SHIPPED: &str = include_str!("../../deploy/reconcile/cur2.toml");

#[test]
fn an_export_of_any_writer_says_the_same() {
    let Some(python) = Python::for_test("reading what pyarrow and DuckDB write as an invoice") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let exports = folder.path().join("exports");
    let written = python.script("invoices.py", folder.path()).arg(&exports).output().expect("it starts");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));

    let mut filled = SHIPPED.to_owned();
    for (left_open, value) in [
        ("FILL IN: the product code of AWS Wickr", "AWSWickr"),
        ("FILL IN: the usage type of its guests, one for each region", "USE1-Guests"),
    ] {
        assert!(filled.contains(left_open), "{left_open}");
        filled = filled.replace(left_open, value);
    }
    let by_partition =
        filled.replace("# partition = ", "partition = ").replace("\ncolumn = ", "\n# column = ");
    let mut writers = 0;
    for mapping in [filled, by_partition] {
        let path = folder.path().join("mapping.toml");
        fs::write(&path, mapping).expect("a mapping");
        let mapping = Mapping::read(&path).expect("a mapping");
        for export in fs::read_dir(&exports).expect("exports") {
            let export = export.expect("an export").path();
            let invoice = Invoice::read(&export, &mapping).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((invoice.grain.as_str(), invoice.rows_kept), ("account and region", 34), "{export:?}");
            let lines = invoice.lines.iter().map(|((period, bearer), line)| {
                let account = bearer.account.as_deref().expect("an account");
                format!("{period} {account} {}", line.quantity)
            });
            let lines: Vec<String> = lines.collect();
            assert_eq!(lines, ["2026-09 011122223333 7965", "2026-10 011122223333 3000"], "{export:?}");
            writers += 1;
        }
    }
    assert_eq!(writers, 12, "six exports, read by both mappings");
}
