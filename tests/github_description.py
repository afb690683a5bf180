"""GitHub's own OpenAPI description of its REST API: what the test server's answers, and questions to it, must fit.

It lies outside the repository; where it is missing nothing is checked.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator, oas30_format_checker

PATH = Path(__file__).parents[2] / "shared/github-rest-subset.json"

# Paths that the description was cut without, and the component that they answer with.
ELSEWHERE: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/orgs/{org}"): {"$ref": "#/components/schemas/organization-simple"},
    ("GET", "/orgs/{org}/outside_collaborators"): {
        "type": "array",
        "items": {"$ref": "#/components/schemas/simple-user"},
    },
    ("GET", "/orgs/{org}/rulesets/{ruleset_id}"): {"$ref": "#/components/schemas/repository-ruleset"},
    ("PUT", "/orgs/{org}/rulesets/{ruleset_id}"): {"$ref": "#/components/schemas/repository-ruleset"},
    ("GET", "/repos/{owner}/{repo}/issues/{issue_number}"): {"$ref": "#/components/schemas/issue"},
    ("PATCH", "/repos/{owner}/{repo}/issues/{issue_number}"): {"$ref": "#/components/schemas/issue"},
}
ERROR = {"$ref": "#/components/schemas/basic-error"}
# Text under these keys is one of a few words, so that another word is another shape.
WORDS = {
    "status",
    "conclusion",
    "activity_type",
    "state",
    "role",
    "target",
    "enforcement",
    "permissions",
    "type",
}
OFTEN_ENOUGH = 3


class Description:
    """Problems of answers and requests; one shape at one path is looked at three times, not thousands."""

    def __init__(self) -> None:
        self.document: dict[str, Any] | None = None
        if PATH.is_file():
            self.document = json.loads(PATH.read_text(), object_hook=_null_where_nullable)
        self._seen: dict[object, int] = {}

    def of_answer(self, method: str, template: str, status: int, data: object) -> Iterator[str]:
        if self.document is None or self._often((method, template, status, shape(data))):
            return
        documented = self._operation(method, template).get("responses")
        schema = ERROR if status >= 300 else ELSEWHERE.get((method, template))
        if documented is not None:
            answer = self._resolve(documented.get(str(status)))
            if answer is None and status < 300:  # it may redirect anywhere
                yield f"{method} {template}: GitHub does not answer {status} there"
            content = (answer or {}).get("content", {})
            schema = next((of["schema"] for of in content.values() if "schema" in of), schema)
            if answer is not None and not content and status < 300 and data is not None:
                yield f"{method} {template}: GitHub's {status} there has no body"
        if schema is not None and data is not None:
            for problem in self._problems(schema, data):
                yield f"{method} {template} {status}: {problem}"

    def of_request(self, method: str, template: str, query: dict[str, str], body: object) -> Iterator[str]:
        if self.document is None or self._often((method, template, tuple(query), shape(body))):
            return
        operation = self._operation(method, template)
        if not operation:
            return
        parameters = [self._resolve(each) for each in operation.get("parameters", [])]
        known = {each["name"] for each in parameters if each and each["in"] == "query"}
        for name in query.keys() - known:
            yield f"{method} {template}: has no parameter {name}"
        content = self._resolve(operation.get("requestBody") or {}) or {}
        schema = content.get("content", {}).get("application/json", {}).get("schema")
        if schema is None:
            if body is not None:
                yield f"{method} {template}: takes no body"
            return
        if isinstance(body, dict) and "properties" in schema:
            for name in body.keys() - schema["properties"].keys():
                yield f"{method} {template}: its body has no key {name}"
        if body is not None or content.get("required"):
            for problem in self._problems(schema, body):
                yield f"{method} {template}, what was sent: {problem}"

    def _problems(self, schema: dict[str, Any], data: object) -> Iterator[str]:
        assert self.document is not None
        whole = {"allOf": [schema], "components": self.document["components"]}
        checker = OAS30Validator(whole, format_checker=oas30_format_checker)
        for error in checker.iter_errors(one_of_each(data)):
            yield f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"

    def _operation(self, method: str, template: str) -> dict[str, Any]:
        assert self.document is not None
        found: dict[str, Any] = self.document["paths"].get(template, {}).get(method.lower(), {})
        return found

    def _resolve(self, item: dict[str, Any] | None) -> dict[str, Any] | None:
        while item is not None and "$ref" in item:
            steps = item["$ref"].removeprefix("#/").split("/")
            item = functools.reduce(lambda within, step: within[step], steps, self.document)
        return item

    def _often(self, what: object) -> bool:
        self._seen[what] = self._seen.get(what, 0) + 1
        return self._seen[what] > OFTEN_ENOUGH


def shape(data: object, key: str = "") -> object:
    """Keys and types without values: what of one shape a schema says, it says of all."""
    if isinstance(data, dict):
        return tuple([(name, shape(value, name)) for name, value in data.items()])
    if isinstance(data, list):
        return frozenset([shape(value, key) for value in data])
    return data if key in WORDS and isinstance(data, str) else type(data)


def one_of_each(data: object) -> object:
    """The same data, with one item of each shape in its lists."""
    if isinstance(data, dict):
        return {name: one_of_each(value) for name, value in data.items()}
    if isinstance(data, list):
        return [one_of_each(value) for value in {shape(value): value for value in data}.values()]
    return data


def _null_where_nullable(node: dict[str, Any]) -> dict[str, Any]:
    """The description forgets to list null among the words that a nullable field may be, and GitHub sends it."""
    if node.get("nullable") is True and isinstance(node.get("enum"), list):
        node["enum"].append(None)
    return node
