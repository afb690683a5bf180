"""What grades follow from beside the scores: the course, who takes it, in which teams, and the rules.

Reads the files as they stand, with others in the place of some, or as they were at a git revision. Computes no grade
and changes nothing: not a file, nor git's repository.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grading.configuration import did_you_mean
from grading.course import Course, load_course
from grading.errors import UsageError
from grading.gradebook.attempts import Attempt
from grading.gradebook.compute import compute
from grading.gradebook.rules import EXCUSED, EXTENSIONS, MANUAL, PLAGIARISM, REVIEWS, Rules, read_rules
from grading.gradebook.table import GradeTable
from grading.roster import Roster, read_roster
from grading.teams import Teams, read_teams

COURSE, ROSTER, TEAMS = "course.yml", "roster.csv", "teams.yml"
FILES = (COURSE, ROSTER, TEAMS, EXTENSIONS, REVIEWS, EXCUSED, PLAGIARISM, MANUAL)


@dataclass(frozen=True, slots=True)
class Terms:
    course: Course
    roster: Roster
    teams: Teams
    rules: Rules

    def grades(self, attempts: Iterable[Attempt]) -> GradeTable:
        return compute(self.course, self.roster, self.teams, self.rules, attempts)


def read_terms(homeworks: Path, roster: Path | None = None, changed: Path | None = None) -> Terms:
    """The files in the directory with the homeworks, or those in `changed` that stand in their place.

    `roster` may stand anywhere. Raises UsageError, for the file that somebody wrote.
    """
    instead = _in_place(changed) if changed is not None else {}
    given = {} if roster is None else {ROSTER: roster}

    def at(name: str) -> Path:
        return instead.get(name) or given.get(name) or homeworks / name

    course = load_course(at(COURSE), homeworks)
    people = read_roster(at(ROSTER))
    teams = read_teams(at(TEAMS), people, course)
    return Terms(course, people, teams, read_rules(course, people, teams, at))


def _in_place(changed: Path) -> dict[str, Path]:
    """A file under a wrong name would change nothing, and nobody would know."""
    try:
        found = {path.name: path for path in sorted(changed.iterdir())}
    except OSError as error:
        raise UsageError(
            f"{changed}: cannot be read: {error.strerror}; give a directory with the files in it that would differ"
        ) from error
    for name, path in found.items():
        if path.suffix in (".yml", ".yaml", ".csv") and name not in FILES:
            raise UsageError(f"{path}: is none of a course's files; {did_you_mean(name, FILES)}")
    if not found.keys() & set(FILES):
        raise UsageError(
            f"{changed}: has none of a course's files; put in it what would differ of {', '.join(FILES)}"
        )
    return {name: path for name, path in found.items() if name in FILES}


def with_deadlines(course: Course, deadlines: Mapping[str, datetime]) -> Course:
    """The same course with other deadlines; extensions are not read again, so a later deadline may pass one."""
    homeworks = (
        one.model_copy(update={"deadline": deadlines[one.name]}) if one.name in deadlines else one
        for one in course.homeworks
    )
    return course.model_copy(update={"homeworks": tuple(homeworks)})


# As git has them


def terms_at(revision: str, homeworks: Path, roster: Path | None = None) -> Terms:
    """As they were at a revision; a roster that git does not keep is today's.

    Raises UsageError where there is no such thing, and for what is wrong in a file there, named as git names it:
    `REVISION:path`.
    """
    if not homeworks.is_dir():
        raise UsageError(f"{homeworks}: no such directory; --homeworks takes the one with course.yml")
    top, prefix = _repository(homeworks)
    commit = _commit(revision, homeworks)
    with tempfile.TemporaryDirectory(prefix="grading-since-") as temporary:
        place = Path(temporary)
        index = {"GIT_INDEX_FILE": str(place / "index")}
        if _git(top, "read-tree", f"{commit}:{prefix}", **index).returncode:
            raise UsageError(f"--since {revision}: has no {prefix.rstrip('/')}; give a later revision")
        written = _git(top, "checkout-index", "--all", f"--prefix={place}/then/", **index)
        if written.returncode:
            raise UsageError(f"--since {revision}: cannot be read: {_said(written)}; see `git fsck`")
        try:
            return read_terms(place / "then", roster or _roster(place / "then", homeworks))
        except UsageError as error:
            raise UsageError(str(error).replace(f"{place}/then/", f"{revision}:{prefix}")) from error


def _roster(then: Path, now: Path) -> Path:
    return then / ROSTER if (then / ROSTER).exists() else now / ROSTER


def _repository(directory: Path) -> tuple[Path, str]:
    """Its top, and the way from there, which is empty or ends in a slash."""
    said = _git(directory, "rev-parse", "--show-toplevel", "--show-prefix")
    if said.returncode:
        raise UsageError(
            f"--since: {directory} is in no git repository that can be read ({_said(said)}); "
            "run it where the course is kept in git"
        )
    top, prefix = said.stdout.splitlines()
    return Path(top), prefix


def _commit(revision: str, directory: Path) -> str:
    said = _git(directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if said.returncode:
        raise UsageError(f"--since {revision}: no such revision; `git log` shows those there are")
    return said.stdout.strip()


def _git(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise UsageError("--since: git is not installed; install it, and run this again") from None


def _said(process: subprocess.CompletedProcess[str]) -> str:
    return " ".join(process.stderr.split()) or "no message"
