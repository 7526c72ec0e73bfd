"""Reads a Wickr Admin API server with the stock clients, boto3 or the AWS CLI, and prints what they see.

    guests.py boto3|cli NETWORK PERIOD     the guests of one period, each once
    guests.py refusals NETWORK             which error each wrong request is answered with

Which server and with which credentials is in the environment, as for any other AWS client.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

PAGE_SIZE = 100


def with_boto3(network: str, period: str) -> dict[str, Any]:
    """Read guests and count history with boto3's own paginator."""
    client = boto3.client("wickr")
    pages = client.get_paginator("list_guest_users").paginate(
        networkId=network,
        billingPeriod=period,
        PaginationConfig={"PageSize": PAGE_SIZE},
    )
    listed = [guest for page in pages for guest in page["guestlist"]]
    history = client.get_guest_user_history_count(networkId=network)["history"]
    return _seen(listed, history, period)


def with_cli(network: str, period: str) -> dict[str, Any]:
    """Read guests and count history with the AWS CLI, which pages by itself."""
    guests = _aws(
        "list-guest-users",
        *("--network-id", network, "--billing-period", period),
        *("--page-size", str(PAGE_SIZE)),
    )
    history = _aws("get-guest-user-history-count", "--network-id", network)
    return _seen(guests["guestlist"], history["history"], period)


def _aws(operation: str, *arguments: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("aws")), "wickr", operation]
    finished = subprocess.run(
        [*command, *arguments, "--output", "json"], stdout=subprocess.PIPE, check=True
    )
    answer: dict[str, Any] = json.loads(finished.stdout)
    return answer


def _seen(
    listed: list[dict[str, str]], history: list[dict[str, str]], period: str
) -> dict[str, Any]:
    """Reduce the rows to guests as the export defines them: by hash, with the smaller username."""
    roster: dict[str, str] = {}
    for row in listed:
        if row["billingPeriod"].replace("_", "-") != period:
            raise ValueError(f"a row of {row['billingPeriod']} among those of {period}")
        known = roster.get(row["usernameHash"], row["username"])
        roster[row["usernameHash"]] = min(known, row["username"])
    counts = {entry["month"].replace("_", "-"): entry["count"] for entry in history}
    return {
        "guests": [
            {"username_hash": username_hash, "username": username}
            for username_hash, username in sorted(roster.items())
        ],
        "listed": len(listed),
        "history": counts,
    }


def refusals(network: str) -> dict[str, Any]:
    """Ask what must be refused; return the error class that botocore makes of each answer."""
    client = boto3.client("wickr", config=Config(retries={"total_max_attempts": 1}))
    requests: dict[str, dict[str, Any]] = {
        "unknown network": {"networkId": "99999999"},
        "page of 0": {"networkId": network, "maxResults": 0},
        "page of 101": {"networkId": network, "maxResults": 101},
        "unknown direction": {"networkId": network, "sortDirection": "UP"},
        "unknown token": {"networkId": network, "nextToken": "of another list"},
        "unknown sort field": {"networkId": network, "sortFields": "admin"},
    }
    return {name: _refusal(client, request) for name, request in requests.items()}


def _refusal(client: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        client.list_guest_users(**request)
    except ClientError as error:
        answer = error.response
        return {
            "exception": type(error).__name__,
            "status": answer["ResponseMetadata"]["HTTPStatusCode"],
            "fields": [reason["field"] for reason in answer.get("reasons", [])],
        }
    return {"exception": None}


def main() -> None:
    """Print as JSON what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for client in ("boto3", "cli"):
        reader = commands.add_parser(client)
        reader.add_argument("network")
        reader.add_argument("period")
    commands.add_parser("refusals").add_argument("network")
    arguments = parser.parse_args()
    if arguments.command == "refusals":
        seen = refusals(arguments.network)
    else:
        read = {"boto3": with_boto3, "cli": with_cli}[arguments.command]
        seen = read(arguments.network, arguments.period)
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
