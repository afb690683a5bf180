"""The bundle: the one repository that students' runs may fetch. The grader, and the hidden tests of released homeworks.

What is in it is chosen name by name, never by leaving out: no solution, no variant, no roster, no score, nothing of a
homework that is not released, and never the course's salt, from which those of all homeworks are derived.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from grading.course import Course
from grading.errors import UsageError
from grading.generated import write_generated
from grading.homework import Homework
from grading.release import WORKFLOW, licences_of, render

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent

BESIDE_THE_GRADER = ("LICENSE", "constraints.txt", "pyproject.toml", "scripts/bootstrap", WORKFLOW)
TEMPLATES_OF_A_STUDENT = ("base.html.j2", "parts.html.j2", "student.html.j2", "style.css.j2")
DATA_OF_THE_GRADER = (
    "py.typed",
    "score.schema.json",
    "judge/pytest.ini",
    *(f"report/templates/{name}" for name in TEMPLATES_OF_A_STUDENT),
)
EXECUTABLE = frozenset({"scripts/bootstrap"})

# What `grading grade`, `doctor` and `earlier` run; what these import is found. Modules of commands (LAZY) import what
# they use when they are run, so there only the imports at the top count.
RUN = (
    "grading.cli",
    "grading.course",
    "grading.doctor",
    "grading.event",
    "grading.export.formats",
    "grading.github.connect",
    "grading.github.earlier",
    "grading.grade",
    "grading.judge",
    "grading.judge.*",
    "grading.report.annotations",
    "grading.report.markdown",
    "grading.report.student_page",
    "grading.report.terminal",
    "grading.score_file",
    "grading.worker.*",
)
CENTRAL = "grading.github.central"
LAZY = ("grading.cli", "grading.gradebook.explain", "grading.options", "commands")  # the ends of their names


def bundle(course: Course, names: Collection[str], out: Path, *, central: bool = False) -> list[Path]:
    """Write the bundle with the homeworks named; the paths written.

    `out` is new, empty or what an earlier call wrote. `central`: what the instructor's own grading of students' code is
    given, which is the same but for the course's salt in place of the homeworks'. Raises UsageError.
    """
    return write_generated(out, bundled_files(course, names, central=central), executable=EXECUTABLE)


def bundled_files(course: Course, names: Iterable[str], *, central: bool = False) -> dict[str, bytes]:
    """The bundle: its files by path. Raises UsageError."""
    wanted = set(names)
    for name in wanted:
        course.homework(name)
    chosen = [entry.name for entry in course.homeworks if entry.name in wanted]
    if not chosen:
        raise UsageError(
            "no homework is released yet; name those whose hidden tests students' runs may fetch"
        )
    files = {name: _content(ROOT / name) for name in (*BESIDE_THE_GRADER, *_grader(central))}
    files["README.md"] = render("bundle.md", {"names": chosen})
    files["homeworks/course.yml"] = _course_yml(course, chosen, central)
    for name in chosen:
        for path, content in _homework_files(course.load_homework(name)).items():
            files[f"homeworks/{name}/{path}"] = content
    for path, content in files.items():
        if not central and course.salt and course.salt.encode() in content:
            raise UsageError(
                f"{path}: the course's salt stands in it, and would reach students' runs; take it out"
            )
    return files


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror}); run `grading` from a checkout of its repository"
        ) from None


# The course and its homeworks


def _course_yml(course: Course, names: Sequence[str], central: bool) -> bytes:
    """What a run needs to know of the course; with `central` its salt, which GRADING_SALT there may replace."""
    document: dict[str, object] = {
        "name": course.name,
        "timezone": course.timezone,
        "time_source": course.time_source,
        "counts": course.counts,
        "late": course.late.model_dump(mode="json", exclude_none=True),
    }
    if course.github is not None:
        needed = {"organisation", "bundle", "pass_mark"}
        document["github"] = course.github.model_dump(mode="json", exclude_none=True, include=needed)
    if central and course.salt is not None:
        document["salt"] = course.salt
    entries = []
    for name in names:
        entry = course.homework(name)
        salt = entry.salt if central else course.secret_salt_of(name)
        kept = entry.model_dump(mode="json", include={"name", "weight", "deadline"})
        entries.append(kept | ({"salt": salt} if salt is not None else {}))
    document["homeworks"] = entries
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def _homework_files(homework: Homework) -> dict[str, bytes]:
    # All that grade.tests_digest covers, or scores graded with the bundle would not be known again.
    tests = (path for path in homework.tests_directory.rglob("*") if "__pycache__" not in path.parts)
    paths = [homework.directory / "homework.yml", homework.starter, *filter(Path.is_file, tests)]
    paths += [*homework.data_files, *licences_of(homework), *([homework.support] if homework.support else [])]
    return {str(path.relative_to(homework.directory)): _content(path) for path in paths}


# The grader


@functools.cache
def _grader(central: bool) -> tuple[str, ...]:
    """The grader's files that a student's run uses, or central grading, by path from the root."""
    roots = (*RUN, CENTRAL) if central else RUN
    code = [path for module in sorted(modules_needed(roots)) if (path := file_of(module))]
    paths = [*code, *(PACKAGE / name for name in DATA_OF_THE_GRADER)]
    return tuple(str(path.relative_to(ROOT)) for path in paths)


def modules_needed(roots: Iterable[str]) -> set[str]:
    """The modules of this package named (`*`: all of a package) and, all the way down, those that they import."""
    found: set[str] = set()
    waiting = [module for root in roots for module in _named(root)]
    while waiting:
        module = waiting.pop()
        path = file_of(module)
        if module in found or path is None:
            continue
        found.add(module)
        waiting += [module.rpartition(".")[0], *_imports(ast.parse(path.read_bytes()), module.endswith(LAZY))]
    return found


def _named(root: str) -> list[str]:
    if not root.endswith(".*"):
        return [root]
    package = root.removesuffix(".*")
    return [f"{package}.{path.stem}" for path in sorted((ROOT / package.replace(".", "/")).glob("*.py"))]


def file_of(module: str) -> Path | None:
    """Where a module of this package stands; None for whatever is no such module."""
    if module.partition(".")[0] != PACKAGE.name:
        return None
    place = ROOT / module.removesuffix(".__init__").replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imports(tree: ast.AST, top_only: bool) -> Iterator[str]:
    """What is imported when the code runs: not for types alone, and with `top_only` not in functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not (top_only and isinstance(node, ast.FunctionDef)):
            yield from _imports(node, top_only)
