"""What students' runs may fetch: enough to grade with, and nothing else of the instructor's."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from course_on_github import HOMEWORKS, ROOT, SALT, course_on_github

from grading.bundle import LAZY, bundle, bundled_files, file_of, modules_needed
from grading.course import Course, load_course
from grading.errors import UsageError
from grading.grade import tests_digest as digest_of_tests

RELEASED = ("cnn", "activations", "dropout")
INSTRUCTORS = {
    "build", "bundle", "check", "generated", "mutants", "release", "roster", "teams", "templates", "variants",
    "export/course_csv", "gradebook/compute", "gradebook/database", "gradebook/rules",
    "github/push", "github/central", "github/collect", "github/verify", "github/store", "github/classroom",
}  # fmt: skip

OF_A_STUDENTS_PAGE = ("base.html.j2", "parts.html.j2", "student.html.j2", "style.css.j2")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return course_on_github(tmp_path, github="{organisation: deep-course, pass_mark: 50, central: all}")


def test_a_bundle_is_the_grader_and_the_released_homeworks_and_nothing_else(course):
    files = set(bundled_files(course, RELEASED))

    for name in RELEASED:
        homework = course.load_homework(name)
        tests = {str(path.relative_to(homework.directory)) for path in homework.tests_directory.glob("*.*")}
        data = {*homework.data, *(f"{Path(file).stem}.LICENSE.md" for file in homework.data)}
        support = {"support.py"} if (homework.directory / "support.py").exists() else set()
        expected = {"homework.yml", homework.notebook} | tests | data | support
        assert {file for file in files if file.startswith(f"homeworks/{name}/")} == {
            f"homeworks/{name}/{file}" for file in expected
        }
    grader = {file for file in files if file.startswith("grading/")}
    assert {file for file in files - grader if file.count("/") < 2} == {
        "LICENSE",
        "README.md",
        "constraints.txt",
        "homeworks/course.yml",
        "pyproject.toml",
        "scripts/bootstrap",
    }
    assert {file for file in files if file.startswith(".")} == {".github/workflows/grade.yml"}
    assert {file.split("/")[1] for file in files if file.startswith("homeworks/")} == {
        *RELEASED,
        "course.yml",
    }
    data = {"grading/py.typed", "grading/score.schema.json", "grading/judge/pytest.ini"}
    data |= {f"grading/report/templates/{name}" for name in OF_A_STUDENTS_PAGE}
    assert {file for file in grader if not file.endswith(".py")} == data
    assert not [file for file in grader if any(file.startswith(f"grading/{name}") for name in INSTRUCTORS)]


def test_no_byte_of_it_is_the_course_s_salt_a_solution_or_a_variant(course):
    files = bundled_files(course, RELEASED)

    everything = b"\n".join(files.values())
    assert SALT.encode() not in everything
    assert b"secret_exam" not in everything
    for name in RELEASED:
        directory = HOMEWORKS / name
        hidden = [directory / "source.py", *(directory / "variants").iterdir()]
        hidden += [directory / file for file in course.load_homework(name).submits]
        assert not {path.read_bytes() for path in hidden if path.is_file()} & set(files.values())
    for unreleased in ("nlp", "backprop", "batchnorm", "weight_init"):
        assert not [path for path in files if unreleased in path and path.startswith("homeworks")]
        assert course.salt_of(unreleased).encode() not in everything


def test_a_run_knows_what_it_needs_of_the_course(course, tmp_path):
    bundle(course, RELEASED, tmp_path / "out")

    inside = load_course(tmp_path / "out/homeworks/course.yml")

    assert [entry.name for entry in inside.homeworks] == ["activations", "dropout", "cnn"]
    assert inside.salt is None
    kept = ("name", "timezone", "time_source", "counts", "late")
    assert [getattr(inside, key) for key in kept] == [getattr(course, key) for key in kept]
    assert inside.github is not None
    assert (inside.github.organisation, inside.github.pass_mark) == ("deep-course", 50)
    assert inside.github.central == "none"
    for entry in inside.homeworks:
        name = entry.name
        assert (entry.weight, entry.deadline) == (
            course.homework(name).weight,
            course.homework(name).deadline,
        )
        assert inside.salt_of(name) == course.salt_of(name)
        assert digest_of_tests(inside.load_homework(name)) == digest_of_tests(course.load_homework(name))


def test_a_homework_with_a_salt_of_its_own_keeps_it(tmp_path):
    own = "OSPREY-own-salt-of-cnn"
    course_on_github(tmp_path)
    file = tmp_path / "homeworks/course.yml"
    file.write_text(file.read_text().replace("{name: cnn,", f"{{name: cnn, salt: {own},"))

    files = bundled_files(load_course(file), ["cnn"])

    assert yaml.safe_load(files["homeworks/course.yml"])["homeworks"][0]["salt"] == own


def test_a_second_bundle_replaces_the_first_whole(course, tmp_path):
    out = tmp_path / "out"
    bundle(course, RELEASED, out)
    (out / "homeworks/cnn/tests/test_old.py").write_text("")

    bundle(course, ["activations"], out)

    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == (
        bundled_files(course, ["activations"])
    )
    assert (out / "scripts/bootstrap").stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize(
    ("salt", "said"),
    [("replace-me-or-set-GRADING_SALT", "still the example's"), ("short", "fewer than 16 characters")],
)
def test_a_salt_that_could_be_guessed_is_refused(salt, said, tmp_path):
    course = course_on_github(tmp_path, salt=salt)

    with pytest.raises(UsageError, match=said) as caught:
        bundle(course, ["cnn"], tmp_path / "out")

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_salt_in_a_file_that_runs_would_fetch_is_refused(tmp_path):
    course = course_on_github(tmp_path)
    directory = tmp_path / "homeworks/activations"
    directory.unlink()
    shutil.copytree(HOMEWORKS / "activations", directory)
    with (directory / "tests/oracles.py").open("a") as file:
        file.write(f"# {SALT}\n")

    with pytest.raises(UsageError, match=r"homeworks/activations/tests/oracles\.py: the course's salt"):
        bundled_files(course, ["activations"])


@pytest.mark.parametrize(
    ("names", "said"), [([], "no homework is released yet"), (["zoo"], 'no homework "zoo"')]
)
def test_what_cannot_be_bundled_is_said(names, said, course):
    with pytest.raises(UsageError, match=said):
        bundled_files(course, names)


# It is enough


def test_whatever_the_grader_in_it_imports_is_in_it(course):
    files = bundled_files(course, RELEASED)
    there = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}

    for name, content in files.items():
        module = name.removesuffix(".py").replace("/", ".")
        if name.startswith("grading/") and name.endswith(".py") and not module.endswith(LAZY):
            missing = {found for found in imports(ast.parse(content)) if file_of(found)} - there
            assert not missing, f"{name} imports {missing}"


def imports(tree: ast.Module) -> set[str]:
    """Every module that is imported anywhere, but for types alone."""
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_module_that_a_run_is_said_to_need_is_found():
    needed = modules_needed(["grading.cli", "grading.grade", "grading.worker.*"])

    assert {"grading", "grading.worker.__main__", "grading.judge.classroom", "grading.exact"} <= needed


def run_from(bundled: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`grading` as the bundle has it, whatever is installed in this environment."""
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); import grading.cli; grading.cli.main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", code, str(bundled), *arguments],
        cwd=bundled,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["grade", "doctor", "earlier"])
def test_the_commands_of_a_run_are_there(command, course, tmp_path):
    bundle(course, ["activations"], tmp_path / "out")

    said = run_from(tmp_path / "out", command, "--help")

    assert said.returncode == 0, said.stderr
    assert "Usage" in said.stdout


def test_a_submission_is_graded_with_the_bundle_alone(course, tmp_path):
    bundle(course, ["activations"], tmp_path / "out")
    student = tmp_path / "student"
    student.mkdir()
    shutil.copy(HOMEWORKS / "activations/activations.ipynb", student)
    score = tmp_path / "score.json"

    said = run_from(
        tmp_path / "out", "grade", "--repo", str(student), "--homework", "activations", "--out", str(score)
    )

    assert said.returncode == 0, said.stderr
    graded = json.loads(score.read_text())
    assert (graded["state"], graded["points"], graded["confined"]) == ("graded", 0, True)
    assert graded["digests"]["tests"] == digest_of_tests(course.load_homework("activations"))
    assert str(ROOT) not in said.stdout + said.stderr
