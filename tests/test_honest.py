"""Honest but broken: what students hand in every term, graded as they handed it in.

Each notebook gets exactly what its functions deserve and words that help; none is a crash or an `error`, and the
honest notebooks around it stay at 100. Most are graded in two class runs, those that use up their time in the second.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from grading.score import Score
from grading.score_file import load_score

TOY = Path(__file__).with_name("homeworks") / "toy"
GRADING = Path(sysconfig.get_path("scripts"), "grading")
FULL = {"center": 40, "length": 30, "twice": 20, "scale": 10}

TEST_SCALE = '''
"""Scale: a class, made and called."""

import torch

from grading.judge import assert_close


def test_scale(submission, rng):
    """An instance multiplies by the factor it was made with."""
    x = torch.tensor(rng.normal(size=(3, 5)))

    assert_close(submission.Scale(3.0)(x), 3 * x, hint="is the factor kept?")
'''

IMPORT = "import torch"
CENTER = "def center(x):\n    return x - torch.mean(x, dim=-1, keepdim=True)"
LENGTH = "def length(x):\n    return torch.sqrt((x * x).sum(dim=-1))"
TWICE = "def twice(f, x):\n    return f(f(x))"
SCALE = (
    "class Scale:\n    def __init__(self, factor):\n        self.factor = factor\n\n"
    "    def __call__(self, x):\n        return torch.mul(x, self.factor)"
)
RIGHT = (IMPORT, CENTER, LENGTH, TWICE, SCALE)  # cells 1 to 5


@dataclass(slots=True, frozen=True)
class Case:
    """A notebook, the points that differ from the full ones, and what the student must read of a task."""

    notebook: bytes
    points: dict[str, float] = field(default_factory=dict)
    says: dict[str, Sequence[str]] = field(default_factory=dict)


def code(source: str, **more: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
        **more,
    }


def document(*sources: str, minor: int = 4, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "cells": [code(source) for source in sources],
        "metadata": metadata if metadata is not None else {"kernelspec": {"name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": minor,
    }


def case(
    *sources: str, points: dict[str, float] | None = None, says: dict[str, Sequence[str]] | None = None
) -> Case:
    return Case(json.dumps(document(*sources)).encode(), points or {}, says or {})


def written(notebook: dict[str, Any], encoding: str = "utf-8") -> Case:
    return Case(json.dumps(notebook, ensure_ascii=False).encode(encoding))


def lost(task: str, *words: str) -> dict[str, Any]:
    """All points of one task, and the words that say why."""
    return {"points": {task: 0}, "says": {task: words}}


def unreadable(content: bytes, *words: str) -> Case:
    return Case(content, dict.fromkeys(FULL, 0), dict.fromkeys(FULL, words))


RIGHT_TEXT = json.dumps(document(*RIGHT))
ON_TOP = "{}\n" + CENTER

# Cells that do more, or less, than define functions

CELLS: dict[str, Case] = {
    "a cell fails": case("1 / 0", *RIGHT, "undefined"),
    "a cell fails above a definition": case(
        IMPORT, ON_TOP.format("1 / 0"), *RIGHT[2:], **lost("center", "cell 2", "line 1", "ZeroDivisionError")
    ),
    "a cell fails below a definition": case(IMPORT, CENTER + "\n1 / 0", *RIGHT[2:]),
    "a cell fails in a function of another cell": case(
        IMPORT, "\n\n\n\ndef helper():\n    return {}['key']", ON_TOP.format("helper()"), *RIGHT[2:],
        **lost("center", "cell 3", "line 1", "KeyError", "key"),
    ),
    "a syntax error": case(
        IMPORT, "def center(x:\n    return x", *RIGHT[2:],
        **lost("center", "cell 2", "not valid Python", "line 1")
    ),
    "tabs and spaces": case(
        IMPORT, "def center(x):\n        m = 0\n\treturn x", *RIGHT[2:],
        **lost("center", "cell 2", "TabError", "tabs and spaces"),
    ),
    "a function cut in two cells": case(
        IMPORT, "def center(x):", "    return x - x.mean(dim=-1, keepdim=True)", *RIGHT[2:],
        **lost("center", "cell 2", "not valid Python"),
    ),
    "merge conflict in a cell": case(
        IMPORT, f"<<<<<<< HEAD\n{CENTER}\n=======\n{CENTER}\n>>>>>>> theirs", *RIGHT[2:],
        **lost("center", "cell 2", "merge conflict"),
    ),
    "magics": case(
        "%matplotlib inline\n%load_ext autoreload\n%autoreload 2\n!pip install torch\n?help\n" + IMPORT,
        "%%time\n" + CENTER,
        "%%capture\n!ls\n" + LENGTH,
        "%time squares = [i * i for i in range(3)]\n%timeit -n 1 sum(squares)\nassert squares[2] == 4\n" + TWICE,
        "%%bash\nexit 1",
        "files = !ls\nSCALE?\n" + SCALE,
    ),
    "a magic measures the definition itself": case(IMPORT, *(f"%%time\n\n{cell}" for cell in RIGHT[1:])),
    "asks for input": case("name = input('Your name: ')", *RIGHT),
    "asks for input above a definition": case(
        IMPORT, ON_TOP.format("name = input('Your name: ')"), *RIGHT[2:],
        **lost("center", "cell 2", "line 1", "EOFError", "input()"),
    ),
    "plots": case(
        IMPORT,
        "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n" + CENTER,
        *RIGHT[2:],
    ),
    "writes files and reads them": case(
        IMPORT, "torch.save(torch.ones(3), 'mine.pt')\nopen('log.txt', 'a').close()\n" + CENTER,
        LENGTH + "\nassert torch.load('mine.pt').sum() == 3", *RIGHT[3:],
    ),
    "reads data of the homework": case(
        IMPORT, "rows = [float(line) for line in open('rows.txt')]\nassert len(rows) == 3\n" + CENTER,
        *RIGHT[2:]
    ),
    "cuda in a cell of its own": case(IMPORT, "x = torch.ones(3).cuda()", *RIGHT[1:]),
    "cuda above a definition": case(
        IMPORT, ON_TOP.format("x = torch.ones(3, device='cuda')"), *RIGHT[2:],
        **lost("center", "cell 2", "line 1", "CUDA"),
    ),
    "cuda in a function": case(
        IMPORT, "def center(x):\n    x = x.cuda()\n    return x", *RIGHT[2:],
        **lost("center", "cell 2", "line 2", "CUDA")
    ),
    "asks whether there is cuda": case(
        IMPORT + "\ndevice = 'cuda' if torch.cuda.is_available() else 'cpu'",
        "def center(x):\n    return (x - x.mean(dim=-1, keepdim=True)).to(device)", *RIGHT[2:],
    ),
    "colab in a cell of its own": case("from google.colab import drive\ndrive.mount('/content/drive')", *RIGHT),
    "colab above the imports": case(
        "from google.colab import drive\nimport torch", *RIGHT[1:],
        points={"center": 0, "length": 0, "scale": 0},
        says=dict.fromkeys(["center", "length", "scale"], ("torch", "cell 1", "google")),
    ),
    "an import that is not installed": case(
        IMPORT, ON_TOP.format("import a_module_that_nobody_has"), *RIGHT[2:],
        **lost("center", "cell 2", "line 1", "a_module_that_nobody_has"),
    ),
    "a helper only in the old kernel": case(
        IMPORT, "def center(x):\n    return x - row_means(x)", *RIGHT[2:],
        **lost("center", "cell 2", "line 2", "NameError", "row_means"),
    ),
    "a helper in a later cell": case(
        IMPORT, "def center(x):\n    return x - row_means(x)", *RIGHT[2:],
        "def row_means(x):\n    return x.mean(dim=-1, keepdim=True)",
    ),
    "a value of a later cell": case(
        IMPORT, ON_TOP.format("print(settings)"), *RIGHT[2:], "settings = {}",
        **lost("center", "cell 2", "line 1", "NameError", "settings"),
    ),
    "exits": case(
        "exit()", IMPORT, CENTER, "quit()", LENGTH, "import sys\nsys.exit(0)", TWICE, SCALE, "raise SystemExit"
    ),
    "exits above a definition": case(
        IMPORT, ON_TOP.format("exit()"), *RIGHT[2:], **lost("center", "cell 2", "line 1", "SystemExit")
    ),
    "ends the process": case(IMPORT, CENTER, "import os\nos._exit(0)", *RIGHT[2:], "os.kill(os.getpid(), 9)"),
    "ends the process above a definition": case(
        IMPORT, ON_TOP.format("import os\nos._exit(0)"), *RIGHT[2:],
        **lost("center", "cell 2", "ended the Python process")
    ),
    "ends the process in a function": case(
        IMPORT, "import os\ndef center(x):\n    os._exit(0)", *RIGHT[2:],
        **lost("center", "center", "ended the Python process")
    ),
    "exits in a function": case(
        IMPORT, "import sys\ndef center(x):\n    sys.exit(0)", *RIGHT[2:],
        **lost("center", "SystemExit", "cell 2", "line 3")
    ),
    "a segmentation fault in a cell": case(*RIGHT[:3], "import ctypes\nctypes.string_at(0)", *RIGHT[3:]),
    "a segmentation fault in a function": case(
        IMPORT, "import ctypes\ndef center(x):\n    ctypes.string_at(0)", *RIGHT[2:],
        **lost("center", "center", "segmentation fault"),
    ),
    "prints a million lines": case(
        IMPORT, "for i in range(10**6): print('epoch', i)",
        "def center(x):\n    print('x\\n' * 10**6)\n    return x - x.mean(dim=-1, keepdim=True)", *RIGHT[2:],
    ),
    "a cell became text": Case(
        json.dumps(
            document(*RIGHT)
            | {"cells": [code(cell) | ({"cell_type": "markdown"} if cell is CENTER else {}) for cell in RIGHT]}
        ).encode(),
        **lost("center", "no center"),
    ),
    "cells deleted": case(
        CENTER, points={"center": 0, "length": 0, "twice": 0, "scale": 0},
        says={"length": ["no length"], "twice": ["no twice"], "scale": ["no Scale"], "center": ["torch", "cell 1"]},
    ),
    "cells split": case("", IMPORT, "# my solution", CENTER, "", LENGTH, TWICE, "\n\n", SCALE, "   "),
    "cells merged": case("\n\n".join(RIGHT)),
    "cells reordered": case(*reversed(RIGHT)),
    "cells duplicated": case(*RIGHT, *RIGHT, *RIGHT),
}  # fmt: skip

# Functions that are nearly right, or right in a way of their own

FUNCTIONS: dict[str, Case] = {
    "another spelling": case(
        IMPORT, CENTER.replace("center", "centre"), *RIGHT[2:],
        **lost("center", "no center", "centre", "must match exactly"),
    ),
    "another case": case(
        *RIGHT[:4], SCALE.replace("Scale", "scale"),
        **lost("scale", "no Scale", "scale", "must match exactly")
    ),
    "nothing is returned": case(
        IMPORT, "def center(x):\n    y = x - x.mean(dim=-1, keepdim=True)", *RIGHT[2:],
        **lost("center", "None", "return"),
    ),
    "a list is returned": case(
        IMPORT, CENTER.replace("return ", "return (") + ").tolist()", *RIGHT[2:],
        **lost("center", "list", "torch tensor")
    ),
    "an array is returned": case(
        IMPORT, "def center(x):\n    return x.detach().numpy() - x.detach().numpy().mean(-1, keepdims=True)",
        *RIGHT[2:],
        **lost("center", "NumPy array", "torch tensor"),
    ),
    "a number is returned": case(
        *RIGHT[:2], "def length(x):\n    return float((x * x).sum()) ** 0.5", *RIGHT[3:],
        **lost("length", "float", "torch tensor"),
    ),
    "float32 is returned": case(
        IMPORT, CENTER.replace("return ", "return (") + ").float()", *RIGHT[2:],
        **lost("center", "float32", "expected torch.float64"),
    ),
    "another shape is returned": case(
        *RIGHT[:2], LENGTH.replace("dim=-1", "dim=-1, keepdim=True"), *RIGHT[3:],
        **lost("length", "shape", "(3, 1)", "expected (3,)"),
    ),
    "a right value without a gradient": case(
        IMPORT, "def center(x):\n    return (x - x.mean(dim=-1, keepdim=True)).detach()", *RIGHT[2:],
        points={"center": pytest.approx(80 / 3, abs=1e-4)}, says={"center": ["gradient"]},
    ),
    "the input is changed": case(
        IMPORT, CENTER, "def length(x):\n    x *= x\n    return x.sum(dim=-1).sqrt()", *RIGHT[3:]
    ),
    "the input is changed where a gradient is asked": case(
        IMPORT, "def center(x):\n    x -= x.mean(dim=-1, keepdim=True)\n    return x", *RIGHT[2:],
        points={"center": pytest.approx(80 / 3, abs=1e-4)}, says={"center": ["cell 2", "line 2", "in-place"]},
    ),
    "a graph is attached": case(
        *RIGHT[:2],
        "one = torch.ones(1, dtype=torch.float64, requires_grad=True)\n" + LENGTH.replace("x * x", "x * x * one"),
        *RIGHT[3:],
    ),
    "tasks share state": case(
        IMPORT + "\nstate = {'calls': 0}",
        "def center(x):\n    state['calls'] += 1\n    return x - x.mean(-1, keepdim=True)",
        "def length(x):\n    assert state['calls'] == 0\n    return (x * x).sum(-1).sqrt()", *RIGHT[3:],
    ),
    "state kept over calls": case(
        *RIGHT[:2],
        "cache = []\ndef length(x):\n    cache or cache.append((x * x).sum(-1).sqrt())\n    return cache[0]",
        *RIGHT[3:], points={"length": 15}, says={"length": ["twice the row is twice the length"]},
    ),
    "a seed at every call": case(
        IMPORT, CENTER.replace("(x):", "(x):\n    torch.manual_seed(0)"), LENGTH, TWICE,
        "torch.manual_seed(0)\n" + SCALE,
    ),
    "another default dtype": case(
        IMPORT + "\ntorch.set_default_dtype(torch.float64)\nzero = torch.zeros(())",
        CENTER.replace("(x):", "(x):\n    torch.set_default_dtype(torch.float16)"),
        LENGTH.replace("x * x", "x * x + zero"), *RIGHT[3:],
    ),
    "more threads": case(
        IMPORT + "\ntorch.set_num_threads(2)\na = torch.randn(700, 700)\nb = (a @ a).relu().sum()",
        CENTER.replace("(x):", "(x):\n    torch.set_num_threads(4)\n    (a @ a).sum()"), *RIGHT[2:],
    ),
    "loads data with workers": case(
        IMPORT + "\nfrom torch.utils.data import DataLoader, TensorDataset",
        "data = TensorDataset(torch.arange(64.0).reshape(16, 4))\n"
        "batches = list(DataLoader(data, batch_size=4, num_workers=2))\nassert len(batches) == 4\n" + CENTER,
        "def length(x):\n"
        "    loader = DataLoader(TensorDataset(x), batch_size=2, num_workers=2)\n"
        "    return torch.cat([(rows * rows).sum(-1).sqrt() for rows, in loader])",
        *RIGHT[3:],
    ),
    "a pool of processes": case(
        IMPORT, CENTER,
        "from multiprocessing import Pool\n"
        "def row_length(row):\n    return sum(value * value for value in row) ** 0.5\n"
        "def length(x):\n"
        "    with Pool(2) as pool:\n"
        "        return torch.tensor(pool.map(row_length, x.tolist()), dtype=torch.float64)",
        *RIGHT[3:],
    ),
    "more arguments to a constructor": case(
        *RIGHT[:4], SCALE.replace("factor)", "factor, bias=None, *, name='mine')", 1)
    ),
    "more required arguments to a constructor": case(
        *RIGHT[:4], SCALE.replace("factor)", "factor, bias)", 1),
        **lost("scale", "Scale", "TypeError", "bias")
    ),
    "wrong first, right last": case(IMPORT, "def center(x):\n    return x", CENTER, *RIGHT[2:]),
    "right first, wrong last": case(
        *RIGHT, "def center(x):\n    return x + 1",
        **lost("center", "subtract the mean over the last dimension", "gradient"),
    ),
    "a stub": case(
        IMPORT, "def center(x):\n    raise NotImplementedError", *RIGHT[2:],
        **lost("center", "not implemented yet", "cell 2", "line 2"),
    ),
    "a stub that does nothing": case(IMPORT, "def center(x):\n    ...", *RIGHT[2:], **lost("center", "None", "return")),
    "half of the twice": case(
        *RIGHT[:3], "def twice(f, x):\n    return f(x)", SCALE, **lost("twice", "twice(f, x) is f(f(x))")
    ),
    "annotations of the future": case(
        "from __future__ import annotations\n" + IMPORT, CENTER.replace("(x)", "(x: Rows) -> Rows"),
        *RIGHT[2:]
    ),
    "dataclasses and pickle": case(
        IMPORT + "\nimport copy, dataclasses, enum, pickle, typing",
        "@dataclasses.dataclass(slots=True)\nclass Centered:\n    rows: torch.Tensor\n    mean: torch.Tensor\n\n"
        "class Mode(enum.Enum):\n    TRAIN = 1\n\n"
        "class Pair(typing.NamedTuple):\n    left: int\n    right: int\n\n"
        "def center(x):\n"
        "    result = Centered(x - x.mean(-1, keepdim=True), x.mean(-1))\n"
        "    assert pickle.loads(pickle.dumps((Mode.TRAIN, Pair(1, 2)))) == (Mode.TRAIN, Pair(1, 2))\n"
        "    return copy.copy(result).rows",
        *RIGHT[2:],
        SCALE.replace("class Scale:", "@dataclasses.dataclass(eq=False)\nclass Scale:\n    factor: float").replace(
            "    def __init__(self, factor):\n        self.factor = factor\n\n", ""
        ),
    ),
    "await at the top": case(
        IMPORT, "import asyncio\nrows = await asyncio.sleep(0, 3)\nassert rows == 3\n" + CENTER, *RIGHT[2:]
    ),
    "looks at its own source": case(
        IMPORT, CENTER + "\nimport inspect\nassert 'keepdim' in inspect.getsource(center)",
        "def length(x):\n    assert 'dim=-1' in inspect.getsource(length)\n    return (x * x).sum(dim=-1).sqrt()",
        *RIGHT[3:],
    ),
    "raises an error of its own": case(
        IMPORT, "class Confused(Exception): pass\n\ndef center(x):\n    raise Confused('which dimension?')",
        *RIGHT[2:],
        **lost("center", "Confused", "which dimension?", "cell 2", "line 4"),
    ),
    "recurses without end": case(
        IMPORT, "def center(x):\n    return center(x)", *RIGHT[2:],
        **lost("center", "RecursionError", "cell 2", "line 2")
    ),
    "takes another number of arguments": case(
        IMPORT, CENTER.replace("(x):", "(x, dim):"), *RIGHT[2:], **lost("center", "TypeError", "dim")
    ),
    "a forbidden function": case(
        *RIGHT[:2], "def length(x):\n    return torch.linalg.norm(x, dim=-1)", *RIGHT[3:],
        **lost("length", "cell 3", "line 2", "torch.linalg", "write yourself"),
    ),
    "a network and its training": case(
        IMPORT + "\nfrom torch import nn",
        "net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))\n"
        "optimizer = torch.optim.Adam(net.parameters())\n"
        "for _ in range(20):\n"
        "    optimizer.zero_grad()\n    net(torch.randn(16, 4)).pow(2).mean().backward()\n    optimizer.step()\n"
        + CENTER,
        *RIGHT[2:],
    ),
}  # fmt: skip

# Files: how notebooks are saved, damaged and moved about

OUTPUT = {"output_type": "stream", "name": "stdout", "text": ["x" * 99 + "\n"] * 200_000}
OLD = {
    "metadata": {"name": ""},
    "nbformat": 3,
    "nbformat_minor": 0,
    "worksheets": [
        {
            "cells": [
                {"cell_type": "code", "language": "python", "input": cell, "outputs": []} for cell in RIGHT
            ]
        }
    ],
}
NULLS = {
    "cells": [
        {
            "cell_type": "code",
            "source": cell,
            "metadata": None,
            "outputs": None,
            "id": None,
            "execution_count": None,
        }
        for cell in RIGHT
    ]
    + [{"cell_type": "code", "source": None}, None, {}],
    "metadata": None,
    "nbformat": None,
    "nbformat_minor": None,
}
COLAB = {
    "colab": {"provenance": [], "gpuType": "T4", "private_outputs": True},
    "accelerator": "GPU",
    "kernelspec": {"name": "python3", "display_name": "Python 3"},
}
KAGGLE = {"kaggle": {"accelerator": "gpu", "dataSources": [], "isGpuEnabled": True}, "language_info": None}
FILES: dict[str, Case] = {
    "not JSON": unreadable(RIGHT_TEXT[:-20].encode(), "not valid JSON", "open it in Jupyter"),
    "an empty file": unreadable(b"", "empty", "save the notebook"),
    "blanks only": unreadable(b" \n\n", "empty", "save the notebook"),
    "JSON, but no notebook": unreadable(b'{"a": 1}', "not a notebook", "no cells", "push the .ipynb"),
    "a merge conflict in the JSON": unreadable(
        json.dumps(document(*RIGHT), indent=1).replace('"cells"', '\n<<<<<<< HEAD\n"cells"', 1).encode(),
        "line 3", "unfinished merge", "keep one of the two",
    ),
    "a pointer instead of the file": unreadable(
        b"version https://git-lfs.github.com/spec/v1\n", "Git LFS", "git lfs untrack"
    ),
    "a web page": unreadable(b"<!DOCTYPE html><html></html>", "a web page", "download the file itself"),
    "UTF-16": written(document(*RIGHT), "utf-16"),
    "a byte order mark": written(document(*RIGHT), "utf-8-sig"),
    "bytes that are not UTF-8": Case(
        json.dumps(document(*RIGHT, "# größer"), ensure_ascii=False).encode("latin-1")
    ),
    "format 3": written(OLD),
    "format 4.0 without ids": written(document(*RIGHT, minor=0)),
    "ids twice": written({**document(minor=5), "cells": [code(cell, id="same") for cell in RIGHT]}),
    "nulls everywhere": written(NULLS),
    "from Colab": written(
        {**document(metadata=COLAB), "cells": [code(cell, metadata={"id": "Xy", "colab": {}}) for cell in RIGHT]}
    ),
    "from Kaggle": written(document(*RIGHT, metadata=KAGGLE)),
    "no kernelspec": written(document(*RIGHT, metadata={})),
    "a kernelspec for R": written(
        document(*RIGHT, metadata={"kernelspec": {"name": "ir", "language": "R"}, "language_info": {"name": "R"}})
    ),
    "lines as a list": written(
        {**document(), "cells": [code(cell) | {"source": cell.splitlines(keepends=True)} for cell in RIGHT]}
    ),
    "line ends of Windows": written(document(*(cell.replace("\n", "\r\n") for cell in RIGHT))),
    "20 MB of outputs": written({**document(), "cells": [code(TWICE, outputs=[OUTPUT]), *map(code, RIGHT)]}),
    "a name with a space": case(*RIGHT),
    "решение": case(*RIGHT),
}  # fmt: skip

# Time: these use up the limits of a cell or of a test, which are small in their run

FOR_EVER = "for epoch in range(10**12): pass"
THREAD = (
    "import threading\nlock = threading.Lock()\nlock.acquire()\n"
    "thread = threading.Thread(target=lock.acquire)\nthread.start()\n"
)
SLOW: dict[str, Case] = {
    "trains in a cell of its own": case(IMPORT, FOR_EVER, *RIGHT[1:]),
    "trains above a definition": case(
        IMPORT, ON_TOP.format(FOR_EVER), *RIGHT[2:],
        **lost("center", "cell 2", "longer than the time limit of a cell")
    ),
    "trains below a definition": case(IMPORT, CENTER + "\n" + FOR_EVER, *RIGHT[2:]),
    "computes for minutes in C": case(*RIGHT[:3], "sum(range(10**12))", *RIGHT[3:]),
    "computes in C above a definition": case(
        IMPORT, ON_TOP.format("sum(range(10**12))"), *RIGHT[2:],
        **lost("center", "cell 2", "longer than the time limit of a cell"),
    ),
    "never returns": case(
        IMPORT, "def center(x):\n    while True: pass", *RIGHT[2:],
        **lost("center", "center", "longer than the time limit")
    ),
    "waits for itself": case(
        IMPORT,
        "import threading\nlock = threading.Lock()\ndef center(x):\n    lock.acquire()\n    lock.acquire()",
        *RIGHT[2:], **lost("center", "center", "longer than the time limit"),
    ),
    "a thread waits for ever": case(
        IMPORT,
        THREAD,
        *RIGHT[1:],
    ),
    "waits for a thread that waits for ever": case(
        IMPORT,
        THREAD + "thread.join()\n" + CENTER,
        *RIGHT[2:], **lost("center", "cell 2", "longer than the time limit of a cell"),
    ),
    "keeps a lock over a fork": case(
        IMPORT,
        "import threading, time\nlock = threading.Lock()\n"
        "def hold():\n    with lock:\n        time.sleep(1000)\n"
        "threading.Thread(target=hold, daemon=True).start()\n"
        "def center(x):\n    with lock:\n        return x - x.mean(-1, keepdim=True)",
        *RIGHT[2:], **lost("center", "center", "longer than the time limit"),
    ),
    "fills the memory": case(
        IMPORT, "def center(x):\n    return [bytearray(2**20) for _ in range(10**6)]", *RIGHT[2:],
        **lost("center", "center", "emory"),
    ),
    "fills the memory in a cell": case(IMPORT, "data = [bytearray(2**20) for _ in range(10**6)]", *RIGHT[1:]),
}  # fmt: skip

HONEST = {"first of all": case(*RIGHT), "in between": case(*RIGHT), "last of all": case(*RIGHT)}


def homework(directory: Path, limits: dict[str, int]) -> Path:
    """The toy homework with a class to write, and these limits; its course's directory."""
    shutil.copytree(TOY, directory / "toy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOY.parent / "course.yml", directory)
    (directory / "toy/tests/test_scale.py").write_text(TEST_SCALE)
    description = yaml.safe_load((TOY / "homework.yml").read_text())
    description["tasks"].append({"id": "scale", "title": "A class", "points": 10, "names": ["Scale"]})
    for task in description["tasks"]:
        task["points"] = FULL[task["id"]]
    description["limits"] = limits
    description["data"] = ["rows.txt"]
    (directory / "toy/rows.txt").write_text("1\n2\n3\n")
    (directory / "toy/homework.yml").write_text(yaml.safe_dump(description))
    return directory


def grade_all(place: Path, cases: dict[str, Case], limits: dict[str, int]) -> dict[str, Score]:
    """One class run of all these notebooks, each in a file of its own."""
    first, middle, last = HONEST.items()
    half = len(cases) // 2
    order = dict([first, *list(cases.items())[:half], middle, *list(cases.items())[half:], last])
    files = []
    for name, handed_in in order.items():
        files.append(place / f"{name}.ipynb")
        files[-1].write_bytes(handed_in.notebook)
    course = homework(place / "homeworks", limits)
    command = [
        "grade",
        *files,
        "--homework",
        "toy",
        "--homeworks",
        course,
        "--out",
        place / "scores",
        "--jobs",
        "2",
    ]
    ran = subprocess.run(
        [GRADING, *map(str, command)], cwd=place, capture_output=True, text=True, check=False, timeout=280
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return {name: load_score(place / f"scores/{name.replace(',', '_')}.json") for name in order}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Score]:
    limits = {"cell": 30, "test": 20, "total": 200, "memory": 512}
    return grade_all(tmp_path_factory.mktemp("class"), CELLS | FUNCTIONS | FILES, limits)


@pytest.fixture(scope="module")
def slow_scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Score]:
    limits = {"cell": 2, "test": 2, "total": 40, "memory": 256}
    return grade_all(tmp_path_factory.mktemp("slow"), SLOW, limits)


def assert_deserved(score: Score, expected: Case) -> None:
    said = {task.id: "\n".join(test.message for test in task.tests) for task in score.tasks}
    assert score.state == "graded", score.reason or said
    assert {task.id: float(task.points or 0) for task in score.tasks} == FULL | expected.points, said
    for task, words in expected.says.items():
        for word in words:
            assert word in said[task]
        assert "/work/" not in said[task]
        assert "Traceback" not in said[task]


@pytest.mark.parametrize("name", [*CELLS, *FUNCTIONS, *FILES])
def test_it_gets_what_its_functions_deserve_and_words_that_help(name, scores):
    assert_deserved(scores[name], (CELLS | FUNCTIONS | FILES)[name])


@pytest.mark.parametrize("name", SLOW)
def test_what_uses_up_its_time_costs_its_own_task_only(name, slow_scores):
    assert_deserved(slow_scores[name], SLOW[name])


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_ones_around_them_stay_at_100(name, scores, slow_scores):
    assert_deserved(scores[name], HONEST[name])
    assert_deserved(slow_scores[name], HONEST[name])


# Repositories: where the notebook is


STARTER = json.loads((TOY / "toy.ipynb").read_text())


def solved(*added: str) -> bytes:
    """The starter with right functions written below it, as by a student: its cells are still there."""
    return json.dumps(STARTER | {"cells": [*STARTER["cells"], *map(code, (*RIGHT, *added))]}).encode()


GRADED_AT_100: dict[str, dict[str, bytes]] = {
    "renamed": {"my solution.ipynb": solved()},
    "in a folder": {"homework/week 1/toy.ipynb": solved(), "README.md": b"mine"},
    "in Cyrillic": {"Домашняя работа №1.ipynb": solved()},
    "the right one and another": {"toy.ipynb": solved(), "scratch.ipynb": b"{"},
    "renamed beside a foreign one": {
        "final (2).ipynb": solved(),
        "other course.ipynb": json.dumps(document("x = 1")).encode(),
        ".ipynb_checkpoints/toy-checkpoint.ipynb": b"{",
    },
    "a copy of itself": {"a.ipynb": solved(), "copy of a.ipynb": solved()},
}
GRADED_AT_0: dict[str, tuple[dict[str, bytes], list[str]]] = {
    "nothing there": (
        {"README.md": b"later"},
        ["no toy.ipynb", "name your notebook toy.ipynb", "push again"],
    ),
    "two that could be meant": (
        {"a.ipynb": solved(), "b.ipynb": solved("x = 1")},
        ["2 notebooks that could be meant", "a.ipynb", "b.ipynb", "name your notebook toy.ipynb"],
    ),
    "only a foreign one": (
        {
            "other.ipynb": json.dumps(document("x = 1")).encode(),
            "more.ipynb": json.dumps(document("y = 1")).encode(),
        },
        ["no other notebook was made from the homework's", "other.ipynb", "name your notebook toy.ipynb"],
    ),
    "not JSON": ({"toy.ipynb": b"{ broken"}, ["toy.ipynb", "not valid JSON", "open it in Jupyter"]),
}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return homework(tmp_path_factory.mktemp("course"), {"cell": 30, "test": 20, "total": 200, "memory": 512})


def grade_checkout(checkout: Path, files: dict[str, bytes], course: Path) -> tuple[Score, str]:
    for name, content in files.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes(content)
    score_file = checkout.parent / "score.json"
    command = ["grade", "--repo", checkout, "--homework", "toy", "--homeworks", course, "--out", score_file]
    ran = subprocess.run(
        [GRADING, *map(str, command)],
        cwd=checkout.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return load_score(score_file), ran.stdout


@pytest.mark.parametrize("name", GRADED_AT_100)
def test_a_notebook_is_found_wherever_a_student_put_it(name, course, tmp_path):
    score, shown = grade_checkout(tmp_path / "checkout", GRADED_AT_100[name], course)

    assert_deserved(score, case())
    assert "100 of 100 points" in shown


@pytest.mark.parametrize("name", GRADED_AT_0)
def test_a_notebook_that_cannot_be_found_or_read_is_a_0_that_says_what_was_looked_for(name, course, tmp_path):
    files, words = GRADED_AT_0[name]

    score, shown = grade_checkout(tmp_path / "checkout", files, course)

    assert_deserved(score, unreadable(b"", *words))
    assert "0 of 100 points" in shown
    for word in words[:1]:
        assert word in " ".join(shown.split())
