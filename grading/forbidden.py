"""Finds library functions that a task forbids, by resolved name in the syntax tree, never by text or by running it.

Only code that a task's names can reach is searched. It teaches and flags for review; it is no wall: a name that is
computed at run time escapes, and `suspicious` lists where one might. No source, however hostile, makes it raise.
"""

from __future__ import annotations

import ast
import builtins
import re
import sys
import warnings
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

MAX_CELL = 200_000  # characters; a syntax tree takes up to a thousand bytes for each
MAX_TOTAL = 400_000
MAX_DEPTH = 40  # aliases of aliases, attributes of attributes
MAX_BINDINGS = 100  # of one name that are looked at in one place
MAX_VALUES = 16  # that one expression may stand for


@dataclass(slots=True, frozen=True, order=True)
class Hit:
    """`what` (a dotted library name, or what makes the place suspicious) stands in this line of this code cell."""

    cell: int
    line: int
    what: str


def find_forbidden(
    cells: Sequence[tuple[int, str]], names: Sequence[str], forbidden: Sequence[str]
) -> list[Hit]:
    """Where code reachable from `names` mentions a forbidden library name, sorted by place.

    `cells` are (number, source) in the order in which they run; one that does not parse is left out, as it cannot run.
    `forbidden` are dotted names: `torch.relu`, `torch.nn.*` (all below it), `Tensor.relu` (that is, `x.relu()`).
    """
    if not forbidden:
        return []
    program = _program(tuple(cells))
    patterns = _Patterns(forbidden)
    hits: set[Hit] = set()
    reached: list[_Bound] = []
    for name in names:
        for bound in program.live(name, None):
            if what := patterns.match(bound.dotted):
                hits.add(Hit(bound.cell, bound.line, what))
            reached.append(bound)
    seen: set[_Bound] = set()
    while reached:
        bound = reached.pop()
        if bound in seen:
            continue
        seen.add(bound)
        for node, scope in program.walk(bound.node, program.module(bound.order)):
            what = patterns.match(program.mentioned(node, scope))
            if what is None and isinstance(node, ast.Call):
                what = patterns.match(program.called(node, scope), methods=True)
            if what is not None:
                hits.add(Hit(bound.cell, getattr(node, "lineno", bound.line), what))
            for name in program.references(node, scope):
                for target in program.live(name, scope.before):
                    # an alias of what was just found: the line that uses it tells more than the one that makes it
                    if what is None or target.effect or not patterns.match(program.value(target, None)):
                        reached.append(target)
    return _outermost(hits)


def suspicious(cells: Sequence[tuple[int, str]]) -> list[Hit]:
    """Places anywhere in the cells where a name may be computed at run time, for a person to look at."""
    program = _program(tuple(cells))
    hits = {Hit(cell, 1, "too large or too deeply nested to be searched") for cell in program.unsearched}
    for cell, tree in program.trees:
        for node, scope in program.walk(tree, program.module(None)):
            if what := program.suspicion(node, scope):
                hits.add(Hit(cell, getattr(node, "lineno", 1), what))
    return sorted(hits)


def _outermost(hits: set[Hit]) -> list[Hit]:
    """Of `torch.nn` and `torch.nn.functional.relu` in one line, the second says it all."""
    lines: dict[tuple[int, int], set[str]] = defaultdict(set)
    for hit in hits:
        lines[hit.cell, hit.line].add(hit.what)
    return sorted(
        hit
        for hit in hits
        if not any(other.startswith(f"{hit.what}.") for other in lines[hit.cell, hit.line])
    )


# Patterns

_ALIASES = (
    ("torch._C._VariableFunctions.", "torch."),
    ("torch._VF.", "torch."),
    ("torch.functional.", "torch."),
    ("torch._C._nn.", "torch.nn.functional."),
    ("torch._C.TensorBase.", "Tensor."),
    ("torch._C._TensorBase.", "Tensor."),
    ("torch._tensor.Tensor.", "Tensor."),
    ("torch.Tensor.", "Tensor."),
)
_REEXPORTED = re.compile(r"torch\.(nn\.modules|optim)\.(?:[a-z_0-9]+\.)*([A-Z]\w*(?:\..*)?)")


def _spellings(dotted: str) -> set[str]:
    """A library name as written and as usually written: libraries reach the same object by more than one path."""
    parts = dotted.split(".")
    if "torch" in parts[1:]:  # torch.nn.functional.torch is torch
        parts = parts[len(parts) - 1 - parts[::-1].index("torch") :]
    if parts[0] == "torch" and "F" in parts[1:]:
        parts = ["torch", "nn", "functional", *parts[len(parts) - parts[::-1].index("F") :]]
    name = ".".join(parts)
    spellings = {name}
    for path, usual in _ALIASES:
        if name.startswith(path):
            spellings.add(usual + name.removeprefix(path))
    if match := _REEXPORTED.fullmatch(name):
        spellings.add(f"torch.{match[1].removesuffix('.modules')}.{match[2]}")
    return spellings


class _Patterns:
    def __init__(self, forbidden: Iterable[str]) -> None:
        self.exact: set[str] = set()
        self.below: set[str] = set()
        for pattern in forbidden:
            if pattern.endswith(".*"):
                path = pattern.removesuffix("*")
                paths = {spelling.removesuffix("*") for spelling in _spellings(pattern)}
                # torch._VF.* are some of torch.*, and must not forbid the rest of it
                self.below |= {usual for usual in paths if usual == path or not path.startswith(usual)}
            else:
                self.exact |= _spellings(pattern)

    def match(self, values: Iterable[str], *, methods: bool = False) -> str | None:
        """The forbidden name among the values, if any; `methods`: count x.relu, whatever x may be, as Tensor.relu."""
        for value in sorted(values):
            spellings = _spellings(value)
            if value[:1] == _METHOD:
                spellings = {f"Tensor.{value[1:]}"} if methods else set()
            for spelling in sorted(spellings):
                if spelling in self.exact or any(spelling.startswith(path) for path in self.below):
                    return spelling
        return None


# What an expression may stand for: a set of strings, each a dotted library name ("torch.relu", "builtins.getattr") or
_UNKNOWN = "?"
_METHOD = "~"  # "~relu": the attribute `relu` of something unknown
_OWN = "!"  # "!7": the student's own class number 7, or an instance of it
_GLOBALS = "{}"  # the dictionary of the notebook's own names
_GETTER = "<"  # "<nn.relu": operator.attrgetter("nn.relu")
_CALLER = ">"  # ">relu": operator.methodcaller("relu")

_Values = frozenset[str]
_NOTHING: _Values = frozenset()
_ANYTHING: _Values = frozenset({_UNKNOWN})
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_ITEM = ("get", "__getitem__", "pop", "setdefault")
_GETATTR = ("__getattribute__", "__getattr__")
_MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "__setitem__", "__setattr__"}
_CODE = {"eval", "exec", "compile"}
_FOREIGN = {"ctypes", "_ctypes", "cffi", "marshal", "pickle", "dill", "cloudpickle"}


@dataclass(slots=True, eq=False)
class _Bound:
    """A name's binding: what to search if it is reached, and what the name then stands for."""

    name: str
    line: int
    node: ast.AST
    value: ast.expr | None = None
    dotted: _Values = _NOTHING
    certain: bool = True  # it always happens, and so replaces what was bound before
    effect: bool = False  # it changes what the name holds, not what it stands for
    cell: int = 0
    order: int = 0


@dataclass(slots=True, eq=False)
class _Scope:
    """Names of a function, class or comprehension (or, without a node, of the notebook).

    `before`: the notebook's own names are looked up as they were at this point; None: as they are in the end, which
    is what a function's body sees.
    """

    node: ast.AST | None
    parent: _Scope | None
    before: int | None
    names: dict[str, list[_Bound]] = field(default_factory=dict)
    outer: frozenset[str] = frozenset()  # declared `global`


@lru_cache(maxsize=1)  # a homework asks for each of its tasks, of the same cells
def _program(cells: tuple[tuple[int, str], ...]) -> _Program:
    return _Program(cells)


class _Program:
    """The cells as one program with one namespace."""

    def __init__(self, cells: Sequence[tuple[int, str]]) -> None:
        self.trees, self.unsearched = _parse_cells(cells)
        self._bound: dict[str, list[_Bound]] = defaultdict(list)
        self._always: dict[str, list[_Bound]] = defaultdict(list)
        self._stars: list[_Bound] = []
        self._modules: dict[int | None, _Scope] = {}
        self._scopes: dict[tuple[int, int], _Scope] = {}
        self._memo: dict[tuple[int, int], _Values] = {}
        self._classes: list[tuple[ast.ClassDef, _Scope]] = []
        self._class_numbers: dict[int, int] = {}
        self._members: dict[int, dict[str, list[tuple[ast.expr | None, _Scope]]]] = {}
        order = 0
        for cell, tree in self.trees:
            for statement in tree.body:
                order += 1
                for bound in _bindings([statement]):
                    bound.cell, bound.order = cell, order
                    (self._stars if bound.name == "*" else self._bound[bound.name]).append(bound)
                for node in ast.walk(statement):
                    if isinstance(node, ast.Global):  # bound whenever the function is called
                        for name in node.names:
                            always = _Bound(
                                name, node.lineno, statement, certain=False, cell=cell, order=order
                            )
                            self._always[name].append(always)

    # Names

    def live(self, name: str, before: int | None) -> list[_Bound]:
        """The bindings that a use of `name` may meet: back to the last certain one."""
        bound = self._bound.get(name, [])
        end = len(bound) if before is None else bisect_left(bound, before, key=lambda item: item.order)
        live = []
        since = 0
        for item in reversed(bound[max(0, end - MAX_BINDINGS) : end]):
            live.append(item)
            if item.certain and not item.effect:
                since = item.order
                break
        stars = [
            star for star in self._stars if star.order > since and (before is None or star.order < before)
        ]
        for star in stars[-MAX_BINDINGS:]:
            if dotted := frozenset(f"{module}.{name}" for module in star.dotted if _may_export(module, name)):
                live.append(
                    _Bound(name, star.line, star.node, None, dotted, False, False, star.cell, star.order)
                )
        return live + self._always.get(name, [])[:MAX_BINDINGS]

    def module(self, before: int | None) -> _Scope:
        return self._modules.setdefault(before, _Scope(None, None, before))

    def _find(self, name: str, scope: _Scope) -> tuple[list[_Bound], _Scope] | None:
        """The bindings of a name that is local to a function, class or comprehension; None: it is the notebook's."""
        inner: _Scope | None = scope
        while inner is not None and inner.node is not None:
            if name in inner.outer:
                return None
            if name in inner.names and (inner is scope or not isinstance(inner.node, ast.ClassDef)):
                return inner.names[name][:MAX_BINDINGS], inner
            inner = inner.parent
        return None

    def _scope(self, node: ast.AST, parent: _Scope) -> _Scope:
        key = (id(node), id(parent))
        if key not in self._scopes:
            deferred = isinstance(node, _Function | ast.Lambda)
            scope = _Scope(node, parent, None if deferred else parent.before)
            self._scopes[key] = scope
            if isinstance(node, _Function | ast.Lambda):
                _bind_parameters(node, scope)
            if isinstance(node, _Function | ast.ClassDef):
                declared = [
                    item for item in _own_nodes(node.body) if isinstance(item, ast.Global | ast.Nonlocal)
                ]
                outer = [item for item in declared if isinstance(item, ast.Global)]
                scope.outer = frozenset(name for item in outer for name in item.names)
                elsewhere = {name for item in declared for name in item.names}
                for bound in _bindings(node.body):
                    if bound.name not in elsewhere and not bound.effect:
                        scope.names.setdefault(bound.name, []).append(bound)
            if isinstance(node, _Comprehension):
                for generator in node.generators:
                    for bound in _loop(generator.target, generator.iter):
                        scope.names.setdefault(bound.name, []).append(bound)
        return self._scopes[key]

    # Walking

    def walk(self, root: ast.AST, scope: _Scope) -> Iterator[tuple[ast.AST, _Scope]]:
        """Every node that is executed, with its scope; annotations and the classes in an isinstance do not count."""
        stack: list[tuple[ast.AST, _Scope]] = [(root, scope)]
        while stack:
            node, scope = stack.pop()
            yield node, scope
            if isinstance(node, _Function | ast.Lambda):
                outside = [*node.args.defaults, *(value for value in node.args.kw_defaults if value)]
                inside: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else [*node.body]
                if isinstance(node, _Function):
                    outside += node.decorator_list
                stack += [(child, scope) for child in outside]
                inner = self._scope(node, scope)
                stack += [(child, inner) for child in inside]
            elif isinstance(node, ast.ClassDef):
                outer = [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
                stack += [(child, scope) for child in outer]
                inner = self._scope(node, scope)
                stack += [(child, inner) for child in node.body]
            elif isinstance(node, _Comprehension):
                inner = self._scope(node, scope)
                stack += [(child, inner) for child in ast.iter_child_nodes(node)]
            elif isinstance(node, ast.AnnAssign):
                stack += [(child, scope) for child in (node.target, node.value) if child]
            elif isinstance(node, ast.Call) and len(node.args) == 2 and self._is_type_test(node, scope):
                stack.append((node.args[0], scope))
            else:
                stack += [(child, scope) for child in ast.iter_child_nodes(node)]

    def _is_type_test(self, node: ast.Call, scope: _Scope) -> bool:
        tests = {"builtins.isinstance", "builtins.issubclass"}
        return isinstance(node.func, ast.Name) and self.resolve(node.func, scope) <= tests

    def references(self, node: ast.AST, scope: _Scope) -> list[str]:
        """The notebook's own names that this node (without its children) reads."""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return [] if self._find(node.id, scope) else [node.id]
        if isinstance(node, ast.Subscript) and _GLOBALS in self.resolve(node.value, scope):
            return [key] if (key := self._string(node.slice, scope)) else []
        if isinstance(node, ast.Call) and f"{_GLOBALS}.get" in self.resolve(node.func, scope) and node.args:
            return [key] if (key := self._string(node.args[0], scope)) else []
        return []

    def mentioned(self, node: ast.AST, scope: _Scope) -> _Values:
        """What this node (without its children) stands for, where it is read."""
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Load):
            return self.resolve(node, scope)
        return self.resolve(node, scope) if isinstance(node, ast.Call) else _NOTHING

    def called(self, node: ast.Call, scope: _Scope) -> _Values:
        """What this call calls."""
        called: set[str] = set()
        for value in self.resolve(node.func, scope):
            if value[:1] == _CALLER and node.args:
                called |= self._attribute(self.resolve(node.args[0], scope), value[1:], 0)
            else:
                called.add(value)
        return frozenset(called)

    def suspicion(self, node: ast.AST, scope: _Scope) -> str | None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
            foreign = [name for name in modules if name.split(".")[0] in _FOREIGN or "cpp_extension" in name]
            return f"imports {foreign[0]}" if foreign else None
        if isinstance(node, ast.Subscript):
            tables = sorted(value for value in self.resolve(node.value, scope) if _is_table(value))
            if tables and self._is_computed([node.slice], scope):
                return f"{tables[0].replace(_GLOBALS, 'globals()')}[…] with a computed name"
            return None
        if not isinstance(node, ast.Call):
            return None
        made = node.func if isinstance(node.func, ast.Call) else None
        if (
            made
            and self._is_computed(made.args[1:2], scope)
            and "builtins.getattr" in self.called(made, scope)
        ):
            return "a method called under a computed name"
        for value in sorted(self.resolve(node.func, scope)):
            owner, _, last = value.rpartition(".")
            if owner == "builtins" and last in _CODE:
                return f"{last}(…) of source text"
            if value in ("types.FunctionType", "types.CodeType"):
                return f"{value}(…) makes code"
            if value in ("builtins.__import__", "importlib.import_module"):
                module = self._string(node.args[0], scope) if node.args else None
                if module is None or module.split(".")[0] in _FOREIGN:
                    return f"imports {module or 'a module under a computed name'}"
            if value in ("operator.attrgetter", "operator.methodcaller") and self._is_computed(
                node.args[:1], scope
            ):
                return f"{last}(…) of a computed name"
            if value == "builtins.getattr" and self._is_computed(node.args[1:2], scope):
                libraries = sorted(base for base in self.resolve(node.args[0], scope) if base[:1].isalpha())
                if libraries:
                    return f"getattr({libraries[0]}, …) with a computed name"
            looks_up = (last in _ITEM and _is_table(owner)) or (last in _GETATTR and owner[:1].isalpha())
            if looks_up and self._is_computed(node.args[:1], scope):
                return f"{value}(…) with a computed name"
        return None

    def _is_computed(self, arguments: list[ast.expr], scope: _Scope) -> bool:
        return bool(arguments) and self._string(arguments[0], scope) is None

    # Resolving

    def resolve(self, node: ast.expr, scope: _Scope, depth: int = 0) -> _Values:
        """What an expression may stand for."""
        key = (id(node), id(scope))
        if key in self._memo:
            return self._memo[key]
        if depth > MAX_DEPTH:
            return _ANYTHING
        self._memo[key] = _ANYTHING  # for an alias of itself
        values = self._resolve(node, scope, depth + 1)
        self._memo[key] = values if len(values) <= MAX_VALUES else frozenset(sorted(values)[:MAX_VALUES])
        return self._memo[key]

    def _resolve(self, node: ast.expr, scope: _Scope, depth: int) -> _Values:
        match node:
            case ast.Name():
                return self._name(node.id, scope, depth)
            case ast.Attribute():
                return self._attribute(self.resolve(node.value, scope, depth), node.attr, depth)
            case ast.Subscript():
                key = self._string(node.slice, scope, depth)
                if isinstance(node.value, ast.List | ast.Tuple):
                    return self._union(node.value.elts, scope, depth)
                if isinstance(node.value, ast.Dict):
                    return self._union(node.value.values, scope, depth)
                return self._item(self.resolve(node.value, scope, depth), key, scope, depth)
            case ast.Call():
                results: set[str] = set()
                for value in self.resolve(node.func, scope, depth):
                    results |= self._result(value, node, scope, depth)
                return frozenset(results)
            case ast.IfExp():
                return self._union([node.body, node.orelse], scope, depth)
            case ast.BoolOp():
                return self._union(node.values, scope, depth)
            case ast.NamedExpr() | ast.Starred():
                return self.resolve(node.value, scope, depth)
        return _ANYTHING

    def _union(self, nodes: Sequence[ast.expr], scope: _Scope, depth: int) -> _Values:
        return (
            frozenset().union(*(self.resolve(node, scope, depth) for node in nodes[:MAX_BINDINGS]))
            or _ANYTHING
        )

    def _name(self, name: str, scope: _Scope, depth: int) -> _Values:
        found = self._find(name, scope)
        if found:
            bindings, home = found
            return frozenset().union(*(self.value(bound, home, depth) for bound in bindings))
        bindings = [bound for bound in self.live(name, scope.before) if not bound.effect]
        if bindings:
            return frozenset().union(*(self.value(bound, None, depth) for bound in bindings))
        if name == "__builtins__":
            return frozenset({"builtins"})
        return frozenset({f"builtins.{name}"}) if hasattr(builtins, name) else _ANYTHING

    def value(self, bound: _Bound, home: _Scope | None, depth: int = 0) -> _Values:
        """What a name stands for under this binding, made in the scope `home` (None: the notebook's)."""
        if bound.dotted:
            return bound.dotted
        home = home or self.module(bound.order)
        if isinstance(bound.node, ast.ClassDef):
            return self._own_class(bound.node, home)
        if isinstance(bound.node, ast.arguments):  # a parameter: its default stands outside of the function
            assert home.parent is not None
            if bound.value is not None:
                return self.resolve(bound.value, home.parent, depth) | _ANYTHING
            is_self = isinstance(home.parent.node, ast.ClassDef) and bound.certain
            if is_self and isinstance(home.parent.node, ast.ClassDef) and home.parent.parent is not None:
                return self._own_class(home.parent.node, home.parent.parent)
            return _ANYTHING
        return self.resolve(bound.value, home, depth) if bound.value is not None else _ANYTHING

    def _attribute(self, values: Iterable[str], name: str, depth: int) -> _Values:
        result: set[str] = set()
        for value in values:
            if value[:1] in (_UNKNOWN, _METHOD):
                result.add(_METHOD + name)
            elif value[:1] == _OWN:
                result |= self._member(int(value[1:]), name, depth)
            elif value[:1] in (_GETTER, _CALLER) or len(value) > 200:
                result.add(_UNKNOWN)
            else:
                result.add(f"{value}.{name}")
        return frozenset(result)

    def _item(self, values: Iterable[str], key: str | None, scope: _Scope, depth: int) -> _Values:
        result: set[str] = set()
        for value in values:
            if key is None or not key:
                result.add(_UNKNOWN)
            elif value == _GLOBALS:
                result |= self._name(key, self.module(scope.before), depth)
            elif value == "sys.modules":
                result.add(key[:200])
            elif _is_table(value):
                result |= self._attribute([value.removesuffix(".__dict__")], key, depth)
            else:
                result.add(_UNKNOWN)
        return frozenset(result)

    def _result(self, value: str, node: ast.Call, scope: _Scope, depth: int) -> _Values:
        """What calling `value` with this call's arguments gives."""
        if value[:1] == _OWN:
            return frozenset({value})
        args = node.args
        first = self.resolve(args[0], scope, depth) if args else _NOTHING
        text = self._string(args[0], scope, depth) if args else None
        owner, _, last = value.rpartition(".")
        if value in ("builtins.globals", "builtins.locals") or (value == "builtins.vars" and not args):
            return frozenset({_GLOBALS})
        if value == "builtins.vars":
            return self._attribute(first, "__dict__", depth)
        if value in ("builtins.staticmethod", "builtins.classmethod"):
            return first or _ANYTHING
        if value == "builtins.super":
            return self._enclosing_class(scope)
        if value[:1] == _GETTER and args:
            for name in value[1:].split(".")[:MAX_DEPTH]:
                first = self._attribute(first, name, depth)
            return first
        if value == "builtins.getattr" or ((last in _GETATTR or value[1:] in _GETATTR) and len(args) == 2):
            attribute = self._string(args[1], scope, depth) if len(args) > 1 else None
            return self._attribute(first, attribute, depth) if attribute else _ANYTHING
        if not text or len(text) > 200:
            return _ANYTHING
        if value == "importlib.import_module":
            return frozenset({text})
        if value == "builtins.__import__":
            return frozenset({text.partition(".")[0], text})
        if value == "operator.attrgetter":
            return frozenset({_GETTER + text})
        if value == "operator.methodcaller":
            return frozenset({_CALLER + text})
        if last in _ITEM and _is_table(owner):
            return self._item([owner], text, scope, depth)
        if last in _GETATTR or value[1:] in _GETATTR:
            return self._attribute([owner or _UNKNOWN], text, depth)
        return _ANYTHING

    def _string(self, node: ast.expr, scope: _Scope, depth: int = 0) -> str | None:
        """The text that an expression always gives; None: it may vary."""
        if depth > MAX_DEPTH:
            return None
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.BinOp(op=ast.Add()):
                left = self._string(node.left, scope, depth + 1)
                right = self._string(node.right, scope, depth + 1) if left is not None else None
                return None if left is None or right is None or len(left) + len(right) > 200 else left + right
            case ast.JoinedStr():
                parts = [self._string(part, scope, depth + 1) for part in node.values[:MAX_BINDINGS]]
                texts = [part for part in parts if part is not None]
                return "".join(texts)[:200] if len(texts) == len(parts) else None
            case ast.FormattedValue(conversion=-1, format_spec=None):
                return self._string(node.value, scope, depth + 1)
            case ast.Name():
                bindings, home = self._find(node.id, scope) or (self.live(node.id, scope.before), None)
                bound = bindings[0] if len(bindings) == 1 else None
                if (
                    bound and bound.value and not isinstance(bound.node, ast.arguments)
                ):  # a parameter may vary
                    return self._string(bound.value, home or self.module(bound.order), depth + 1)
        return None

    # The student's own classes

    def _own_class(self, node: ast.ClassDef, outside: _Scope) -> _Values:
        if id(node) not in self._class_numbers:
            self._class_numbers[id(node)] = len(self._classes)
            self._classes.append((node, outside))
        return frozenset({f"{_OWN}{self._class_numbers[id(node)]}"})

    def _enclosing_class(self, scope: _Scope) -> _Values:
        inner: _Scope | None = scope
        while inner is not None:
            if isinstance(inner.node, ast.ClassDef) and inner.parent is not None:
                return self._own_class(inner.node, inner.parent)
            inner = inner.parent
        return _ANYTHING

    def _member(self, number: int, name: str, depth: int) -> _Values:
        """An attribute of an own class: what was assigned to it, a method of a Tensor it inherits from, or its own."""
        node, outside = self._classes[number]
        members = self._members_of(number)
        if name in members:
            values = (self.resolve(value, at, depth) if value else _ANYTHING for value, at in members[name])
            return frozenset().union(*values)
        if depth > MAX_DEPTH:
            return _ANYTHING
        inherited: set[str] = set()
        for base in node.bases[:MAX_BINDINGS]:
            for value in self.resolve(base, outside, depth + 1):
                if value[:1] == _OWN and value != f"{_OWN}{number}":
                    inherited |= self._member(int(value[1:]), name, depth + 1)
                elif value.rpartition(".")[2] in ("Tensor", "Parameter"):
                    inherited.add(_METHOD + name)
        return frozenset(inherited) or _ANYTHING

    def _members_of(self, number: int) -> dict[str, list[tuple[ast.expr | None, _Scope]]]:
        if number not in self._members:
            node, outside = self._classes[number]
            members: dict[str, list[tuple[ast.expr | None, _Scope]]] = defaultdict(list)
            inside = self._scope(node, outside)
            for name, bindings in inside.names.items():
                members[name] += [(bound.value, inside) for bound in bindings[:MAX_BINDINGS]]
            for method in _own_nodes(node.body):
                if not isinstance(method, _Function) or not (method.args.posonlyargs + method.args.args):
                    continue
                me = (method.args.posonlyargs + method.args.args)[0].arg
                at = self._scope(method, inside)
                for item in _own_nodes(method.body):
                    targets = (
                        item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
                    )
                    for target in targets:
                        match target:
                            case ast.Attribute(value=ast.Name(id=holder), attr=name) if holder == me:
                                value = (
                                    getattr(item, "value", None)
                                    if not isinstance(item, ast.AugAssign)
                                    else None
                                )
                                if len(members[name]) < MAX_BINDINGS:
                                    members[name].append((value, at))
            self._members[number] = dict(members)
        return self._members[number]


# Source to trees

_LINE_MAGIC = re.compile(r"^([ \t]*)(?:[%!?]|[\w.]+\?{1,2}[ \t]*$).*$", re.MULTILINE)
_ASSIGNED_MAGIC = re.compile(r"^([ \t]*[\w, ]+=[ \t]*)[!%].*$", re.MULTILINE)


def _parse_cells(cells: Sequence[tuple[int, str]]) -> tuple[list[tuple[int, ast.Module]], list[int]]:
    """(number, tree) of the cells that parse, in order, and the numbers of those too large or too deep to try.

    The room goes to the smallest first, so that padding one cell hides no other.
    """
    trees: dict[int, tuple[int, ast.Module]] = {}
    unsearched = []
    room = MAX_TOTAL
    for index in sorted(range(len(cells)), key=lambda index: len(cells[index][1])):
        number, source = cells[index]
        room -= len(source)
        try:
            if len(source) > MAX_CELL or room < 0:
                raise MemoryError
            trees[index] = (number, _parse(source))
        except (RecursionError, MemoryError):
            unsearched.append(number)
        except (SyntaxError, ValueError):  # ValueError: null bytes, lone surrogates
            continue
    return [trees[index] for index in sorted(trees)], sorted(unsearched)


def _parse(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the student's escapes
        try:
            return ast.parse(source)
        except SyntaxError:
            plain = _LINE_MAGIC.sub(r"\1pass", _ASSIGNED_MAGIC.sub(r"\1None", source))
            return ast.parse(plain)


# Trees to bindings


def _bindings(body: Sequence[ast.stmt]) -> Iterator[_Bound]:
    """What these statements bind, in order, without those inside of functions and classes."""
    stack = [(statement, True) for statement in reversed(body)]
    while stack:
        node, certain = stack.pop()
        line = node.lineno
        inner: list[ast.stmt] = []
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield _Bound(node.name, line, node, certain=certain)
                continue
            case ast.Import():
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    dotted = frozenset({alias.name if alias.asname else name})
                    yield _Bound(name, line, node, dotted=dotted, certain=certain)
            case ast.ImportFrom():
                for alias in node.names:
                    module = node.module if not node.level else None
                    dotted = frozenset(
                        {module if alias.name == "*" else f"{module}.{alias.name}"} if module else ()
                    )
                    yield _Bound(alias.asname or alias.name, line, node, dotted=dotted, certain=certain)
            case ast.Assign():
                for target in node.targets:
                    yield from _assign(target, node.value, certain)
            case ast.AnnAssign() if node.value:
                yield from _assign(node.target, node.value, certain)
            case ast.AugAssign():
                yield from _assign(node.target, node.value, False)
            case ast.For() | ast.AsyncFor():
                yield from _loop(node.target, node.iter)
                inner = [*node.body, *node.orelse]
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    if item.optional_vars:
                        yield from _assign(item.optional_vars, item.context_expr, certain, opaque=True)
                stack += [(child, certain) for child in reversed(node.body)]
            case ast.Expr(value=ast.Call() as call):
                yield from _effects(call)
            case ast.If() | ast.While():
                inner = [*node.body, *node.orelse]
            case ast.Try() | ast.TryStar():
                for handler in node.handlers:
                    if handler.name:
                        yield _Bound(handler.name, handler.lineno, ast.Pass(), certain=False)
                    inner += handler.body
                inner = [*node.body, *inner, *node.orelse, *node.finalbody]
            case ast.Match():
                for pattern in _own_nodes([node]):
                    if isinstance(pattern, ast.MatchAs | ast.MatchStar) and pattern.name:
                        yield _Bound(pattern.name, line, node.subject, certain=False)
                inner = [child for case in node.cases for child in case.body]
        stack += [(child, False) for child in reversed(inner)]
        for expression in _expressions(node):
            if isinstance(expression, ast.NamedExpr):
                yield from _assign(expression.target, expression.value, False)


def _assign(target: ast.expr, value: ast.expr, certain: bool, opaque: bool = False) -> Iterator[_Bound]:
    stack: list[tuple[ast.expr, ast.expr | None]] = [(target, None if opaque else value)]
    while stack:
        target, part = stack.pop()
        match target:
            case ast.Name():
                yield _Bound(target.id, target.lineno, part or value, part, certain=certain)
            case ast.Starred():
                stack.append((target.value, None))
            case ast.Tuple() | ast.List():
                given = part.elts if isinstance(part, ast.Tuple | ast.List) else []
                starred = any(isinstance(item, ast.Starred) for item in [*given, *target.elts])
                matched = len(given) == len(target.elts) and not starred
                stack += zip(target.elts, given if matched else [None] * len(target.elts), strict=True)
            case ast.Subscript(
                value=ast.Call(func=ast.Name(id="globals")), slice=ast.Constant(value=str(name))
            ):
                yield _Bound(name, target.lineno, value, value, certain=False)
            case ast.Attribute() | ast.Subscript():
                if root := _root(target):
                    yield _Bound(root, target.lineno, value, certain=False, effect=True)


def _loop(target: ast.expr, iterable: ast.expr) -> Iterator[_Bound]:
    if isinstance(iterable, ast.Tuple | ast.List | ast.Set) and 0 < len(iterable.elts) <= MAX_VALUES:
        for element in iterable.elts:
            yield from _assign(target, element, False)
    else:
        yield from _assign(target, iterable, False, opaque=True)


def _effects(call: ast.Call) -> Iterator[_Bound]:
    """`table.append(f)`, `setattr(Model, "forward", f)`, `globals().update(f=f)`: a name's content changes."""
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="globals")), attr="update"):
            for keyword in call.keywords:
                if keyword.arg:
                    yield _Bound(keyword.arg, call.lineno, keyword.value, keyword.value, certain=False)
            for table in call.args:
                for key, value in (
                    zip(table.keys, table.values, strict=True) if isinstance(table, ast.Dict) else ()
                ):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        yield _Bound(key.value, call.lineno, value, value, certain=False)
        case ast.Attribute(attr=attr) if attr in _MUTATORS:
            if root := _root(call.func):
                yield _Bound(root, call.lineno, call, certain=False, effect=True)
        case ast.Name(id="setattr") if call.args:
            if root := _root(call.args[0]):
                yield _Bound(root, call.lineno, call, certain=False, effect=True)


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _bind_parameters(node: _Function | ast.Lambda, scope: _Scope) -> None:
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = dict(
        zip(reversed([item.arg for item in positional]), reversed(arguments.defaults), strict=False)
    )
    for item, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            defaults[item.arg] = default
    decorators = getattr(node, "decorator_list", [])
    is_method = not any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in decorators)
    extra = [item for item in (arguments.vararg, arguments.kwarg) if item is not None]
    for index, item in enumerate([*positional, *arguments.kwonlyargs, *extra]):
        is_self = index == 0 and bool(positional) and is_method and isinstance(node, _Function)
        bound = _Bound(item.arg, item.lineno, arguments, defaults.get(item.arg), certain=is_self)
        scope.names[item.arg] = [bound]


def _own_nodes(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below, without entering the bodies of functions and classes."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            stack += ast.iter_child_nodes(node)


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement's own expressions, without the statements inside of it."""
    stack = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
    while stack:
        node = stack.pop()
        yield node
        stack += [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)]


def _is_table(value: str) -> bool:
    return value in ("sys.modules", _GLOBALS) or value.endswith(".__dict__")


def _may_export(module: str, name: str) -> bool:
    """Whether `from module import *` binds `name`: as it does where the module is loaded, else if it is no builtin."""
    if name.startswith("_"):
        return False
    loaded = sys.modules.get(module)
    return name in vars(loaded) if loaded is not None else not hasattr(builtins, name)
