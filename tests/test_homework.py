"""`homework.yml`: what a right one says, and that every slip is told in one line with file, line, key and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.errors import UsageError
from grading.homework import load_homework

RIGHT = """\
title: The zoo
tasks:
  - id: sigmoid
    title: Sigmoids
    points: 60
    names: [sigmoid, softplus]
    forbidden: [torch.sigmoid, torch.nn.functional.*]
  - id: softmax
    title: Softmax
    points: 40
    names: [softmax]
    needs: [sigmoid]
limits: {test: 2.5, memory: 512}
preload: [torch._dynamo]
data: [digits.npz]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A homework with two tasks and everything that it needs."""
    directory = tmp_path / "zoo"
    (directory / "tests").mkdir(parents=True)
    for file in ("tests/test_sigmoid.py", "tests/test_softmax.py", "tests/oracles.py", "digits.npz"):
        (directory / file).touch()
    (directory / "homework.yml").write_text(RIGHT, encoding="utf-8")
    return directory


def told(directory: Path, text: str | bytes) -> str:
    """What is said about a homework.yml, without its path: one line."""
    path = directory / "homework.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UsageError) as caught:
        load_homework(directory)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


def test_a_homework_knows_its_tasks_and_files(directory: Path) -> None:
    homework = load_homework(directory)

    assert (homework.name, homework.title, homework.directory) == ("zoo", "The zoo", directory)
    assert [task.id for task in homework.tasks] == ["sigmoid", "softmax"]
    assert homework.task("softmax").needs == ("sigmoid",)
    assert homework.test_module(homework.tasks[0]) == directory / "tests" / "test_sigmoid.py"
    assert homework.starter == directory / "zoo.ipynb"
    assert homework.source == directory / "source.py"
    assert homework.data_files == (directory / "digits.npz",)
    assert homework.support is None


def test_limits_have_defaults(directory: Path) -> None:
    limits = load_homework(directory).limits

    assert (limits.cell, limits.test, limits.total, limits.memory) == (60, 2.5, 300, 512)


def test_a_notebook_and_support_code_are_found_where_they_are(directory: Path) -> None:
    (directory / "homework.yml").write_text(f"notebook: beasts.ipynb\n{RIGHT}")
    (directory / "support.py").touch()

    homework = load_homework(directory)

    assert homework.starter == directory / "beasts.ipynb"
    assert homework.support == directory / "support.py"


def test_a_relative_directory_has_a_name_too(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory)

    assert load_homework(Path()).name == "zoo"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points: 60", "point: 60", '5: tasks.0.point: unknown key; did you mean "points"? (and 1 more problem)'),
        ("test: 2.5", "tests: 2", '13: limits.tests: unknown key; did you mean "test"?'),
        ("preload:", "name: zoo\npreload:", "14: name: unknown key; there is: data, limits, notebook, "),
        ("    title: Softmax\n", "", "8: tasks.1.title: missing; add it"),
        ("title: The zoo", "title: 7", "1: title: should be a valid string, got 7"),
        ("points: 60", "points: '60'", '5: tasks.0.points: should be a valid integer, got "60"'),
        ("points: 60", "points: 60.5", "5: tasks.0.points: should be a valid integer"),
        ("points: 60", "points: 0", "5: tasks.0.points: should be greater than 0, got 0"),
        ("points: 60", "points: 61", "2: tasks: the points of the tasks sum to 101; make them sum to 100"),
        ("[sigmoid, softplus]", "[sigmoid, soft-plus]", "6: tasks.0.names.1: should be a name in Python"),
        ("[sigmoid, softplus]", "[]", "6: tasks.0.names: "),
        ("[sigmoid, softplus]", "sigmoid", "6: tasks.0.names: should be a list"),
        ("functional.*", "*.relu", "7: tasks.0.forbidden.1: should be a name in Python"),
        ("id: softmax", "id: soft max", "8: tasks.1.id: "),
        ("id: softmax", "id: sigmoid", '8: tasks.1.id: a second task "sigmoid"'),
        ("id: softmax", "id: swish", '8: tasks.1.id: "swish" has no tests; write '),
        ("needs: [sigmoid]", "needs: [sigmoids]", '12: tasks.1.needs.0: no task "sigmoids"; did you mean "sigmoid"?'),
        ("needs: [sigmoid]", "needs: [softmax]", "12: tasks.1.needs: needs itself in the end: softmax → softmax"),
        ("memory: 512", "memory: 0", "13: limits.memory: should be greater than 0"),
        ("test: 2.5", "test: .inf", "13: limits.test: "),
        ("[torch._dynamo]", "[torch dynamo]", "14: preload.0: should be a name in Python"),
        ("[digits.npz]", "[digits.csv]", '15: data.0: no file "digits.csv"'),
        ("[digits.npz]", "[../zoo/digits.npz]", "15: data.0: no file"),
        ("title: The zoo", "title: The zoo\nnotebook: ../x.ipynb", "2: notebook: "),
        ("title: The zoo", "title: The zoo\ntitle: Two", '2: the key "title" stands here a second time'),
        ("    points: 60", "    points: 60\n    points: 60", '6: the key "points" stands here a second time'),
        ("needs: [sigmoid]", "needs: [sigmoid", "13: not valid YAML: "),
        ("title: The zoo", "title: *zoo", "1: not valid YAML: found undefined alias"),
        ("title: The zoo", "title: !!python/name:os.system", "1: not valid YAML: could not determine a constructor"),
        ("title: The zoo", "title: The zoo\n? [a, b]\n: 1", "2: not valid YAML: found unhashable key"),
        ("title: The zoo", "title: &a [*a]", " refers to itself or has a key that is no text"),
        ("title: The zoo", "title: a\tb\x07", " not valid YAML: "),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_line(directory: Path, old: str, new: str, message: str) -> None:
    assert old in RIGHT

    assert told(directory, RIGHT.replace(old, new, 1)).startswith(message)


def test_tasks_that_need_each_other_are_told(directory: Path) -> None:
    text = RIGHT.replace("    forbidden:", "    needs: [softmax]\n    forbidden:")

    assert told(directory, text).startswith("7: tasks.0.needs: needs itself in the end: ")


def test_tests_of_no_task_are_told(directory: Path) -> None:
    (directory / "tests" / "test_swish.py").touch()

    assert "test_swish.py belongs to no task" in told(directory, RIGHT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "1: the file is empty"),
        (b"- a\n- b\n", '1: should be keys and values, got ["a", "b"]'),
        (b"title: x\ntasks: \xff\n", "2: not UTF-8 text"),
        (b"a: 1\n---\nb: 2\n", "2: not valid YAML: "),
        (b"\ttitle: x\n", "1: not valid YAML: "),
    ],
)
def test_a_file_of_another_kind_is_told(directory: Path, text: bytes, message: str) -> None:
    assert told(directory, text).startswith(message)


def test_a_directory_without_homework_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_homework(tmp_path / "nothing")


def test_what_students_hand_in_stands_beside_the_source_of_the_reference_only(directory: Path) -> None:
    text = RIGHT + "submits: {weights.npz: 4}\n"
    (directory / "homework.yml").write_text(text, encoding="utf-8")

    assert load_homework(directory).submits == {"weights.npz": 4}  # as in the bundle, which has no solutions

    (directory / "source.py").touch()
    assert 'no file "weights.npz"' in told(directory, text)
