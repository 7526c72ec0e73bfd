"""Checks the signature of a request as it was received, by computing it again with botocore's own signer.

The query is decoded and encoded again, as AWS does it, so that a client that signs another spelling than it
sends is found out. Nothing of the exporter's signing code is known here.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

VALID = "valid"
MAX_CLOCK_SKEW = timedelta(minutes=5)

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<credential>[^,\s]+),\s*"
    r"SignedHeaders=(?P<signed>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True)
class ReceivedRequest:
    """A request exactly as it came off the wire."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return a header's value, or None if it is absent or repeated."""
        values = [value for key, value in self.headers if key.lower() == name]
        return values[0] if len(values) == 1 else None

    def query(self) -> list[tuple[str, str]]:
        """Return the decoded query parameters, in the order received."""
        return parse_qsl(
            urlsplit(self.target).query, keep_blank_values=True, strict_parsing=False
        )


class SignatureChecker:
    """Knows the keys, the region and the signing name that it accepts."""

    def __init__(
        self,
        find: Callable[[str], Credentials | None],
        service: str,
        region: str,
    ) -> None:
        """Accept only requests signed with keys that are found by their id, for this service and region."""
        self._find = find
        self._service = service
        self._region = region

    def verdict(self, request: ReceivedRequest, now: datetime) -> str:
        """Return `VALID`, or the first thing that is wrong with the signature."""
        match = _AUTHORIZATION.fullmatch(request.header("authorization") or "")
        if match is None:
            return "no well-formed Authorization header"
        timestamp = request.header("x-amz-date") or ""
        credentials = self._find(match["credential"].partition("/")[0])
        if credentials is None:
            return "unknown access key"
        signed = match["signed"].split(";")
        problem = (
            self._scope_problem(match["credential"], timestamp)
            or _date_problem(timestamp, now)
            or _header_problem(request, signed, credentials.token)
        )
        if problem is not None:
            return problem
        expected = self._signature(request, signed, timestamp, credentials)
        if not hmac.compare_digest(expected, match["signature"]):
            return "botocore computes another signature"
        return VALID

    def _scope_problem(self, credential: str, timestamp: str) -> str | None:
        scope = credential.partition("/")[2]
        expected = f"{timestamp[:8]}/{self._region}/{self._service}/aws4_request"
        if scope != expected:
            return f"scope is {scope}, not {expected}"
        return None

    def _signature(
        self,
        request: ReceivedRequest,
        signed: list[str],
        timestamp: str,
        credentials: Credentials,
    ) -> str:
        path = urlsplit(request.target).path
        again = AWSRequest(
            method=request.method,
            url=f"http://{request.header('host')}{path}",
            params=request.query(),
            data=request.body,
        )
        for name, value in request.headers:
            if name.lower() in signed:
                again.headers[name] = value
        again.context["timestamp"] = timestamp
        signer = SigV4Auth(credentials, self._service, self._region)
        to_sign = signer.string_to_sign(again, signer.canonical_request(again))
        return str(signer.signature(to_sign, again))


def _header_problem(
    request: ReceivedRequest, signed: list[str], token: str | None
) -> str | None:
    received = {name.lower() for name, _ in request.headers}
    if signed != sorted(set(signed)):
        return "signed headers are not sorted"
    missing = set(signed) - received
    if missing:
        return f"signed headers were not sent: {sorted(missing)}"
    required = {"host"} | {name for name in received if name.startswith("x-amz-")}
    unsigned = required - set(signed)
    if unsigned:
        return f"headers were not signed: {sorted(unsigned)}"
    if request.header("x-amz-security-token") != token:
        return "the session token is not the one issued"
    announced = request.header("x-amz-content-sha256")
    if announced not in (None, hashlib.sha256(request.body).hexdigest()):
        return "x-amz-content-sha256 is not the digest of the body"
    return None


def _date_problem(timestamp: str, now: datetime) -> str | None:
    try:
        signed_at = datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(
            tzinfo=timezone.utc
        )
    except ValueError:
        return "x-amz-date is missing or malformed"
    if abs(now - signed_at) > MAX_CLOCK_SKEW:
        return "the request was signed at another time"
    return None
