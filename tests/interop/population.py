"""The networks and guests of the model server: what a right export must contain.

Run as a program, it prints the rosters and counts that the exporter must publish, computed from the
population itself and never through the server, so that a defect of the server cannot hide one of the exporter.
"""

import hashlib
import json
import os
import sys
from dataclasses import dataclass, field
from datetime import date, datetime, timezone

# The day that decides which months there are. A real service's months end with the real day, so they move with
# it; the tests name one for all their scripts.
TODAY = date.fromisoformat(os.environ.get("INTEROP_TODAY") or datetime.now(timezone.utc).date().isoformat())


def months_ago(months: int) -> str:
    """Return the month so many months before today's, as `YYYY-MM`."""
    index = TODAY.year * 12 + TODAY.month - 1 - months
    return f"{index // 12:04}-{index % 12 + 1:02}"


CURRENT, PREVIOUS, OLDER, OLD = (months_ago(months) for months in (0, 1, 2, 4))

# Names that guests could choose and that some reader gets wrong: formulas, quotes, line ends, what looks
# like a null, a number or a date, and text far outside ASCII.
HOSTILE_USERNAMES = (
    '=HYPERLINK("http://example.com","pay here")',
    "+41 44 668 18 00",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\tstarts with a tab",
    "\rstarts with a carriage return",
    "two\nlines",
    "two\r\nlines of another system",
    "\n",
    'a "quoted" name',
    '"',
    '""',
    "comma, semicolon; pipe|",
    "",
    " ",
    " space before",
    "space after ",
    "'apostrophe",
    "'=1+1",
    "\uff1d1+1",
    "\u200b=1+1",
    "back\\slash \\N \\n",
    "NULL",
    "null",
    "NaN",
    "0123",
    "1e5",
    "true",
    "2026-10-01",
    "Zoë Łukasz 名前 🦀 e\u0301",
    "\u202eright to left",
    "\ufeffbyte order mark",
    "line\u2028separator",
    "nul\0byte",
    "a" * 1000,
)


@dataclass(frozen=True)
class Guest:
    """One row of an answer, without its period."""

    username: str
    username_hash: str


@dataclass(frozen=True)
class Network:
    """One network: its guests by period as the server lists them, and what it says instead if it refuses."""

    network_id: str
    name: str
    guests: dict[str, list[Guest]] = field(default_factory=dict)
    # Months of which the service still knows the count; older ones can only be confirmed by a second walk.
    counted_periods: tuple[str, ...] = ()
    # The error shape that every request for this network is answered with.
    refusal: str | None = None

    def roster(self, period: str) -> dict[str, str]:
        """Return username by hash: each guest once, the smaller of two usernames."""
        roster: dict[str, str] = {}
        for guest in self.guests.get(period, []):
            known = roster.get(guest.username_hash, guest.username)
            roster[guest.username_hash] = min(known, guest.username)
        return roster


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _ordinary(network_id: str, period: str, count: int) -> list[Guest]:
    names = (f"guest{number:05}@{period}.example.com" for number in range(count))
    return [Guest(name, _hash(network_id, name)) for name in names]


def _hostile(network_id: str) -> list[Guest]:
    guests = [Guest(name, _hash(network_id, name)) for name in HOSTILE_USERNAMES]
    # Hashes are opaque too: one that a spreadsheet would run, one of the alphabet that must stay exact.
    guests.append(Guest("hash like a formula", '=1+1,"x"\n'))
    guests.append(Guest("hash of base64", "+/9aZ0Z9b2c4ZGVm_-=="))
    # One guest who changed the name within the period, and rows repeated as at the edge of a page.
    renamed = _hash(network_id, "renamed")
    guests += [
        Guest("zoe@new.example.com", renamed),
        Guest("ann@old.example.com", renamed),
    ]
    return guests + guests[10:14]


def _networks() -> list[Network]:
    acme = "12345678"
    zeros = "01234567"
    return [
        Network(
            network_id=acme,
            name='Acme, "Süd" & Söhne',
            guests={
                OLD: _ordinary(acme, OLD, 130),
                OLDER: _ordinary(acme, OLDER, 100),
                PREVIOUS: _ordinary(acme, PREVIOUS, 257) + _hostile(acme),
                CURRENT: _ordinary(acme, CURRENT, 3),
            },
            counted_periods=(OLDER, PREVIOUS, CURRENT),
        ),
        Network(
            network_id=zeros,
            name="=Leading zeros",
            guests={PREVIOUS: _ordinary(zeros, PREVIOUS, 201) + _hostile(zeros)},
            counted_periods=(OLDER, PREVIOUS, CURRENT),
        ),
        Network(
            network_id="00000001",
            name="Nobody yet",
            guests={PREVIOUS: []},
            counted_periods=(OLDER, PREVIOUS, CURRENT),
        ),
        Network("40000000", "Refuses as bad", refusal="BadRequestError"),
        Network("40100000", "Refuses the caller", refusal="UnauthorizedError"),
        Network("40300000", "Refuses the action", refusal="ForbiddenError"),
        Network("42200000", "Refuses a field", refusal="ValidationError"),
        Network("42900000", "Refuses for now", refusal="RateLimitError"),
        Network("50000000", "Fails", refusal="InternalServerError"),
    ]


NETWORKS = {network.network_id: network for network in _networks()}


def truth() -> list[dict[str, object]]:
    """List each network and period with the roster that must be published."""
    return [
        {
            "network_id": network.network_id,
            "billing_period": period,
            "network_name": network.name,
            "counted": period in network.counted_periods,
            "guests": [
                {"username_hash": username_hash, "username": username}
                for username_hash, username in sorted(network.roster(period).items())
            ],
        }
        for network in NETWORKS.values()
        for period in network.guests
    ]


if __name__ == "__main__":
    json.dump(truth(), sys.stdout)
