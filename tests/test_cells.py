"""Cells: what becomes of IPython's syntax, and how each way of ending is reported.

In this process, so only what is harmless: what crashes, hangs or exits is graded in test_honest.py.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import pytest

from grading.worker.cells import (
    CellTooSlow,
    Outcome,
    builtin_bases,
    fresh_namespace,
    parses,
    place_of,
    plain_python,
    run_cell,
    run_cells,
)

# A cell's limit is kept with SIGALRM, which pytest-timeout would use too.
pytestmark = pytest.mark.timeout(60, method="thread")


def run(*sources: str, seconds: float = 30.0) -> tuple[dict[str, Any], list[Outcome]]:
    """The namespace after these cells, numbered from 1, and how each ended."""
    module = fresh_namespace()
    cells = [(number, plain_python(textwrap.dedent(source))) for number, source in enumerate(sources, 1)]
    outcomes = [outcome for _, outcome in run_cells(cells, module, seconds)]
    return module.__dict__, outcomes


# IPython's syntax


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\n",
        "",
        "# only a comment",
        "x = '%time y = 1'\n",
        "a = 7 % 3\n",
        "def f():\n\treturn 1\n",
        "é = '\\ud800'",
    ],
)
def test_plain_python_is_left_exactly_as_it_is(source):
    assert plain_python(source) == source


@pytest.mark.parametrize(
    "line",
    [
        "%matplotlib inline",
        "%load_ext autoreload",
        "%autoreload 2",
        "%env TOKEN=1",
        "%timeit -n 10 sum([1])",
        "%who",
        "!pip install torch",
        "!!ls",
        "?sum",
        "sum?",
        "sum??",
        "found = !ls",
        "measured = %timeit -o sum([1])",
        "!echo {x} $y",
        "    ",
    ],
)
def test_a_magic_or_shell_line_does_nothing_and_its_neighbours_run(line):
    namespace, [outcome] = run(f"before = 1\n{line}\nafter = 2")

    assert outcome == Outcome("ok")
    assert (namespace["before"], namespace["after"]) == (1, 2)


@pytest.mark.parametrize(
    "magic", ["%%time", "%%timeit", "%%timeit -n 1 -r 1", "%%capture", "%%capture out", "%%prun -q"]
)
def test_the_body_below_a_measuring_cell_magic_runs(magic):
    namespace, [outcome] = run(f"{magic}\nx = 40\nx += 2")

    assert outcome == Outcome("ok")
    assert namespace["x"] == 42


def test_a_measuring_cell_magic_may_have_blank_lines_above_and_magics_below():
    namespace, [outcome] = run("\n\n%%time\n!pip install torch\n%matplotlib inline\nx = 42\n")

    assert outcome == Outcome("ok")
    assert namespace["x"] == 42


@pytest.mark.parametrize(
    "magic", ["%%bash", "%%html", "%%writefile solution.py", "%%javascript", "%%unheard_of now"]
)
def test_a_cell_in_another_language_does_nothing(magic):
    namespace, [outcome] = run(f"{magic}\nx = 42\nrm -rf /")

    assert outcome == Outcome("ok")
    assert "x" not in namespace


@pytest.mark.parametrize("magic", ["%time", "%timeit", "%prun"])
def test_the_statement_on_a_measuring_line_runs(magic):
    namespace, [outcome] = run(f"def f(): return 41\n{magic} x = f()\nx += 1")

    assert outcome == Outcome("ok")
    assert namespace["x"] == 42


def test_a_measuring_line_may_stand_in_a_block():
    namespace, [outcome] = run("x = 0\nfor i in range(3):\n    %time x += i")

    assert outcome == Outcome("ok")
    assert namespace["x"] == 3


def test_magics_in_a_text_are_text():
    namespace, [outcome] = run('text = """\n%time x = 1\n!ls\n"""\n!ls')

    assert outcome == Outcome("ok")
    assert namespace["text"] == "\n%time x = 1\n!ls\n"


def test_a_cell_whose_magic_is_commented_out_runs():
    namespace, [outcome] = run("# %%time\nx = 42\n%matplotlib inline")

    assert outcome == Outcome("ok")
    assert namespace["x"] == 42


@pytest.mark.parametrize(
    "source", ["%%time\nx = = 1", "!ls\nx = = 1", "x = = 1", "?\nx = = 1", "<<<<<<< HEAD\nx = 1"]
)
def test_what_no_transformation_makes_python_is_a_syntax_error_and_no_crash(source):
    _, [outcome] = run(source)

    assert outcome.state == "syntax"
    assert outcome.kind == "SyntaxError"


@pytest.mark.parametrize(
    "source",
    [
        "%",
        "%%",
        "!",
        "?",
        "%%\n",
        "\n%%time",
        "%time",
        "%%time\n",
        "%%bash",
        "\\",
        "'''",
        "(" * 5000,
        "\0",
        "%time \0",
    ],
)
def test_whatever_a_cell_holds_comes_back_as_text(source):
    plain = plain_python(source)

    assert isinstance(plain, str)
    run_cell(1, plain, {"get_ipython": lambda: None}, 30.0)


@pytest.mark.parametrize("top", ["", "\n", "%%time", "%%capture", "# a comment", "\n%%time"])
def test_a_line_keeps_its_number_whatever_stands_above_it(top):
    source = f"{top}\n%matplotlib inline\n!pip install x\n?help\n%time y = 1\nraise ValueError('here')"

    _, [outcome] = run(source)

    assert outcome == Outcome("failed", "ValueError", "here", 6 + top.count("\n"))


def test_the_shell_and_display_can_be_asked_for_and_do_nothing():
    _, [outcome] = run(
        "get_ipython().run_line_magic('matplotlib', 'inline')\nget_ipython().user_ns\ndisplay(1, raw=True)"
    )

    assert outcome == Outcome("ok")


# How a cell ends


def test_a_failed_cell_keeps_what_it_had_defined_and_the_next_one_runs():
    namespace, outcomes = run("x = 1\n1 / 0\ny = 2", "z = x + 1")

    assert outcomes == [Outcome("failed", "ZeroDivisionError", "division by zero", 2), Outcome("ok")]
    assert (namespace["x"], namespace["z"], "y" in namespace) == (1, 2, False)


def test_a_cell_that_does_not_parse_runs_no_line_of_it():
    namespace, outcomes = run("x = 1\ndef f(:\n    pass", "z = 3")

    assert [outcome.state for outcome in outcomes] == ["syntax", "ok"]
    assert outcomes[0].line == 2
    assert "x" not in namespace
    assert namespace["z"] == 3


def test_mixed_tabs_and_spaces_are_named_as_such():
    _, [outcome] = run("def f():\n        a = 1\n\treturn a")

    assert (outcome.state, outcome.kind, outcome.line) == ("syntax", "TabError", 3)
    assert "tabs and spaces" in outcome.text


def test_a_cell_past_its_limit_is_stopped_and_the_next_one_runs():
    namespace, outcomes = run("x = 1\nwhile True: pass", "y = x", seconds=0.2)

    assert outcomes == [Outcome("slow"), Outcome("ok")]
    assert namespace["y"] == 1


def test_the_limit_of_a_cell_is_not_caught_by_except_exception():
    _, [outcome] = run(
        "while True:\n    try:\n        pass\n    except Exception:\n        pass", seconds=0.2
    )

    assert outcome == Outcome("slow")
    assert not issubclass(CellTooSlow, Exception)


def test_no_alarm_is_left_after_a_cell():
    _, outcomes = run("1 / 0", "for _ in range(10**6): pass", seconds=0.5)

    assert outcomes[1] == Outcome("ok")


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import sys; sys.exit(3)", "SystemExit"),
        ("raise SystemExit", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import a_module_that_nobody_has", "ModuleNotFoundError"),
        ("class Own(BaseException): pass\nraise Own", "Own"),
        ("exec('x = = 1')", "SyntaxError"),
        ("raise ExceptionGroup('two', [ValueError(1), TypeError(2)])", "ExceptionGroup"),
    ],
)
def test_every_exception_is_the_cells_own(source, kind):
    _, outcomes = run(source, "after = 1")

    assert [outcome.state for outcome in outcomes] == ["failed", "ok"]
    assert outcomes[0].kind == kind


def test_the_line_is_the_deepest_one_in_the_cell_not_in_a_library():
    _, [outcome] = run("import json\ndef f(text):\n    return json.loads(text)\n\nf('no json')")

    assert (outcome.kind, outcome.line) == ("JSONDecodeError", 3)


def test_the_line_is_one_of_the_cell_that_stopped_not_of_the_cell_it_called():
    _, outcomes = run("a = b = c = 0\n\n\n\ndef helper():\n    return 1 / 0", "x = 1\nhelper()")

    assert outcomes[1].kind == "ZeroDivisionError"
    assert outcomes[1].line == 2


def test_a_long_message_is_cut():
    _, [outcome] = run("raise ValueError('x' * 10_000_000)")

    assert outcome.text == "x" * 200


def test_an_exception_whose_message_cannot_be_made_still_has_its_kind_and_line():
    _, [outcome] = run("class Broken(Exception):\n    def __str__(self): raise self\nraise Broken")

    assert outcome == Outcome("failed", "Broken", "", 3)


def test_the_last_definition_of_a_name_wins():
    namespace, _ = run("def f(): return 1", "def f(): return 2")

    assert namespace["f"]() == 2


# The namespace is that of a notebook


def test_the_notebook_is_not_main():
    namespace, [outcome] = run("name = __name__\nif __name__ == '__main__':\n    1 / 0")

    assert outcome == Outcome("ok")
    assert namespace["name"] != "__main__"


def test_dataclasses_pickle_and_type_hints_work_in_a_notebook():
    namespace, outcomes = run(
        """
        from __future__ import annotations
        import dataclasses, pickle, typing

        @dataclasses.dataclass
        class Layer:
            width: int = 3
            names: typing.ClassVar[list] = []

        copied = pickle.loads(pickle.dumps(Layer(5)))
        hints = typing.get_type_hints(Layer)
        """
    )

    assert outcomes == [Outcome("ok")]
    assert namespace["copied"].width == 5
    assert namespace["hints"]["width"] is int


def test_the_source_of_a_function_can_be_looked_up():
    namespace, _ = run("x = 1\ndef twice(x):\n    return 2 * x\n")

    assert inspect.getsource(namespace["twice"]) == "def twice(x):\n    return 2 * x\n"


def test_a_future_import_holds_for_the_cells_below_it():
    namespace, outcomes = run("from __future__ import annotations", "def f(x: NotImportedAnywhere): return x")

    assert outcomes == [Outcome("ok"), Outcome("ok")]
    assert namespace["f"](1) == 1


def test_the_future_imports_of_this_project_do_not_reach_a_notebook():
    _, [outcome] = run("def f(x: NotImportedAnywhere): return x")

    assert outcome.kind == "NameError"


def test_await_at_top_level_works_as_in_jupyter():
    namespace, [outcome] = run("import asyncio\nawait asyncio.sleep(0)\nx = await asyncio.sleep(0, 42)")

    assert outcome == Outcome("ok")
    assert namespace["x"] == 42


# The small parts


def test_parses_says_whether_text_is_python():
    assert parses("x = 1")
    assert not parses("x = = 1")
    assert not parses("\0")
    assert not parses("(" * 100_000)


def test_place_of_an_error_outside_every_cell_is_nowhere():
    with pytest.raises(ValueError) as raised:
        int("no number")

    assert place_of(raised.value) == (0, 0)


def test_builtin_bases_are_nearest_first_and_not_fooled_by_a_name():
    fake = type("ValueError", (KeyError,), {})

    bases = builtin_bases(fake())

    assert bases == ["KeyError", "LookupError", "Exception", "BaseException", "object"]
