"""Puts generated directories onto GitHub with git: the bundle, and the template of each homework.

A push is one commit on top of what is there, never by force, and only onto what `grading` itself has written. What was
pushed is written down in releases.jsonl, also where an earlier run was killed before it could.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from grading.bundle import bundle
from grading.course import Course, OnGitHub, load_course
from grading.errors import UsageError
from grading.generated import README, marker_of
from grading.github.answers import Repository
from grading.github.api import GitHub
from grading.github.git import BRANCH, Work, tree_of
from grading.grade import tests_digest
from grading.homework import Homework
from grading.release import (
    RELEASES,
    WORKFLOW,
    BundleRelease,
    TemplateRelease,
    append_release,
    read_releases,
    release,
    settings_of,
    template_name,
)

Tell = Callable[[str], None]


# The bundle and the templates


def push_bundle(api: GitHub, course: Course, names: Iterable[str], tell: Tell, *, token: str) -> str:
    """Bring the bundle on GitHub up to date, with the homeworks named and those released before; its commit.

    Safe to run again at any time. Raises UsageError and GradingError.
    """
    settings = settings_of(course)
    path = course.directory / RELEASES
    before = read_releases(path)
    released = {entry.name for entry in course.homeworks} & set(before.released)
    with tempfile.TemporaryDirectory(prefix="grading-") as place:
        directory = Path(place, "bundle")
        bundle(course, released | set(names), directory)
        repository = _repository(
            api, settings, settings.bundle, "What students' runs grade with; keep it private", tell
        )
        if not repository.private:
            raise UsageError(
                f"{repository.full_name}: is public, and would show the hidden tests to everybody; make it private, or "
                "name another under `bundle:` in course.yml"
            )

        def record(found: Path, commit: str) -> BundleRelease:
            inside = load_course(found / "homeworks" / "course.yml")
            homeworks = [inside.load_homework(entry.name) for entry in inside.homeworks]
            tests = {homework.name: tests_digest(homework) for homework in homeworks}
            return BundleRelease(at=_now(), commit=commit, homeworks=tuple(tests), tests=tests)

        commit = _push_and_record(
            directory, repository, token, "The grader and its tests", path, record, tell
        )
    for name in before.released:
        if not read_releases(path).tests(name) <= before.tests(name):
            tell(f"{name}: its hidden tests have changed, and grade from the next push on")
    if repository.default_branch != BRANCH:
        api.edit_repository(repository.full_name, {"default_branch": BRANCH})
    if api.access_of_workflows(repository.full_name) != "organization":
        api.set_access_of_workflows(repository.full_name, "organization")
    return commit


def push_release(api: GitHub, course: Course, homework: Homework, tell: Tell, *, token: str) -> str:
    """Bring the bundle and then the homework's template on GitHub up to date; the template's commit.

    Safe to run again at any time. Raises UsageError and GradingError.
    """
    settings = settings_of(course)
    with tempfile.TemporaryDirectory(prefix="grading-") as place:
        directory = Path(place, "template")
        # Written twice: what is wrong with the homework is said before anything is pushed.
        release(course, homework, directory, bundle_commit="0" * 40)
        bundle_commit = ""
        if settings.grade_on_push:
            bundle_commit = push_bundle(api, course, [homework.name], tell, token=token)
        release(course, homework, directory, bundle_commit=bundle_commit)
        name = template_name(settings, homework.name)
        repository = _repository(api, settings, name, f"{homework.title}: what students start from", tell)

        def record(found: Path, commit: str) -> TemplateRelease:
            workflow = found / WORKFLOW
            pinned = (
                re.search(r"@([0-9a-f]{40})$", workflow.read_text(), re.M) if workflow.is_file() else None
            )
            return TemplateRelease(
                at=_now(),
                homework=homework.name,
                github_tree=tree_of(found, ".github"),
                bundle_commit=pinned[1] if pinned else None,
                commit=commit,
            )

        path = course.directory / RELEASES
        commit = _push_and_record(directory, repository, token, homework.title, path, record, tell)
    if not repository.is_template or repository.default_branch != BRANCH:
        api.edit_repository(repository.full_name, {"is_template": True, "default_branch": BRANCH})
    return commit


def _repository(api: GitHub, settings: OnGitHub, name: str, description: str, tell: Tell) -> Repository:
    """The repository of the organisation, made where there is none."""
    wanted = f"{settings.organisation}/{name}"
    found = api.repository(wanted)
    if found is None:
        tell(f"{wanted}: making it")
        return api.create_repository(settings.organisation, name, description)
    if found.full_name.lower() != wanted.lower():
        raise UsageError(
            f"{wanted}: is now called {found.full_name}; name it back, or write its new name in course.yml"
        )
    if found.archived:
        raise UsageError(f"{wanted}: is archived, and takes no pushes; unarchive it in its settings")
    return found


def _push_and_record(
    directory: Path,
    repository: Repository,
    token: str,
    message: str,
    releases: Path,
    record: Callable[[Path, str], BundleRelease | TemplateRelease],
    tell: Tell,
) -> str:
    """Pushes, and writes down what is on GitHub then: also a commit that a killed run pushed and did not write down."""
    known = {line.commit for line in read_releases(releases).lines}

    with Work(repository.clone_url, token, repository.full_name) as work:
        tip = _tip_of_ours(work, directory)
        if tip is not None and tip not in known:
            found = work.place / tip
            work.check_out(tip, found)
            try:
                append_release(releases, record(found, tip))
            except UsageError as error:
                tell(f"{repository.full_name}: what is there, at {tip[:7]}, cannot be recorded: {error}")
        commit = work.put(directory, tip, message)
    if commit != tip:
        append_release(releases, record(directory, commit))
    tell(f"{repository.full_name}: {'is up to date' if commit == tip else 'pushed'}, at {commit[:7]}")
    return commit


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


# One directory


def push_directory(directory: Path, clone_url: str, token: str, message: str, *, branch: str = BRANCH) -> str:
    """Make the branch hold exactly the files of a generated directory, by one commit on top of it; the branch's commit.

    Nothing is pushed where it holds them already. Raises UsageError where somebody else's files are there or the push
    is refused, GradingError where the server cannot be reached.
    """
    with Work(clone_url, token, clone_url, branch) as work:
        return work.put(directory, _tip_of_ours(work, directory), message)


def _tip_of_ours(work: Work, directory: Path) -> str | None:
    """The branch's commit; None where the remote is empty. Refuses one that is neither empty nor has our README.md."""
    heads = work.heads()
    if not heads:
        return None
    if work.ref in heads:
        tip = work.fetch()
        readme = work.git("show", f"{tip}:{README}") if work.git("ls-tree", tip, README) else ""
        if marker_of(readme.encode()) == marker_of((directory / README).read_bytes()):
            return tip
    raise UsageError(
        f"{work.name}: has content that `grading` did not write; rename that repository, or name another in course.yml"
    )
