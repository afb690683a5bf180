"""What `grading check` finds: variants that get what they do not deserve, mutants that no test notices."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

from grading.homework import Homework, load_homework
from grading.mutants import Mutant, mutants_of

GRADING = Path(sysconfig.get_path("scripts"), "grading")

SOURCE = '''
# %%
def half(x):
    """x / 2."""
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION


# %%
def clip(values, top=1):
    """The values, none above top; an empty list stays one."""
    ### BEGIN SOLUTION
    if values is None:
        raise ValueError("no values: " + "give a list")
    clipped = [min(value, top) for value in values if value > 0 or top >= 3]
    return sorted(clipped, reverse=False)
    ### END SOLUTION
'''
HALF = '''
def test_half(submission):
    """half(x) is x / 2."""
    assert submission.half(6) == 3, "that is not half of it"
'''
CLIP = '''
def test_clip(submission):
    """clip leaves what is below top."""
    assert submission.clip([1, 5], 2) == [1, 2], "clip at top"
'''
HOMEWORK = """
title: Numbers
tasks:
  - {id: half, title: Half, points: 40, names: [half]}
  - {id: clip, title: Clip, points: 60, names: [clip], needs: [half]}
"""
WRONG = """
# %% [half] a third
# says: not half
def half(x):
    return x / 3
# %% [clip] not clipped
def clip(values, top=1):
    return values
"""
RIGHT = """
# %% [half] times a half
def half(x):
    return x * 0.5
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    homework = tmp_path / "numbers"
    (homework / "tests").mkdir(parents=True)
    (homework / "variants").mkdir()
    (tmp_path / "course.yml").write_text(
        "{name: C, timezone: UTC, salt: s, homeworks: [{name: numbers, weight: 1}]}"
    )
    (homework / "homework.yml").write_text(HOMEWORK)
    (homework / "source.py").write_text(SOURCE)
    (homework / "tests/test_half.py").write_text(HALF)
    (homework / "tests/test_clip.py").write_text(CLIP)
    (homework / "variants/wrong.py").write_text(WRONG)
    (homework / "variants/right.py").write_text(RIGHT)
    subprocess.run([GRADING, "build", "numbers", "--homeworks", tmp_path], check=True, capture_output=True)
    return homework


def check(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [GRADING, "check", "numbers", "--homeworks", place.parent, "--seeds", "2", *arguments]
    return subprocess.run([*command, "--reference-seeds", "2"], capture_output=True, text=True, check=False)


def test_a_homework_that_keeps_its_promises(place: Path) -> None:
    checked = check(place)

    assert checked.returncode == 0, checked.stdout
    assert "0 broken promises" in checked.stdout


def test_every_broken_promise_is_named(place: Path) -> None:
    (place / "variants/wrong.py").write_text(
        WRONG.replace("x / 3", "x / 2").replace("not half", "a phrase nobody says")
        + "# %% [clip] breaks half as well\ndef half(x):\n    return 0\ndef clip(values, top=1):\n    return 0\n"
    )
    (place / "variants/right.py").write_text(RIGHT.replace("0.5", "0.4"))

    checked = check(place)

    assert checked.returncode == 2
    assert "wrong: [half] a third, seed 1: survives: it loses nothing in half" in checked.stdout
    assert "does not say 'a phrase nobody says'" in checked.stdout
    assert "right: [half] times a half, seed 0: loses points in half" in checked.stdout


def test_a_loss_in_a_task_that_does_not_rest_on_it_is_a_broken_promise(place: Path) -> None:
    (place / "variants/wrong.py").write_text(
        "# %% [clip] breaks half as well\ndef half(x):\n    return 0\ndef clip(values, top=1):\n    return 0\n"
    )

    assert check(place).returncode == 0
    checked = check(place, "--full")

    assert checked.returncode == 2
    assert "breaks half as well, seed 0: loses points in half" in checked.stdout


def test_a_variant_of_an_unknown_task_is_refused(place: Path) -> None:
    (place / "variants/right.py").write_text(RIGHT.replace("[half]", "[hafl]"))

    checked = check(place)

    assert checked.returncode == 2
    assert "right.py:2: no task 'hafl'; there is: clip, half" in checked.stderr


def test_a_mutant_that_no_test_notices_is_named_until_it_has_a_reason(place: Path) -> None:
    survivors = check(place, "--mutants")

    assert survivors.returncode == 2
    assert "survives: clip: value > 0 or top >= 3 → value > 0 and top >= 3" not in survivors.stdout
    assert "survives: clip: top >= 3 → top > 3" in survivors.stdout
    assert "survives: clip: raise ValueError" in survivors.stdout
    assert "half: x / 2" not in survivors.stdout

    names = [
        line.removeprefix("survives: ")
        for line in survivors.stdout.splitlines()
        if line.startswith("survives: ")
    ]
    listed = "\n".join(f"    - {name!r}" for name in names)
    (place / "variants/equivalent.yml").write_text(f"equivalent:\n- reason: x\n  mutants:\n{listed}\n")
    explained = check(place, "--mutants")

    assert explained.returncode == 0, explained.stdout + explained.stderr
    assert f"{len(names)} equivalent, 0 not noticed" in explained.stdout


def test_a_reason_for_a_mutant_that_is_noticed_is_refused(place: Path) -> None:
    (place / "variants/equivalent.yml").write_text(
        "equivalent:\n  - mutants: ['half: x / 2 → *']\n    reason: none\n"
    )

    checked = check(place, "--mutants")

    assert checked.returncode == 2
    assert "equivalent.yml:2: " in checked.stderr
    assert "no survivor is called 'half: x / 2 → *'" in checked.stderr


def test_a_slip_in_the_name_of_a_mutant_is_told(place: Path) -> None:
    checked = check(place, "--mutants", "--variant", "hafl")

    assert checked.returncode == 2
    assert "no mutant is called like 'hafl'" in checked.stderr


def test_mutants_change_solutions_alone_one_thing_at_a_time(place: Path) -> None:
    mutants = by_name(load_homework(place))

    assert {name for name in mutants if name.startswith("half")} == {
        "half: x / 2 → x * 2 in return x / 2",
        "half: x / 2 → 2 / x in return x / 2",
        "half: x / 2 → x in return x / 2",
        "half: x / 2 → 2 in return x / 2",
        "half: 2 → 3 in return x / 2",
        "half: 2 → 1 in return x / 2",
    }
    assert "clip: reverse=False → nothing in return sorted(clipped, reverse=False)" in mutants
    assert not any("give a list" in name and "raise" not in name for name in mutants)
    sources = [mutant.notebook.cells for mutant in mutants.values()]
    assert all(len(cells) == 2 for cells in sources)
    assert len(set(sources)) == len(sources)
    assert mutants["half: 2 → 3 in return x / 2"].tasks == {"half"}


def by_name(homework: Homework) -> dict[str, Mutant]:
    return {mutant.name: mutant for mutant in mutants_of(homework)}
