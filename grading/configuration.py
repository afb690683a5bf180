"""Strict YAML: a file becomes a checked record, or one line that names file, line, key and mend.

Unknown and repeated keys, wrong types and whatever a record's own rules find are all reported the same way.
Nothing is coerced, and nothing but plain data is constructed.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from grading.errors import UsageError
from grading.strict import Configuration

Location = tuple[str | int, ...]
Problem = tuple[Location, str]
"""Where in the file (keys and indices from the top), and what is wrong there and how to mend it."""


Record = TypeVar("Record", bound=Configuration)


def read_configuration(
    path: Path, model: type[Record], problems: Callable[[Record], Iterable[Problem]] = lambda record: ()
) -> Record:
    """Read a YAML file into `model`; `problems` gives what the types alone cannot say.

    Raises UsageError with one line: the first problem, and how many more there are.
    """
    node, data = _parse(path, _read(path))
    try:
        record = model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        details = error.errors(include_url=False)
        details.sort(key=lambda detail: detail["type"] != "extra_forbidden")  # the slip before its effects
        raise _usage_error(path, node, [_explain(detail, model) for detail in details]) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: refers to itself or has a key that is no text; mend it") from error
    found = list(problems(record))
    if found:
        raise _usage_error(path, node, found)
    return record


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean "points"?` if a known name is near, else the list of those there are."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f'did you mean "{near[0]}"?' if near else f"there is: {', '.join(known) or 'none'}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; check path and permissions") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from error


_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc, valid-type]
    """Dates stay text: YAML would silently give one without a zone to those who forgot it."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


def _parse(path: Path, text: str) -> tuple[yaml.Node, Any]:
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise UsageError(f"{path}:1: the file is empty; see the example in the documentation")
        for line, key in _repeated_keys(node):
            raise UsageError(f'{path}:{line}: the key "{key}" stands here a second time; remove one')
        return node, loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context
        line = mark.line + 1 if mark else 1
        raise UsageError(f"{path}:{line}: not valid YAML: {what}; mend it there") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid YAML: {' '.join(str(error).split())}; mend it there") from error
    finally:
        if loader is not None:
            loader.dispose()


def _repeated_keys(node: yaml.Node, above: tuple[yaml.Node, ...] = ()) -> Iterator[tuple[int, str]]:
    if any(node is one for one in above):
        return
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _repeated_keys(item, (*above, node))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    yield key.start_mark.line + 1, key.value
                seen.add(key.value)
            yield from _repeated_keys(value, (*above, node))


def _usage_error(path: Path, node: yaml.Node, problems: list[Problem]) -> UsageError:
    location, message = problems[0]
    line, where = _find(node, location)
    more = len(problems) - 1
    rest = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
    return UsageError(f"{path}:{line}: {where + ': ' if where else ''}{message}{rest}")


def _find(node: yaml.Node, location: Location) -> tuple[int, str]:
    """The line of a key or item, or of what it is missing from, and its dotted name in the file."""
    line, names = node.start_mark.line + 1, []
    for i, step in enumerate(location):
        found = _step(node, step)
        if found is not None:
            line, node = found[0] + 1, found[1]
        elif i < len(location) - 1:
            continue  # pydantic's name for a member of a union, not a key
        names.append(str(step))
    return line, ".".join(names)


def _step(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return key.start_mark.line, value
    return None


def _explain(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    location, given = detail["loc"], detail["input"]
    shown = json.dumps(given, ensure_ascii=False, default=str)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    match detail["type"]:
        case "extra_forbidden":
            return location, f"unknown key; {did_you_mean(str(location[-1]), _keys_at(model, location[:-1]))}"
        case "missing":
            return location, "missing; add it"
        case "timezone_aware":
            return location, f"{given} has no time zone; write one, as in 2026-10-04T23:59:00+03:00"
        case "union_tag_not_found":
            return (*location, "kind"), "missing; add it"
        case "union_tag_invalid":
            expected = detail["ctx"]["expected_tags"]
            return (*location, "kind"), f"should be one of {expected}, got {json.dumps(detail['ctx']['tag'])}"
        case "value_error":
            return location, detail["msg"].removeprefix("Value error, ") + f", got {shown}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return location, f"should be keys and values, got {shown}"
        case "tuple_type" | "list_type":
            return location, f"should be a list, got {'nothing' if given is None else shown}"
        case _:
            return location, f"{detail['msg'].replace('Input should', 'should', 1)}, got {shown}"


def _keys_at(model: type[BaseModel], location: Location) -> set[str]:
    """The keys that the record at a location may have."""
    models = [model]
    for step in (step for step in location if isinstance(step, str)):
        fields = [one.model_fields[step].annotation for one in models if step in one.model_fields]
        inner = [found for annotation in fields for found in _models_in(annotation)]
        models = inner or [one for one in models if _tag(one) == step]
    return {key for one in models for key in one.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _tag(model: type[BaseModel]) -> object:
    return model.model_fields["kind"].default if "kind" in model.model_fields else None
