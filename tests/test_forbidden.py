"""The search for forbidden library functions: what it sees through, what it spares, and that nothing breaks it."""

from __future__ import annotations

import ast
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.forbidden import Hit, find_forbidden, suspicious

FORBIDDEN = [
    "torch.relu",
    "torch.nn.ReLU",
    "torch.nn.functional.*",
    "torch.ops.*",
    "torch.clamp_min",
    "Tensor.relu",
    "numpy.maximum",
]
IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\nimport numpy as np"


def found(*cells: str, names: tuple[str, ...] = ("relu",)) -> list[str]:
    return [hit.what for hit in find_forbidden(list(enumerate([IMPORTS, *cells])), names, FORBIDDEN)]


ROUTES = {
    "plain": "def relu(x): return torch.relu(x)",
    "another module": "def relu(x): return np.maximum(x, 0)",
    "below a wildcard": "def relu(x): return F.leaky_relu(x, 0.0)",
    "lambda": "relu = lambda x: torch.relu(x)",
    "bound directly": "relu = torch.relu",
    "import as": "import torch as t\ndef relu(x): return t.relu(x)",
    "from import as": "from torch import relu as r\ndef relu(x): return r(x)",
    "from import of the task's own name": "from torch import relu",
    "from import of a module": "from torch.nn import functional as G\ndef relu(x): return G.relu(x)",
    "import inside the function": "def relu(x):\n import torch.nn.functional as f\n return f.relu(x)",
    "submodule import": "import torch.nn.functional\ndef relu(x): return torch.nn.functional.relu(x)",
    "module-level alias": "g = torch.relu\ndef relu(x): return g(x)",
    "alias of an alias": "t = torch\nt2 = t\ng = t2.relu\nh = g\ndef relu(x): return h(x)",
    "local alias": "def relu(x):\n f = torch\n return f.relu(x)",
    "alias by unpacking": "a, (b, c) = 1, (2, torch)\ndef relu(x): return c.relu(x)",
    "starred unpacking": "a, *b = torch.relu, 1\ndef relu(x): return a(x)",
    "alias by walrus": "def relu(x): return (f := torch).relu(x) if (g := 1) else f.relu(x)",
    "alias by for": "def relu(x):\n for f in (torch,):\n  return f.relu(x)",
    "comprehension": "def relu(x): return [m.relu(x) for m in [torch]][0]",
    "conditional alias": "def relu(x): return (torch if x is not None else None).relu(x)",
    "either-or": "def relu(x): return (None or torch).relu(x)",
    "default argument": "def relu(x, f=torch.relu): return f(x)",
    "module as default argument": "def relu(x, *, t=torch): return t.relu(x)",
    "decorator": "def use(f): return lambda g: f\n@use(torch.relu)\ndef relu(x): return x",
    "decorator's body": "def use(g): return torch.relu\n@use\ndef relu(x): return x",
    "helper": "def relu(x): return helper(x)\ndef helper(x): return torch.relu(x)",
    "helper of a helper": "def a(x): return torch.relu(x)\ndef b(x): return a(x)\ndef relu(x): return b(x)",
    "nested function": "def relu(x):\n def inner(y): return torch.relu(y)\n return inner(x)",
    "nested lambda": "def relu(x): return (lambda y: F.relu(y))(x)",
    "passed on": "def relu(x): return list(map(torch.relu, [x]))[0]",
    "partial": "from functools import partial\nrelu = partial(torch.relu)",
    "module instance": "act = nn.ReLU()\ndef relu(x): return act(x)",
    "class of the library": "def relu(x): return nn.Sequential(nn.ReLU())(x)",
    "inherited": "class R(nn.ReLU): pass\ndef relu(x): return R()(x)",
    "in a constructor": (
        "class R:\n def __init__(self): self.act = nn.ReLU()\n"
        " def __call__(self, x): return self.act(x)\nrelu = R()"
    ),
    "module in an attribute": (
        "class R:\n def __init__(self): self.t = torch\n"
        " def __call__(self, x): return self.t.relu(x)\nrelu = R()"
    ),
    "module in a class attribute": "class R:\n t = torch\ndef relu(x): return R.t.relu(x)",
    "attribute of an instance": "class R:\n t = torch\nr = R()\ndef relu(x): return r.t.relu(x)",
    "static method set later": 'class R: pass\nsetattr(R, "f", torch.relu)\ndef relu(x): return R.f(x)',
    "attribute set later": "class R: pass\nR.f = torch.relu\ndef relu(x): return R.f(x)",
    "table": 'T = {}\nT["relu"] = torch.relu\ndef relu(x): return T["relu"](x)',
    "list filled later": "T = []\nT.append(torch.relu)\ndef relu(x): return T[0](x)",
    "literal table": 'def relu(x): return {"t": torch}["t"].relu(x)',
    "method": "def relu(x): return x.relu()",
    "method of a result": "def relu(x): return (x + 1).relu()",
    "method of a library's result": "def relu(x): return torch.as_tensor(x).relu()",
    "method, kept first": "def relu(x):\n f = x.relu\n return f()",
    "unbound method": "def relu(x): return torch.Tensor.relu(x)",
    "unbound method, imported": "from torch import Tensor\ndef relu(x): return Tensor.relu(x)",
    "unbound method, passed on": "def relu(x): return next(map(torch.Tensor.relu, [x]))",
    "own Tensor": "class T(torch.Tensor):\n def f(self): return self.relu()\ndef relu(x): return x.as_subclass(T).f()",
    "torch.ops": "def relu(x): return torch.ops.aten.relu(x)",
    "torch.ops, overload": "def relu(x): return torch.ops.aten.relu.default(x)",
    "getattr": 'def relu(x): return getattr(torch, "relu")(x)',
    "getattr of a method": 'def relu(x): return getattr(x, "relu")()',
    "getattr, twice": 'def relu(x): return getattr(getattr(torch, "nn"), "functional").relu(x)',
    "getattr under another name": 'get = getattr\ndef relu(x): return get(torch, "relu")(x)',
    "builtins.getattr": 'import builtins\ndef relu(x): return builtins.getattr(torch, "relu")(x)',
    "name in a variable": 'NAME = "relu"\ndef relu(x): return getattr(torch, NAME)(x)',
    "name put together": 'def relu(x): return getattr(torch, "re" + "lu")(x)',
    "name in an f-string": 'def relu(x):\n a = "re"\n return getattr(torch, f"{a}lu")(x)',
    "__dict__": 'def relu(x): return torch.__dict__["relu"](x)',
    "__dict__.get": 'def relu(x): return torch.__dict__.get("relu")(x)',
    "vars": 'def relu(x): return vars(torch)["relu"](x)',
    "__getattribute__": 'def relu(x): return torch.__getattribute__("relu")(x)',
    "object.__getattribute__": 'def relu(x): return object.__getattribute__(torch, "relu")(x)',
    "import_module": 'from importlib import import_module\ndef relu(x): return import_module("torch").relu(x)',
    "importlib.import_module": (
        'import importlib as il\ndef relu(x): return il.import_module("torch.nn.functional").relu(x)'
    ),
    "__import__": 'def relu(x): return __import__("torch").relu(x)',
    "__import__ of a submodule": 'def relu(x): return __import__("torch.nn").nn.functional.relu(x)',
    "__builtins__": 'def relu(x): return __builtins__.__import__("torch").relu(x)',
    "sys.modules": 'import sys\ndef relu(x): return sys.modules["torch"].relu(x)',
    "globals": 'def relu(x): return globals()["torch"].relu(x)',
    "globals().get": 'def relu(x): return globals().get("torch").relu(x)',
    "helper through globals": 'def h(x): return torch.relu(x)\ndef relu(x): return globals()["h"](x)',
    "attrgetter": 'import operator\ndef relu(x): return operator.attrgetter("relu")(torch)(x)',
    "attrgetter, dotted": (
        'from operator import attrgetter\nget = attrgetter("nn.functional.relu")\ndef relu(x): return get(torch)(x)'
    ),
    "methodcaller": 'from operator import methodcaller\ndef relu(x): return methodcaller("relu")(x)',
    "methodcaller on torch": 'import operator as o\ndef relu(x): return o.methodcaller("relu", x)(torch)',
    "star import": "from torch import *\ndef relu(x): return clamp_min(x, 0)",
    "star import of the task's own name": "from torch import *",
    "star import after the definition": "def relu(x): return x * (x > 0)\nfrom torch import *",
    "module that defines the class": "from torch.nn.modules.activation import ReLU as A\ndef relu(x): return A()(x)",
    "C module": "def relu(x): return torch._C._VariableFunctions.relu(x)",
    "C module of nn": "def relu(x): return torch._C._nn.hardtanh(x)",
    "re-exported torch": "def relu(x): return nn.functional.torch.relu(x)",
    "re-exported F": "def relu(x): return nn.modules.activation.F.relu(x)",
    "other letters for the same name": "def relu(x): return torch.ｒｅｌｕ(x)",
    "rebound after the definition": "def relu(x): return x\nrelu = torch.relu",
    "rebound under a condition": "def relu(x): return x\nif True:\n relu = torch.relu",
    "defined when something fails": "try:\n relu\nexcept NameError:\n relu = torch.relu",
    "rebound through globals": 'def relu(x): return x\nglobals()["relu"] = torch.relu',
    "rebound through globals().update": "def relu(x): return x\nglobals().update(relu=torch.relu)",
    "rebound by a function": "def go():\n global relu\n relu = torch.relu\ndef relu(x): return x\ngo()",
    "wrapped": "def relu(x): return torch.relu(x)\ndef same(f): return f\nrelu = same(relu)",
    "alias forgotten": "g = torch.relu\nrelu = g\ng = None",
    "helper forgotten": "def make(): return torch.relu\nrelu = make()\ndef make(): return None",
    "inside with": "with torch.no_grad():\n def relu(x): return torch.relu(x)",
    "inside match": "def relu(x):\n match x:\n  case _ if True:\n   return torch.relu(x)",
    "async": "async def relu(x): return torch.relu(x)",
    "beside a magic": "%matplotlib inline\nfiles = !ls\ntorch.relu?\ndef relu(x): return torch.relu(x)",
    "below a cell magic": "%%time\ndef relu(x): return torch.relu(x)",
}


@pytest.mark.parametrize("source", ROUTES.values(), ids=ROUTES.keys())
def test_a_way_to_the_library_function_is_found(source: str) -> None:
    assert found(source)


INNOCENT = {
    "docstring": 'def relu(x):\n """Like torch.relu, nn.ReLU() and x.relu()."""\n return x * (x > 0)',
    "comment": "def relu(x):\n # torch.relu(x)\n return x * (x > 0)  # nn.ReLU()",
    "string": 'def relu(x):\n print("torch.relu")\n return x',
    "own function of the same name": "def relu(x): return x\ndef leaky_relu(x): return relu(x)",
    "recursion": "def relu(x): return relu(x[0]) if x.ndim else x",
    "own method": "class A:\n def relu(self, x): return x\n def f(self, x): return self.relu(x)\nrelu = A().f",
    "own method through an instance": "class A:\n def relu(self, x): return x\na = A()\ndef relu(x): return a.relu(x)",
    "own method of a parent": (
        "class A:\n def relu(self, x): return x\nclass B(A):\n def f(self, x): return self.relu(x)\nrelu = B().f"
    ),
    "own method through super": (
        "class A:\n def relu(self, x): return x\nclass B(A):\n def f(self, x): return super().relu(x)\nrelu = B().f"
    ),
    "own submodule": (
        "class A(nn.Module):\n def __init__(self): self.relu = Mine()\n def forward(self, x): return self.relu(x)\n"
        "class Mine(nn.Module):\n def forward(self, x): return x\nrelu = A()"
    ),
    "class method": "class A:\n @classmethod\n def relu(cls, x): return x\ndef relu(x): return A.relu(x)",
    "compared outside": "def relu(x): return x\nassert torch.allclose(relu(a), torch.relu(a))\nplt.plot(torch.relu(a))",
    "another function": "def relu(x): return x\ndef baseline(x): return torch.relu(x)",
    "an earlier definition": "def relu(x): return torch.relu(x)\ndef relu(x): return x",
    "an earlier helper": "def h(x): return torch.relu(x)\ndef h(x): return x\ndef relu(x): return h(x)",
    "alias not used": "g = torch.relu\ndef relu(x): return x",
    "annotation": "def relu(x: nn.ReLU) -> F.relu:\n y: nn.ReLU = x\n return y",
    "asked for by isinstance": "def relu(x): return x if isinstance(x, (nn.ReLU, nn.Linear)) else -x",
    "another library's method": "def relu(x): return np.relu(x)",
    "field of the same name": "def relu(x): return x.relu",
    "parameter called torch": "def relu(torch): return torch.exp()",
    "parameter called F": "def relu(x, F): return F[0]",
    "another function of torch": "def relu(x): return torch.where(x > 0, x, torch.zeros_like(x))",
    "name that only begins alike": "def relu(x): return torch.relu6(x)",
    "imported and not used": "from torch import relu as r\nfrom torch.nn import ReLU\ndef relu(x): return x",
    "builtins under a star import": "from torch.nn.functional import *\ndef relu(x): return max(abs(x), len([x]))",
    "comprehension variable": "out = [relu(1) for relu in (torch.relu,)]\ndef relu(x): return x",
    "loop that tests": "def relu(x): return x\nfor f in (relu, torch.relu): f(a)",
    "own definition after a star import": "from torch import *\ndef relu(x): return x",
    "cell that does not parse": "def relu(x) return torch.relu(x)",
}


@pytest.mark.parametrize("source", INNOCENT.values(), ids=INNOCENT.keys())
def test_honest_code_is_left_alone(source: str) -> None:
    assert found(source) == []


def test_the_cell_and_the_line_of_the_use_are_told() -> None:
    cells = [
        (2, "import torch as t\ng = t.relu"),
        (5, "# a comment\ndef relu(x):\n    y = g(x)\n    return y"),
    ]

    hits = find_forbidden(cells, ["relu"], FORBIDDEN)

    assert hits == [Hit(5, 3, "torch.relu")]


def test_names_are_shared_by_all_cells_in_their_order() -> None:
    assert found("def relu(x): return helper(x)", "helper = torch.relu") == ["torch.relu"]
    assert found("def relu(x): return helper(x)", "helper = torch.relu", "helper = abs") == []


def test_each_task_answers_for_its_own_names_only() -> None:
    cells = [(1, IMPORTS), (2, "def relu(x): return x\ndef elu(x): return F.elu(x)")]

    assert find_forbidden(cells, ["relu"], FORBIDDEN) == []
    assert find_forbidden(cells, ["elu"], FORBIDDEN) == [Hit(2, 2, "torch.nn.functional.elu")]
    assert find_forbidden(cells, ["nothing of that name"], FORBIDDEN) == []


def test_only_what_the_author_lists_is_forbidden() -> None:
    cells = [(1, IMPORTS), (2, "def relu(x): return x.relu() + F.relu(x) + torch.ops.aten.relu(x)")]

    assert find_forbidden(cells, ["relu"], ["torch.relu"]) == []
    assert find_forbidden(cells, ["relu"], []) == []


def test_a_name_under_another_of_its_paths_matches_in_both_directions() -> None:
    cells = [(1, IMPORTS), (2, "def f(x): return nn.ReLU()(x)"), (3, "def g(x): return torch._C._nn.gelu(x)")]

    assert find_forbidden(cells, ["f"], ["torch.nn.modules.activation.ReLU"])
    assert find_forbidden(cells, ["g"], ["torch._C.*"])
    assert find_forbidden(cells, ["g"], ["torch.nn.functional.gelu"])


SUSPICIOUS = {
    "getattr": "def f(x, name): return getattr(torch, name)(x)",
    "getattr through a library": "def f(x, n): return getattr(torch.nn.functional, n)",
    "method": "def f(x): return getattr(x, 're' + str('lu'))()",
    "eval": "eval('1 + 1')",
    "exec": "exec('x = 1')",
    "compile": "import builtins\nbuiltins.compile('1', '', 'eval')",
    "ctypes": "import ctypes",
    "ctypes by name": "__import__('ctypes')",
    "pickle": "from pickle import loads",
    "import": "import importlib\nimportlib.import_module(chr(116) + 'orch')",
    "__dict__": "torch.__dict__[name]",
    "sys.modules": "import sys\nsys.modules[name]",
    "globals": "globals()['tor' + x]",
    "attrgetter": "import operator\noperator.attrgetter(name)(torch)",
    "code": "import types\ntypes.FunctionType(code, {})",
    "too large": "x = 1\n" * 50_000,
}


@pytest.mark.parametrize("source", SUSPICIOUS.values(), ids=SUSPICIOUS.keys())
def test_a_name_computed_at_run_time_is_flagged(source: str) -> None:
    hits = suspicious([(1, IMPORTS), (2, source)])

    assert {hit.cell for hit in hits} == {2}


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "getattr(torch, 'relu')",
        "torch.compile(f)",
        "def eval(x): return x\neval(1)",
        "d[name]",
        "getattr(self, name)",
        "state.__dict__[name]",
        "re.compile('a')",
    ],
)
def test_ordinary_code_is_not_flagged(source: str) -> None:
    assert suspicious([(1, IMPORTS + "\nimport re"), (2, source)]) == []


def test_padding_does_not_hide_a_cell() -> None:
    padding = "x = 1\n" * 30_000

    hits = found(padding, padding, padding, "def relu(x): return torch.relu(x)")

    assert hits == ["torch.relu"]


# Hostile source

N = 20_000
HOSTILE = {
    "null byte": "x = 1\0",
    "lone surrogate": "x = '\ud800'",
    "attributes": "relu = torch" + ".relu" * N,
    "shallow attributes": "relu = torch" + ".relu" * 300,
    "sums": "relu = " + "+".join(["torch"] * N),
    "string sums": "relu = getattr(torch, " + "+".join(["'a'"] * 900) + ")",
    "parentheses": "(" * N + ")" * N,
    "brackets": "relu = " + "[" * 90 + "torch" + "]" * 90,
    "calls": "relu = torch" + "()" * 900,
    "lambdas": "relu = " + "lambda:" * N + "torch",
    "nested lambdas": "relu = " + "lambda x: " * 90 + "torch.relu",
    "nots": "relu = " + "not " * N + "torch",
    "if chains": "if a: pass\n" + "elif relu := a: pass\n" * 900,
    "alias chain": "a0 = torch\n"
    + "".join(f"a{i + 1} = a{i}\n" for i in range(N // 10))
    + f"relu = a{N // 10}.relu",
    "alias circle": "relu = a\na = b\nb = relu\nrelu = a",
    "many aliases of one": "".join(f"if x: a = torch.f{i}\n" for i in range(N // 4))
    + "relu = a.b\n"
    + "a.b\n" * 5_000,
    "wide and crossed": "".join(
        f"if x: a{i % 7}, a{(i + 1) % 7} = a{(i + 2) % 7}.x, a{i % 5}\n" for i in range(2_000)
    )
    + "relu = a0",
    "many stars": "from torch import *\n" * 5_000 + "relu = clamp\n" * 3_000,
    "class of itself": "class relu(relu):\n relu = relu\n def __init__(self): self.relu = self.relu = relu.relu.relu",
    "circle of classes": "class A(B): pass\nclass B(A): pass\nclass A(B): pass\ndef relu(x): return A().x.y(B().z)",
    "nested functions": "".join(
        " " * i + f"def relu(x=relu):\n{' ' * (i + 1)}global y{i}\n" for i in range(90)
    )
    + " " * 90
    + "pass",
    "nested unpacking": "(" * 90 + "relu" + ",)" * 90 + " = torch",
    "many names": "relu," * (N * 2),
    "many statements": "relu;" * N,
    "decorators": "@relu\n" * N + "def relu(): pass",
    "huge integer": "relu = 1" + "0" * N,
    "duplicate parameters": "def relu(x, x): pass",
    "getters of getters": "from operator import *\nrelu = " + "attrgetter('a.b')(" * 50 + "torch" + ")" * 50,
    "doubling": "a0 = torch.a if x else torch.b\n"
    + "".join(f"a{i + 1} = getattr(a{i}, 'x') if a{i}.y else a{i}.z\n" for i in range(200))
    + "relu = a200",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_source_is_searched_in_bounded_time_and_memory(source: str) -> None:
    cells = [(1, IMPORTS), (2, source), (3, "def gelu(x): return F.gelu(x)")]
    tracemalloc.start()
    start = time.perf_counter()

    hits = find_forbidden(cells, ["relu", "gelu"], FORBIDDEN)
    suspicious(cells)

    seconds = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert Hit(3, 1, "torch.nn.functional.gelu") in hits
    assert seconds < 30  # traced, which takes several times as long
    assert peak < 400 * 2**20


STATEMENTS = [
    "global relu",
    "nonlocal x",
    "del relu",
    "return x",
    "x = yield",
    "class relu: relu = relu",
    "*a, b = relu",
]
PIECES = st.sampled_from(
    [
        *STATEMENTS,
        *ROUTES.values(),
        *INNOCENT.values(),
        *(text for text in SUSPICIOUS.values() if len(text) < 1000),
    ]
)


@given(st.lists(PIECES, max_size=4), st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_no_mixture_of_sources_breaks_the_search(pieces: list[str], random) -> None:  # type: ignore[no-untyped-def]
    text = "\n".join(pieces)
    tokens = [text[i : i + 7] for i in range(0, len(text), 7)]
    random.shuffle(tokens)
    cells = [(1, text), (2, "".join(tokens)), (3, "\n".join(f" {line}" for line in pieces))]
    cells.append((4, "class relu:\n  def f(self):\n    " + text.replace("\n", "\n    ")))

    hits = find_forbidden(cells, ["relu", "f", "\0", ""], FORBIDDEN)

    assert all(isinstance(hit, Hit) for hit in [*hits, *suspicious(cells)])


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_search(text: str) -> None:
    hits = find_forbidden([(1, text), (2, f"relu = {text}")], ["relu"], FORBIDDEN)

    assert isinstance(hits, list)


def test_a_module_of_the_standard_library_can_be_searched_from_every_name() -> None:
    with open(ast.__file__, encoding="utf-8") as file:
        source = file.read()
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]

    hits = find_forbidden([(1, source)], names, ["builtins.compile"])

    assert {hit.what for hit in hits} == {"builtins.compile"}


def test_a_module_of_some_functions_does_not_stand_for_the_one_with_all() -> None:
    cells = [
        (0, "import torch"),
        (1, "def f(x): return torch.exp(x)"),
        (2, "def g(x): return torch._VF.exp(x)"),
    ]

    assert find_forbidden(cells, ["f"], ["torch._VF.*"]) == []
    assert [hit.cell for hit in find_forbidden(cells, ["g"], ["torch._VF.*"])] == [2]
