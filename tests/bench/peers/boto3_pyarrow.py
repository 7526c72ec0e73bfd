"""The guests of one network and period with boto3's paginator, as Parquet: NETWORK PERIOD FOLDER.

It does what a script would: every page, each guest once, one file. Its libraries' defaults are left alone.
"""

import sys

import boto3
import pyarrow
import pyarrow.parquet

network, period, folder = sys.argv[1:]
pages = boto3.client("wickr").get_paginator("list_guest_users").paginate(
    networkId=network,
    billingPeriod=period,
    sortFields="username",
    sortDirection="ASC",
    PaginationConfig={"PageSize": 100},
)
guests = {}
for page in pages:
    for guest in page["guestlist"]:
        guests[guest["usernameHash"]] = guest["username"]
hashes = sorted(guests)
table = pyarrow.table(
    {
        "billing_period": [period] * len(hashes),
        "network_id": [network] * len(hashes),
        "username_hash": hashes,
        "username": [guests[username_hash] for username_hash in hashes],
    }
)
pyarrow.parquet.write_table(table, f"{folder}/guest_roster.parquet", compression="snappy")
print(len(hashes))
