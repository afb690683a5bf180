"""The student's template repository of a homework, and the record of what was released when.

Only what students may have is read here: the starter, the data and the descriptions. The files of `submits` that stand
beside the source are the reference's, and stay. The same homework and course always give the same bytes.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from grading.course import Course, OnGitHub
from grading.errors import UsageError
from grading.generated import write_generated
from grading.homework import Homework, Task
from grading.late import NoPenalty, PerDay, PointsThenEvery
from grading.notebook import read_notebook
from grading.report.markdown import text
from grading.report.words import number

PACKAGE = Path(__file__).resolve().parent
CONSTRAINTS = PACKAGE.parent / "constraints.txt"
WORKFLOW = ".github/workflows/grade.yml"
RELEASES = "releases.jsonl"

DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}


def release(course: Course, homework: Homework, out: Path, *, bundle_commit: str) -> list[Path]:
    """Write the template repository of a homework; the paths written.

    `out` is new, empty or what an earlier release wrote. `bundle_commit` is the commit of the bundle whose workflow
    grades; without `grade_on_push` it is not used. Raises UsageError.
    """
    return write_generated(out, released_files(course, homework, bundle_commit), retired={".github"})


def released_files(course: Course, homework: Homework, bundle_commit: str) -> dict[str, bytes]:
    """The template repository: its files by path. Raises UsageError."""
    settings = settings_of(course)
    if settings.grade_on_push and not re.fullmatch(r"[0-9a-f]{40}", bundle_commit):
        raise UsageError(
            f"{course.path}: which commit of the bundle grades {homework.name} is not known; push the bundle first: "
            "`grading bundle --push`"
        )
    _check_starter(homework)
    data = {path.name: path.read_bytes() for path in homework.data_files}
    licences = {path.name: path.read_bytes() for path in licences_of(homework)}
    templates = {
        "README.md": "README.md",
        "requirements.txt": "requirements.txt",
        ".gitignore": "gitignore",
        ".devcontainer/devcontainer.json": "devcontainer.json",
    }
    if settings.grade_on_push:
        templates[WORKFLOW] = "grade.yml"
    requirements = _requirements(homework)
    fields = _words(course, settings, homework) | {
        "course": course,
        "settings": settings,
        "homework": homework,
        "bundle_commit": bundle_commit,
        "submits": sorted(homework.submits),
        "data": sorted(data),
        "licences": sorted(licences),
        "requirements": requirements,
        "cpu_torch": any(line.startswith("torch") for line in requirements),
    }
    files = {path: render(template, fields) for path, template in templates.items()}
    given = {homework.notebook: homework.starter.read_bytes(), **data, **licences}
    for name in given.keys() & (files.keys() | homework.submits.keys()):
        raise UsageError(f'{homework.directory}: the file "{name}" would be in the way of another; rename it')
    return files | given


def settings_of(course: Course) -> OnGitHub:
    """Where the course is on GitHub. Raises UsageError where course.yml does not say."""
    if course.github is None:
        raise UsageError(
            f"{course.path}: github: missing; add `github: {{organisation: NAME}}`, the course's organisation on GitHub"
        )
    return course.github


def template_name(settings: OnGitHub, homework: str) -> str:
    """The template repository of a homework, within the organisation."""
    return settings.template.replace("{homework}", homework)


def licences_of(homework: Homework) -> list[Path]:
    """Where data comes from: a file NAME.LICENSE.md beside NAME.npz."""
    candidates = {path.with_name(f"{path.stem}.LICENSE.md") for path in homework.data_files}
    return sorted(path for path in candidates if path.is_file())


def render(template: str, fields: Mapping[str, Any]) -> bytes:
    """A template of this package, filled in."""
    return _environment().get_template(f"{template}.j2").render(fields).encode()


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PACKAGE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, YAML and JSON: each value says how it is written
    )
    environment.filters |= {"text": text, "code": _code}
    return environment


def _code(name: str) -> str:
    """A file's name as code in Markdown."""
    return f"`{name}`" if name.isprintable() and "`" not in name else text(name)


def _check_starter(homework: Homework) -> None:
    """Only what `grading build` makes of the source goes out: never a starter in which somebody has tried things."""
    if homework.source.is_file():
        from grading.build import build

        if not build(homework.directory, check=True):
            return
        why = "is not what its source makes"
    elif homework.starter.is_file():
        return
    else:
        why = "is not there"
    raise UsageError(
        f"{homework.starter}: {why}; run `grading build {homework.name}`, look at it and commit it"
    )


# What the notebook imports


def _requirements(homework: Homework) -> list[str]:
    pins = _tested_versions()
    imported = {name for cell in read_notebook(homework.starter).cells for name in _imports(cell.source)}
    needed = {DISTRIBUTIONS.get(name, name) for name in imported - set(sys.stdlib_module_names)}
    return [
        name + (f"=={pins[name.lower()]}.*" if name.lower() in pins else "")
        for name in sorted(needed | {"jupyterlab"})
    ]


def _imports(source: str) -> Iterator[str]:
    """Top-level modules that a cell imports; a cell with magics in it has none that can be found."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


def _tested_versions() -> dict[str, str]:
    """By distribution, the minor version that the hidden tests are tested with."""
    try:
        lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise UsageError(
            f"{CONSTRAINTS}: cannot be read; run `grading` from a checkout of its repository"
        ) from None
    pins = (re.match(r"([\w.-]+)==(\d+\.\d+)", line) for line in lines)
    return {match[1].lower().replace("_", "-"): match[2] for match in pins if match}


# The course's rules in a student's words


def _words(course: Course, settings: OnGitHub, homework: Homework) -> dict[str, Any]:
    titles = {task.id: task.title for task in homework.tasks}

    def needs(task: Task) -> str:
        return ", ".join(titles[need] for need in task.needs)

    due = course.homework(homework.name).deadline
    return {
        "rests": any(task.needs for task in homework.tasks),
        "needs": needs,
        "deadline": _moment(due, course) if due else "none",
        "late": late_in_words(course, due),
        "handed_in": shlex.join([homework.notebook, *sorted(homework.submits)]),
        "attempts": _attempts(course, due),
        "handed_in_when": _handed_in_when(course, settings, due),
        "red": _red(settings),
        "central": _central(settings),
    }


def late_in_words(course: Course, due: datetime | None) -> list[str]:
    """What lateness costs, sentence by sentence; nothing where there is no deadline."""
    if due is None:
        return []
    policy = course.late
    hours = policy.hard_after_hours
    if hours == 0:
        return ["What comes later does not count."]
    sentences = [_penalty(policy, course)]
    if hours is not None:
        sentences.append(f"After {_moment(due + timedelta(hours=hours), course)}, nothing counts any more.")
    return sentences


def _penalty(policy: PerDay | PointsThenEvery | NoPenalty, course: Course) -> str:
    match policy:
        case PerDay() if min(policy.rate, policy.cap) > 0:
            share, most = (f"{number(part * 100)}%" for part in (min(policy.rate, policy.cap), policy.cap))
            if policy.cap <= policy.rate:
                return f"Late work loses {most} of its points, however late it is."
            if policy.day == "elapsed":
                return (
                    f"Late work loses {share} of its points for every started 24 hours after the deadline, at most "
                    f"{most}: a second late is one day, and so are 24 hours; a second more is two."
                )
            return (
                f"Late work loses {share} of its points for every started day after the deadline, at most {most}. "
                f"Days end at midnight ({course.timezone}); what is left of the deadline's own day belongs to the "
                "first."
            )
        case PointsThenEvery() if policy.points == 0 < policy.at_once:
            return (
                f"Late work loses {_points(policy.at_once)}, however late it is, and never more than it has."
            )
        case PointsThenEvery() if policy.points > 0:
            first, second = (number(policy.at_once + policy.points * periods) for periods in (1, 2))
            once = f"{_points(policy.at_once)} at once and " if policy.at_once else ""
            more = " more" if policy.at_once else ""
            return (
                f"Late work loses {once}{_points(policy.points)}{more} for every started {_hours(policy.hours)}: "
                f"{first} in the first {_hours(policy.hours)}, {second} in the next, and so on, and never more than it "
                "has."
            )
        case _:
            return "Late work loses nothing."


def _points(points: Fraction) -> str:
    return f"{number(points)} point{'' if points == 1 else 's'}"


def _hours(hours: int) -> str:
    return "hour" if hours == 1 else f"{hours} hours"


def _moment(moment: datetime, course: Course) -> str:
    """A moment in the course's zone, in English whatever the machine speaks."""
    there = moment.astimezone(course.zone)
    clock = f"{there:%H:%M:%S}" if there.second else f"{there:%H:%M}"
    return f"{there:%A}, {there.day} {there:%B %Y}, {clock} {there:%Z} ({course.timezone})"


def _attempts(course: Course, due: datetime | None) -> str:
    if course.counts == "last":
        return "You may push as often as you like: the last push counts."
    rule = "the best one counts" if due is None else "the best one counts, after what lateness costs it"
    return f"You may push as often as you like: {rule}."


def _handed_in_when(course: Course, settings: OnGitHub, due: datetime | None) -> str:
    if due is None:
        return ""
    if course.time_source == "pipeline_finish" and settings.grade_on_push:
        return "A push is handed in when its grading has finished, so do not wait for the last minutes."
    return "A push is handed in when it arrives at GitHub; the dates of commits do not matter."


def _red(settings: OnGitHub) -> str:
    ours = "the grader itself failed: that is not your fault, and costs you nothing"
    if settings.pass_mark is None:
        return f"A run is red only where {ours}."
    mark = _points(settings.pass_mark)
    return f"A run is red below {mark} (before anything is lost for lateness), or where {ours}."


def _central(settings: OnGitHub) -> str:
    """Which pushes the teachers' own repository grades, and where the student reads it."""
    which = {
        "none": "",
        "all": "every push",
        "last_of_day": "the last push of each day",
        "before_deadline": "the last push before the deadline and, after it, the last one of each day",
    }[settings.central]
    where = "The points stand beside the commit, and what to mend in this repository's tab Issues."
    if not settings.grade_on_push:
        return f"Nothing runs when you push: your teachers' own grader fetches {which or 'your work'} later. {where}"
    if not which:
        return ""
    return f"Your teachers' own grader grades {which} once more, and what it finds is what counts. {where}"


# What was released: releases.jsonl

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BundleRelease(_Line):
    """The bundle at a commit: the homeworks in it, and the digests of their hidden tests (see grade.tests_digest)."""

    kind: Literal["bundle"] = "bundle"
    at: AwareDatetime
    commit: Sha
    homeworks: tuple[str, ...]
    tests: dict[str, str]


class TemplateRelease(_Line):
    """A template at a commit. `github_tree` is the SHA-1 of the git tree of `.github`; both are None where nothing is
    graded on push."""

    kind: Literal["template"] = "template"
    at: AwareDatetime
    homework: str
    github_tree: Sha | None
    bundle_commit: Sha | None
    commit: Sha


Release = Annotated[BundleRelease | TemplateRelease, Field(discriminator="kind")]
_RELEASE: TypeAdapter[BundleRelease | TemplateRelease] = TypeAdapter(Release)


@dataclass(frozen=True, slots=True)
class Releases:
    """All that was ever released, the earliest first. What was good once stays good."""

    lines: tuple[BundleRelease | TemplateRelease, ...] = ()

    @property
    def bundles(self) -> tuple[BundleRelease, ...]:
        return tuple(line for line in self.lines if isinstance(line, BundleRelease))

    @property
    def templates(self) -> tuple[TemplateRelease, ...]:
        return tuple(line for line in self.lines if isinstance(line, TemplateRelease))

    def trees(self, homework: str) -> frozenset[str]:
        """SHA-1 of every `.github` that students of a homework were given."""
        return frozenset(
            line.github_tree for line in self.templates if line.homework == homework and line.github_tree
        )

    def tests(self, homework: str) -> frozenset[str]:
        """Digests of every version of a homework's hidden tests that students' runs could grade with."""
        return frozenset(line.tests[homework] for line in self.bundles if homework in line.tests)

    @property
    def bundle_commits(self) -> frozenset[str]:
        return frozenset(line.commit for line in self.bundles)

    @property
    def latest_bundle(self) -> str | None:
        return self.bundles[-1].commit if self.bundles else None

    @property
    def released(self) -> tuple[str, ...]:
        """Homeworks that have been in a bundle, in the order in which they came."""
        return tuple(dict.fromkeys(name for line in self.bundles for name in line.homeworks))


def read_releases(path: Path) -> Releases:
    """What `releases.jsonl` says; nothing where there is none. A last line that a kill left unfinished does not count.

    Raises UsageError with the number of a line that is broken.
    """
    return Releases(tuple(_read(path)[0]))


def append_release(path: Path, line: BundleRelease | TemplateRelease) -> None:
    """Add a line, and let it reach the disk. An unfinished last line is cut off. Raises UsageError."""
    _, whole = _read(path)
    written = (line.model_dump_json() + "\n").encode()
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            file.truncate(whole)
            file.seek(max(0, whole - 1))
            if whole and file.read(1) != b"\n":
                written = b"\n" + written
            file.seek(whole)
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); check its permissions") from None


def _read(path: Path) -> tuple[list[BundleRelease | TemplateRelease], int]:
    """The lines, and how many bytes of the file they are."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    lines: list[BundleRelease | TemplateRelease] = []
    whole = 0
    for position, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            if line.strip():
                lines.append(_RELEASE.validate_json(line))
        except ValidationError as error:
            if not line.endswith(b"\n"):
                break
            first = error.errors(include_url=False)[0]
            key = ".".join(str(step) for step in first["loc"])
            raise UsageError(
                f"{path}:{position}: {key + ': ' if key else ''}{first['msg']}; it is written by `grading` only: "
                "restore it from git"
            ) from None
        whole += len(line)
    return lines, whole
