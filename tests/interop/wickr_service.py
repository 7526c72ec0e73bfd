"""What the model server's operations answer, from the population held in memory.

Page tokens are opaque, bound to the request that they continue and full of characters that a URL must encode,
because the model lets a token be any text.
"""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from population import NETWORKS, Network

DEFAULT_PAGE = 10
MAX_PAGE = 100
# Fewer networks a page than the client asks for, so that the few there are need two pages.
NETWORKS_A_PAGE = 2
ACCOUNT_ID = "111122223333"
# Every answer of guests with this index is an empty page that carries a token.
EMPTY_PAGE = 2

Parameters = dict[str, Any]


class Refusal(Exception):
    """An answer that is one of the model's error shapes."""

    def __init__(self, code: str, message: str, field_name: str | None = None) -> None:
        """Refuse with a code of the model, and for a validation with the field."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.field_name = field_name


@dataclass
class PageTokens:
    """The tokens handed out, each with the request that it continues and the place where."""

    _issued: dict[str, tuple[Parameters, int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self, request: Parameters, offset: int, page: int) -> str:
        """Hand out the token of the page that begins at an offset."""
        token = f"{secrets.token_urlsafe(12)}+/=?&#%20 ;é~{offset}=="
        with self._lock:
            self._issued[token] = (_identity(request), offset, page)
        return token

    def resolve(self, request: Parameters) -> tuple[int, int]:
        """Return the offset and the index of the page that a request asks for."""
        token = request.get("nextToken")
        if token is None:
            return 0, 0
        with self._lock:
            issued = self._issued.get(token)
        if issued is None or issued[0] != _identity(request):
            raise Refusal("BadRequestError", "the nextToken is not of this request")
        return issued[1], issued[2]


def _identity(request: Parameters) -> Parameters:
    return {name: value for name, value in request.items() if name != "nextToken"}


class WickrService:
    """The operations that the exporter uses; the rest of the model is refused."""

    def __init__(self) -> None:
        """Start with no token handed out."""
        self._tokens = PageTokens()
        self._operations = {
            "GetGuestUserHistoryCount": self._count_history,
            "GetNetwork": self._get_network,
            "ListGuestUsers": self._list_guests,
            "ListNetworks": self._list_networks,
        }

    def answer(self, operation: str, request: Parameters) -> Parameters:
        """Answer one request whose parameters already satisfy the model."""
        handler = self._operations.get(operation)
        if handler is None:
            raise Refusal("ForbiddenError", f"{operation} is not for this test")
        return handler(request)

    def _list_guests(self, request: Parameters) -> Parameters:
        network = _network(request)
        rows = [
            {
                "billingPeriod": period,
                "username": guest.username,
                "usernameHash": guest.username_hash,
            }
            for period, guests in network.guests.items()
            for guest in guests
            if request.get("billingPeriod", period) == period
            and request.get("username", guest.username) == guest.username
        ]
        key = request.get("sortFields", "username")
        if key not in ("username", "billingPeriod"):
            raise Refusal("ValidationError", "no such field to sort by", "sortFields")
        descending = request.get("sortDirection", "DESC") == "DESC"
        rows.sort(key=lambda row: (row[key], row["usernameHash"]), reverse=descending)
        return self._page("guestlist", rows, request, MAX_PAGE, with_empty_page=True)

    def _list_networks(self, request: Parameters) -> Parameters:
        listed = [
            _describe(network) for network in NETWORKS.values() if not network.refusal
        ]
        return self._page("networks", listed, request, NETWORKS_A_PAGE)

    def _get_network(self, request: Parameters) -> Parameters:
        return _describe(_network(request))

    def _count_history(self, request: Parameters) -> Parameters:
        network = _network(request)
        counts = {
            period: len(network.roster(period)) for period in network.counted_periods
        }
        return {
            "history": [
                {"month": period.replace("-", "_"), "count": str(count)}
                for period, count in counts.items()
            ]
        }

    def _page(
        self,
        key: str,
        rows: Sequence[Parameters],
        request: Parameters,
        most: int,
        *,
        with_empty_page: bool = False,
    ) -> Parameters:
        asked = request.get("maxResults", DEFAULT_PAGE)
        if not 1 <= asked <= MAX_PAGE:
            raise Refusal("ValidationError", "must be from 1 to 100", "maxResults")
        offset, page = self._tokens.resolve(request)
        size = min(asked, most)
        if with_empty_page and page == EMPTY_PAGE and offset < len(rows):
            size = 0
        end = offset + size
        answer: Parameters = {key: rows[offset:end]}
        if end < len(rows):
            answer["nextToken"] = self._tokens.issue(request, end, page + 1)
        elif page % 2:
            # The end has three spellings: without a token, with null, and with an empty one.
            answer["nextToken"] = None if page % 4 == 1 else ""
        return answer


def _network(request: Parameters) -> Network:
    network = NETWORKS.get(request["networkId"])
    if network is None:
        raise Refusal("ResourceNotFoundError", "there is no such network")
    if network.refusal is not None:
        raise Refusal(network.refusal, f"refused: {network.name}", "billingPeriod")
    return network


def _describe(network: Network) -> Parameters:
    arn = f"arn:aws:wickr:us-east-1:{ACCOUNT_ID}:network/{network.network_id}"
    return {
        "networkId": network.network_id,
        "networkName": network.name,
        "accessLevel": "PREMIUM",
        "awsAccountId": ACCOUNT_ID,
        "networkArn": arn,
    }
