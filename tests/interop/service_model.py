"""Routes, parameters, answers and errors of the Wickr Admin API, taken from botocore's own service model.

Nothing of the API is written down here: a route, field, enumeration or status that AWS changes in the model
changes what the server accepts and answers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator


@dataclass(frozen=True)
class Route:
    """One operation's method and path, as the model's `http.requestUri` has it."""

    operation: OperationModel
    path: re.Pattern[str]

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """Return the path's labels if the request is for this operation."""
        found = self.path.fullmatch(path)
        if self.operation.http["method"] != method or found is None:
            return None
        return {name: unquote(value) for name, value in found.groupdict().items()}


@dataclass(frozen=True)
class FieldProblem:
    """Why one field of a request breaks the model."""

    field: str
    reason: str


class WickrModel:
    """The service model, asked in the terms of a server."""

    def __init__(self) -> None:
        """Load the model that this botocore carries."""
        description = Loader().load_service_model("wickr", "service-2")
        self._model = ServiceModel(description, "wickr")
        operations = [
            self._model.operation_model(name) for name in self._model.operation_names
        ]
        # Literal segments win over labels: /guest-users/count is no {username}.
        operations.sort(key=lambda operation: operation.http["requestUri"].count("{"))
        self._routes = [
            Route(operation, _path_pattern(operation.http["requestUri"]))
            for operation in operations
        ]

    @property
    def signing_name(self) -> str:
        """The service name that belongs into a signature's scope."""
        return str(self._model.signing_name)

    def operation(self, name: str) -> OperationModel:
        """Return an operation by name; raise if the model has none such."""
        return self._model.operation_model(name)

    def route(
        self, method: str, path: str
    ) -> tuple[OperationModel, dict[str, str]] | None:
        """Find the operation that a request is for, and the labels of its path."""
        for route in self._routes:
            labels = route.match(method, path)
            if labels is not None:
                return route.operation, labels
        return None

    def parameters(
        self,
        operation: OperationModel,
        labels: dict[str, str],
        query: Sequence[tuple[str, str]],
    ) -> tuple[dict[str, Any], list[FieldProblem]]:
        """Read a request's parameters by their place in the model; return also what breaks it."""
        values: dict[str, Any] = {}
        problems: list[FieldProblem] = []
        given = {("uri", name): value for name, value in labels.items()}
        for name, value in query:
            if ("querystring", name) in given:
                problems.append(FieldProblem(name, "is given twice"))
            given["querystring", name] = value
        shape = operation.input_shape
        for member, member_shape in shape.members.items():
            place = (
                member_shape.serialization.get("location", "body"),
                member_shape.serialization.get("name", member),
            )
            if place in given:
                value, problem = _parse(member_shape, given.pop(place))
                values[member] = value
                if problem is not None:
                    problems.append(FieldProblem(member, problem))
        problems += [
            FieldProblem(member, "is required")
            for member in shape.required_members
            if member not in values
        ]
        problems += [
            FieldProblem(name, "is no parameter of this operation") for _, name in given
        ]
        return values, problems

    def answer_problems(
        self, operation: OperationModel, answer: dict[str, Any]
    ) -> list[str]:
        """Say how an answer that the server is about to give breaks the operation's output shape."""
        present = {key: value for key, value in answer.items() if value is not None}
        errors = ParamValidator().validate(present, operation.output_shape)
        return str(errors.generate_report()).splitlines()

    def error_status(self, operation: OperationModel | None, code: str) -> int:
        """Return the HTTP status of an error; refuse one that the operation does not declare."""
        if operation is not None:
            declared = {shape.name for shape in operation.error_shapes}
            if code not in declared:
                raise KeyError(f"{operation.name} does not declare {code}")
        return int(self._model.shape_for(code).metadata["error"]["httpStatusCode"])

    def error_body(
        self, code: str, message: str, problems: Sequence[FieldProblem] = ()
    ) -> dict[str, Any]:
        """Fill in those members of an error shape that the model gives it."""
        members = self._model.shape_for(code).members
        details = [
            {"field": problem.field, "reason": problem.reason} for problem in problems
        ]
        body = {"message": message, "reasons": details}
        return {name: body[name] for name in members}


def _path_pattern(request_uri: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", request_uri)
    literals = [re.escape(part) for part in parts[::2]]
    labels = [f"(?P<{name}>[^/]+)" for name in parts[1::2]]
    pairs = zip(literals, [*labels, ""], strict=True)
    return re.compile("".join(literal + label for literal, label in pairs))


def _parse(shape: Shape, text: str) -> tuple[Any, str | None]:
    """Read one parameter from its text; return the value and what the model holds against it."""
    if shape.type_name == "integer":
        if re.fullmatch(r"-?[0-9]+", text) is None:
            return None, "is not an integer"
        return int(text), None
    if shape.type_name != "string":
        raise NotImplementedError(f"a parameter of type {shape.type_name}")
    limits = shape.metadata
    if "enum" in limits and text not in limits["enum"]:
        return text, f"is not one of {', '.join(limits['enum'])}"
    if not limits.get("min", 0) <= len(text) <= limits.get("max", len(text)):
        return text, "has the wrong length"
    if "pattern" in limits and re.fullmatch(limits["pattern"], text) is None:
        return text, f"does not match {limits['pattern']}"
    return text, None
