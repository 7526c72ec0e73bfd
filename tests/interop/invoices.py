"""Writes a cost-and-usage export as other programs do: `invoices.py FOLDER`, one export below it for each writer.

Each has September and October 2026 below BILLING_PERIOD=…, in rows by day, with types that exports have: a map, texts
in a dictionary, instants in UTC, quantities as doubles, and rows for another product.
"""

import datetime
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

MONTHS = {"2026-09": [265.5] * 30, "2026-10": [3000.0, 0.1, 0.2, -0.3]}


def export(month, amounts):
    start = datetime.datetime.fromisoformat(f"{month}-01T00:00:00+00:00")
    amounts = [*amounts, float("nan")]
    rows = len(amounts)
    products = ["AWSWickr"] * (rows - 1) + ["AmazonEC2"]
    return pa.table(
        {
            "bill_billing_period_start_date": pa.array([start] * rows, pa.timestamp("ms", tz="UTC")),
            "line_item_line_item_type": pa.array(["Usage"] * rows).dictionary_encode(),
            "line_item_product_code": pa.array(products),
            "line_item_usage_account_id": pa.array(["011122223333"] * rows, pa.large_string()),
            "line_item_usage_amount": pa.array(amounts, pa.float64()),
            "line_item_usage_type": pa.array(["USE1-Guests"] * rows),
            "product": pa.array([[("region", "us-east-1")]] * rows, pa.map_(pa.string(), pa.string())),
            "product_region_code": pa.array(["us-east-1"] * rows),
        }
    )


folder = pathlib.Path(sys.argv[1])
for month, amounts in MONTHS.items():
    table = export(month, amounts)
    for compression in ["snappy", "gzip", "zstd"]:
        place = folder / f"pyarrow-{compression}" / f"BILLING_PERIOD={month}"
        place.mkdir(parents=True)
        pyarrow.parquet.write_table(table, place / "export-00001.parquet", compression=compression)
    flat = table.drop_columns(["product"])
    place = folder / "pyarrow-csv" / f"BILLING_PERIOD={month}"
    place.mkdir(parents=True)
    with pa.CompressedOutputStream(place / "export-00001.csv.gz", "gzip") as out:
        pyarrow.csv.write_csv(flat, out)
    for name, options in [("parquet", "FORMAT parquet"), ("csv.gz", "FORMAT csv, COMPRESSION gzip")]:
        place = folder / f"duckdb-{name}" / f"BILLING_PERIOD={month}"
        place.mkdir(parents=True)
        duckdb.sql(f"COPY flat TO '{place}/export-00001.{name}' ({options})")
