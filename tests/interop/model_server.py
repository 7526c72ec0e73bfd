"""A Wickr Admin API server in which nothing was written by the authors of the exporter but the population.

Routes, shapes, required fields, enumerations and error statuses come from botocore's service model, and
botocore's signer decides whether a signature is right. Every request is appended to a record, one JSON object
a line, before it is answered: the test judges the exporter by that record as well as by what it publishes.

    model_server.py --record FILE [--fault OPERATION:N:CODE]... [--session-token TOKEN] [--roles checked|open]

With `--roles`, only whoever has assumed a role of the STS beside it is served. Prints the environment for a client as `export NAME=value` lines, as `simulate` does, and serves until killed.
"""

import argparse
import json
import threading
from collections import Counter
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.credentials import Credentials
from botocore.model import OperationModel

from service_model import FieldProblem, WickrModel
from signature import VALID, ReceivedRequest, SignatureChecker
from wickr_service import Refusal, WickrService

if TYPE_CHECKING:
    from token_service import TokenService

REGION = "eu-central-1"
ACCESS_KEY_ID = "AKIAINTEROPEXAMPLE00"
SECRET_ACCESS_KEY = "interop+secret/of=the+model/server"


class ModelServer(ThreadingHTTPServer):
    """The listening server with everything that its requests share."""

    daemon_threads = True

    def __init__(
        self,
        record: Path,
        faults: dict[tuple[str, int], str],
        token: str | None,
        roles: "TokenService | None",
    ) -> None:
        """Listen on a free loopback port."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.model = WickrModel()
        for (operation, _), code in faults.items():
            self.model.error_status(self.model.operation(operation), code)
        self.service = WickrService()
        own = {ACCESS_KEY_ID: Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY, token)}
        self.roles = roles
        self.signatures = SignatureChecker(
            roles.keys if roles else own.get, self.model.signing_name, REGION
        )
        self._faults = faults
        self._record = record.open("a", encoding="utf-8")
        self._served: Counter[str] = Counter()
        self._lock = threading.Lock()

    def next_fault(self, operation: str) -> str | None:
        """Count a request for an operation; return the error planned for it, if any."""
        with self._lock:
            self._served[operation] += 1
            return self._faults.get((operation, self._served[operation]))

    def write_record(self, entry: dict[str, Any]) -> None:
        """Append one request to the record, whole and at once."""
        with self._lock:
            self._record.write(json.dumps(entry) + "\n")
            self._record.flush()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: ModelServer
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        request = ReceivedRequest(
            self.command, self.path, self.headers.items(), self.rfile.read(length)
        )
        exchange = Exchange(self.server, request)
        status, headers, body = exchange.answer()
        self.server.write_record(exchange.record(status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    # Every method of HTTP goes one way, so that a wrong one is recorded too.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the record holds it all."""


class Exchange:
    """One request from its signature to its answer, and what is recorded of it."""

    def __init__(self, server: ModelServer, request: ReceivedRequest) -> None:
        """Take up a request as received."""
        self._server = server
        self._request = request
        self._verdict = "not checked"
        self._operation: OperationModel | None = None
        self._parameters: dict[str, Any] = {}
        self._problems: list[str] = []
        self._error: str | None = None

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        model = self._server.model
        try:
            operation, answer = self._handle()
        except Refusal as refusal:
            self._error = refusal.code
            details = (
                [FieldProblem(refusal.field_name, refusal.message)]
                if refusal.field_name
                else []
            )
            status = model.error_status(self._operation, refusal.code)
            body = model.error_body(refusal.code, refusal.message, details)
            # AWS's front ends append a documentation link, which clients must strip.
            name = f"{refusal.code}:http://internal.amazon.com/coral/com.amazon.wickr/"
            return status, {"x-amzn-errortype": name}, json.dumps(body).encode()
        self._problems += [
            f"the server's answer: {problem}"
            for problem in model.answer_problems(operation, answer)
        ]
        status = int(operation.http.get("responseCode", 200))
        return status, {}, json.dumps(answer, ensure_ascii=False).encode()

    def record(self, status: int) -> dict[str, Any]:
        """Describe the exchange for the test."""
        return {
            "method": self._request.method,
            "target": self._request.target,
            "operation": self._operation.name if self._operation else None,
            "parameters": self._parameters,
            "signature": self._verdict,
            "problems": self._problems,
            "status": status,
            "error": self._error,
            "user_agent": self._request.header("user-agent"),
            "caller": self._caller(),
        }

    def _caller(self) -> dict[str, Any] | None:
        """Describe as which role the request was signed, and how that was asked for."""
        authorization = self._request.header("authorization") or ""
        key_id = authorization.partition("Credential=")[2].partition("/")[0]
        role = self._server.roles.role_of(key_id) if self._server.roles else None
        if role is None:
            return None
        return {
            "role": role.role_arn,
            "session": role.session_name,
            "external_id": role.external_id,
            "region": role.region_name,
        }

    def _handle(self) -> tuple[OperationModel, dict[str, Any]]:
        server, request = self._server, self._request
        self._verdict = server.signatures.verdict(request, datetime.now(timezone.utc))
        found = server.model.route(request.method, urlsplit(request.target).path)
        if found is None:
            self._problems.append("no operation of the model has this route")
            raise Refusal("ResourceNotFoundError", "no such route")
        self._operation, labels = found
        if self._verdict != VALID:
            raise Refusal("UnauthorizedError", "the signature is not valid")
        name = self._operation.name
        self._parameters, problems = server.model.parameters(
            self._operation, labels, request.query()
        )
        if request.body:
            problems.append(FieldProblem("body", "is not part of this operation"))
        if problems:
            self._problems += [f"{each.field} {each.reason}" for each in problems]
            raise Refusal("ValidationError", problems[0].reason, problems[0].field)
        fault = server.next_fault(name)
        if fault is not None:
            raise Refusal(fault, "injected by the test", "injected")
        return self._operation, server.service.answer(name, self._parameters)


def _fault(text: str) -> tuple[tuple[str, int], str]:
    operation, number, code = text.split(":")
    return (operation, int(number)), code


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--fault", type=_fault, action="append", default=[])
    parser.add_argument("--session-token")
    parser.add_argument("--roles", choices=["checked", "open"])
    arguments = parser.parse_args()
    roles = None
    if arguments.roles:
        # moto takes a second to load, which most tests need not wait for.
        from token_service import TokenService

        roles = TokenService(REGION, checks=arguments.roles == "checked")
    server = ModelServer(
        arguments.record, dict(arguments.fault), arguments.session_token, roles
    )
    base = roles.base if roles else Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    environment = {
        "AWS_ENDPOINT_URL_STS": roles.endpoint if roles else None,
        "AWS_SESSION_TOKEN": arguments.session_token,
        "AWS_REGION": REGION,
        # boto3 and the first version of the CLI know only the older name.
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": base.access_key,
        "AWS_SECRET_ACCESS_KEY": base.secret_key,
        "AWS_ENDPOINT_URL_WICKR": f"http://127.0.0.1:{server.server_port}",
    }
    lines = [f"export {name}={value}" for name, value in environment.items() if value]
    print(*lines, sep="\n", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
