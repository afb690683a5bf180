"""The commands of a course on GitHub. Each imports what it uses, when it is used; what it does stands elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.errors import UsageError
from grading.options import (
    HOMEWORKS,
    HomeworksOption,
    JobsOption,
    RosterOption,
    UnconfinedOption,
    course_and_people,
    load_homework_named,
    number_of_jobs,
)

if TYPE_CHECKING:
    from grading.course import Course
    from grading.github.api import GitHub
    from grading.github.collect import Summary
    from grading.github.store import Store
    from grading.release import Releases
    from grading.roster import Roster
    from grading.teams import Teams

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[HOMEWORK]…", help="All that are released, without any.")
]
NamesOption = Annotated[
    list[str] | None,
    typer.Option("--homework", metavar="NAME", help="Only this one; more than once for several."),
]
StoreOption = Annotated[
    Path, typer.Option("--store", metavar="DIR", help="Where evidence, records and scores are kept.")
]
STORE = Path("scores")
SIGNS = {True: "ok  ", False: "FAIL", None: "?   "}


def warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def add_commands(app: typer.Typer) -> None:
    app.command("release")(release_command)
    app.command("bundle")(bundle_command)
    app.command("collect")(collect_command)
    app.command("fetch")(fetch_command)
    app.command("central")(central_command)
    app.command("earlier", hidden=True)(earlier_command)
    branch = typer.Typer(help="In a scheduled run: the store, kept on a branch.", no_args_is_help=True)
    branch.command("open")(open_store_command)
    branch.command("save")(save_store_command)
    app.add_typer(branch, name="store", hidden=True)
    classroom = typer.Typer(
        help="Make and protect students' repositories on GitHub.",
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    classroom.command("check")(check_command)
    classroom.command("assign")(assign_command)
    classroom.command("protect")(protect_command)
    classroom.command("status")(status_command)
    app.add_typer(classroom, name="classroom")


# Giving out


def release_command(
    name: Annotated[str, typer.Argument(metavar="HOMEWORK", help="The homework to give out.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the template repository's files here.")
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Bring bundle and template repository up to date on GitHub.")
    ] = False,
    ref: Annotated[
        str | None,
        typer.Option(
            "--ref", metavar="COMMIT", help="With --out: the bundle's commit; the latest by default."
        ),
    ] = None,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Make the repository that students start from.

    It has the notebook, a README and the workflow that grades. A starter that was mended is released again, and
    repositories that were made from the old one stay good.
    """
    from grading.course import load_course

    if bool(out) == push:
        raise UsageError(
            "give --out DIR to look at the files, or --push to put them on GitHub (and not both)"
        )
    course = load_course(homeworks / "course.yml")
    homework = load_homework_named(course, name)
    if out is not None:
        from grading.release import release, settings_of

        commit = ref or releases_of(course).latest_bundle or ""
        if not commit and settings_of(course).grade_on_push:
            raise UsageError(
                "there is no workflow to call before a bundle is pushed: `grading bundle --push`, or --ref COMMIT"
            )
        for path in release(course, homework, out, bundle_commit=commit):
            print(path)
        return
    from grading.github.connect import token
    from grading.github.push import push_release

    if ref is not None:
        raise UsageError(f"--ref {ref}: goes with --out; --push takes the bundle that it has just pushed")
    push_release(connect_to(course), course, homework, print, token=token())


def bundle_command(
    names: NamesOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the bundle's files here.")
    ] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Bring the bundle repository on GitHub up to date.")
    ] = False,
    central: Annotated[
        bool, typer.Option("--central", help="With --out: what `central --step grade` needs.", hidden=True)
    ] = False,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Make the repository that students' runs fetch.

    It has the grader, and the hidden tests of released homeworks.
    """
    from grading.course import load_course

    if bool(out) == push or (push and central):
        raise UsageError(
            "give --out DIR to look at the files, or --push to put them on GitHub (and not both)"
        )
    course = load_course(homeworks / "course.yml")
    chosen = homeworks_of(course, names)
    if out is not None:
        from grading.bundle import bundle

        written = bundle(course, chosen, out, central=central)
        print(f"{out}: {len(written)} files, with {', '.join(chosen)}")
        return
    from grading.github.connect import token
    from grading.github.push import push_bundle

    push_bundle(connect_to(course), course, chosen, print, token=token())


# The classroom


def check_command(homeworks: HomeworksOption = HOMEWORKS) -> None:
    """Say what is missing before a course can run, each with its mend."""
    from grading.course import load_course
    from grading.github.organisation import check

    course = load_course(homeworks / "course.yml")
    healthy = True
    for finding in check(connect_to(course), course, releases_of(course)):
        healthy = healthy and finding.healthy is not False
        print(f"{SIGNS[finding.healthy]}  {finding.what}")
        if not finding.healthy:
            print(f"      {finding.mend}")
    if not healthy:
        raise typer.Exit(2)


def assign_command(
    names: NamesArgument = None,
    roster: RosterOption = None,
    again: Annotated[
        list[str] | None,
        typer.Option("--again", metavar="STUDENT", help="Look anew: the repository was deleted or changed."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    store: StoreOption = STORE,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Make each student's (or team's) repository from the template, and let them push.

    Safe to run again at any time: what is there is left alone, and what is missing is made.
    """
    from grading.github.classroom import assign
    from grading.github.store import Store
    from grading.report.terminal import bar

    course, people, teams = course_and_people(homeworks, roster)
    chosen = homeworks_of(course, names)
    with bar("repositories") as progress:
        summary = assign(
            connect_to(course, tell=progress.say),
            course,
            chosen,
            people,
            teams,
            Store(store),
            again=again or (),
            dry_run=dry_run,
            tell=progress.say,
            progress=progress.reach,
        )
    done = [
        f"{counted(summary.created, 'repository', 'repositories')} {'to make' if dry_run else 'made'}",
        f"{summary.taken_over} {'to take over' if dry_run else 'taken over'}",
        f"{counted(summary.added, 'person', 'people')} {'to let in' if dry_run else 'let in'}",
        f"{summary.ready} ready before",
        counted(len(summary.problems), "problem"),
    ]
    print(f"{'dry run: ' if dry_run else ''}{', '.join(done)}")
    raise typer.Exit(summary.exit_code)


def protect_command(homeworks: HomeworksOption = HOMEWORKS) -> None:
    """Keep students from changing the workflow and from rewriting history, where the plan allows it."""
    from grading.course import load_course
    from grading.github.organisation import protect

    course = load_course(homeworks / "course.yml")
    protection = protect(connect_to(course), course)
    for line in protection.lines:
        print(line)
    raise typer.Exit(protection.exit_code)


def status_command(
    names: NamesArgument = None,
    roster: RosterOption = None,
    store: StoreOption = STORE,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Show who has a repository, who pushed, and who is graded."""
    from grading.github.classroom import show_status, status
    from grading.github.store import Store

    course, people, teams = course_and_people(homeworks, roster)
    rows = status(
        connect_to(course, tell=warn), course, homeworks_of(course, names), people, teams, Store(store)
    )
    show_status(rows, course)


# Collecting and grading


def collect_command(
    names: NamesArgument = None,
    roster: RosterOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Ask about every repository, also where nothing was pushed.")
    ] = False,
    store: StoreOption = STORE,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Collect the scores of students' runs, and check them.

    Each is kept with the evidence for it. Running it twice changes nothing, and what was collected is never lost.
    """
    from grading.github.store import Store

    course, people, teams = course_and_people(homeworks, roster)
    kept = Store(store)
    api = connect_to(course, tell=warn)
    summary = collect_now(
        api, course, people, teams, kept, homeworks_of(course, names), everything=everything
    )
    show_collected(summary, api)
    print(how_to_go_on(kept))
    if summary.troubles:
        raise typer.Exit(3)


def fetch_command(
    names: NamesArgument = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every attempt, not only the one that counts and the latest.")
    ] = False,
    store: StoreOption = STORE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Fetch the notebooks of collected attempts.

    They go into the store's `submissions`, to be graded again, read or compared: of each student the attempt that
    counts and the latest. What is there already is not asked for again.
    """
    from grading.course import load_course
    from grading.github.fetch import fetch
    from grading.github.store import Store
    from grading.report.terminal import bar

    course = load_course(homeworks / "course.yml")
    chosen = homeworks_of(course, names)
    with bar("submissions") as progress:
        api = connect_to(course, tell=progress.say)
        done = fetch(
            api,
            course,
            Store(store),
            chosen,
            everything=everything,
            tell=progress.say,
            progress=progress.reach,
        )
    if as_json:
        print(json.dumps(dataclasses.asdict(done), indent=2))
    else:
        print(f"{done.fetched} fetched, {done.known} known before, {len(done.troubles)} not fetched")
    if done.troubles:
        raise typer.Exit(3)


def central_command(
    step: Annotated[
        str,
        typer.Option("--step", metavar="NAME", help="Only collect, grade or publish, for three jobs."),
    ] = "all",
    names: NamesOption = None,
    roster: RosterOption = None,
    store: StoreOption = STORE,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="What one step leaves for the next.")
    ] = Path("scores/.work"),
    everything: Annotated[
        bool, typer.Option("--all", help="Ask about every repository, also where nothing was pushed.")
    ] = False,
    jobs: JobsOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
    unconfined: UnconfinedOption = False,
) -> None:
    """Collect, grade here what is due, and tell students.

    No student's run needs a test or a secret. collect and publish have a token and run no student code; grade runs it,
    in the sandbox, and needs no token.
    """
    from grading.course import load_course
    from grading.github.central import prepare
    from grading.github.store import Store

    if step not in ("all", "collect", "grade", "publish"):
        raise UsageError(f"--step {step}: there is collect, grade and publish; all three without it")
    count, confined = number_of_jobs(jobs), not unconfined
    if step == "grade":  # this job has no roster, and nothing that says what is released
        course = load_course(homeworks / "course.yml")
        named = [course.homework(name).name for name in names or ()]
        if grade_now(course, work, named, count, confined):
            raise typer.Exit(3)
        return
    course, people, teams = course_and_people(homeworks, roster)
    chosen, kept, missed = homeworks_of(course, names), Store(store), 0
    if step in ("all", "collect"):
        api = connect_to(course, tell=warn)
        show_collected(collect_now(api, course, people, teams, kept, chosen, everything=everything), api)
        planned = prepare(api, course, kept, work, chosen, datetime.now(UTC), warn)
        print(f"{counted(len(planned), 'commit')} to grade")
        step_output("planned", len(planned))
    if step == "all":
        missed = grade_now(course, work, chosen, count, confined)
    if step in ("all", "publish"):
        publish_now(course, people, teams, kept, work, chosen)
    if missed:
        raise typer.Exit(3)


def earlier_command(
    homework: Annotated[str, typer.Option("--homework", metavar="NAME", help="Which homework.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the earlier scores go.")],
    repository: Annotated[
        str | None, typer.Option("--repository", metavar="OWNER/NAME", help="GITHUB_REPOSITORY by default.")
    ] = None,
) -> None:
    """In a student's run: fetch what is known of the earlier pushes."""
    from grading.github.connect import connect
    from grading.github.earlier import earlier_attempts

    name = repository or os.environ.get("GITHUB_REPOSITORY", "")
    if "/" not in name:
        raise UsageError("--repository: which one? as OWNER/NAME")
    scores = earlier_attempts(connect(None, tell=warn), name, homework, out, warn)
    print(f"{len(scores)} earlier attempts")


BranchOption = Annotated[
    str, typer.Option("--branch", metavar="NAME", help="The branch of this repository that holds the store.")
]


def open_store_command(store: StoreOption = STORE, branch: BranchOption = "scores") -> None:
    """Fetch the branch into a new directory; without such a branch, an empty one."""
    from grading.github.branch import open_store, remote
    from grading.github.connect import token

    open_store(store, remote(), branch, token(), print)


def save_store_command(store: StoreOption = STORE, branch: BranchOption = "scores") -> None:
    """Push what the directory holds as one commit, unless somebody else has pushed since it was opened."""
    from grading.github.branch import commit_store, remote
    from grading.github.connect import token

    commit_store(store, remote(), branch, token(), "Scores and evidence", print)


# What the commands share


def collect_now(
    api: GitHub,
    course: Course,
    people: Roster,
    teams: Teams,
    store: Store,
    homeworks: list[str],
    *,
    everything: bool,
) -> Summary:
    from grading.github.collect import collect
    from grading.report.terminal import bar

    with bar("repositories") as progress:
        return collect(
            api,
            course,
            people,
            teams,
            releases_of(course),
            store,
            homeworks,
            everything=everything,
            tell=progress.say,
            progress=progress.reach,
        )


def grade_now(course: Course, work: Path, homeworks: list[str], jobs: int, confined: bool) -> int:
    """Says how many commits of these homeworks (without any: of all that are planned) are not graded."""
    from grading.github.central import grade_prepared

    graded, missed = grade_prepared(course, work, jobs=jobs, confined=confined, homeworks=homeworks)
    print(f"{counted(graded, 'commit')} graded, {missed} not")
    return missed


def publish_now(
    course: Course, people: Roster, teams: Teams, store: Store, work: Path, homeworks: list[str]
) -> None:
    """Records what was graded before anything is sent: what could not be sent is, the next time, from the store."""
    import shutil

    from grading.github.central import publish, record_scores

    kept = record_scores(store, work, warn) if (work / "plan.json").exists() else 0
    api = connect_to(course)
    show_collected(collect_now(api, course, people, teams, store, homeworks, everything=False), api)
    records = [record for record in store.records() if record.homework in homeworks]
    published = publish(api, course, store, records, warn)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{counted(kept, 'commit')} graded here, {published.told} told to students")
    print(how_to_go_on(store))
    if published.failed:
        raise typer.Exit(3)


def show_collected(summary: Summary, api: GitHub) -> None:
    print(
        f"{counted(summary.repositories, 'repository', 'repositories')}, {summary.asked} with news "
        f"({counted(api.client.requests, 'request')}, {api.client.unchanged} answered from what was known)"
    )
    print(
        f"{summary.verified} verified, {summary.unverified} unverified, {summary.missing} missing; "
        f"{len(summary.not_submitted)} not handed in, {len(summary.without_repository)} without a repository"
    )
    for line in summary.mismatches:
        print(line)


def how_to_go_on(store: Store) -> str:
    return f"into the gradebook: grading ingest {shlex.quote(str(store.directory))}"


def counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def step_output(name: str, value: object) -> None:
    """An output of a workflow's step, where there is one."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")


def connect_to(course: Course, tell: Callable[[str], None] = warn) -> GitHub:
    from grading.github.connect import connect
    from grading.release import settings_of

    return connect(settings_of(course), cache=answers_directory(), tell=tell)


def answers_directory() -> Path:
    """Where GitHub's answers are kept between commands."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "grading" / "github"


def releases_of(course: Course) -> Releases:
    from grading.release import read_releases

    return read_releases(course.directory / "releases.jsonl")


def homeworks_of(course: Course, names: list[str] | None) -> list[str]:
    """Those named, else those released, in the course's order. Raises UsageError."""
    if names:
        return [course.homework(name).name for name in dict.fromkeys(names)]
    released = set(releases_of(course).released)
    released |= {line.homework for line in releases_of(course).templates}
    chosen = [homework.name for homework in course.homeworks if homework.name in released]
    if not chosen:
        raise UsageError("no homework is released yet: `grading release HOMEWORK --push` first, or name one")
    return chosen
