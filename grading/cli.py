"""The command line. Each command imports what it uses, when it is used: `--help` loads neither torch nor pytest.

Exit codes: 0 graded, 1 below the course's pass mark (in a student's run), 2 the input or the configuration is wrong,
3 we failed.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from grading.errors import GradingError, NotebookError, UsageError
from grading.github import commands as github
from grading.gradebook import commands as gradebook
from grading.gradebook import explain, regrade_commands
from grading.options import (
    HOMEWORKS,
    HomeworksOption,
    JobsOption,
    UnconfinedOption,
    load_homework_named,
    number_of_jobs,
)
from grading.report import review_commands, site_commands
from grading.similar import commands as similar

if TYPE_CHECKING:
    from grading.check import Seeds
    from grading.course import Course
    from grading.grade import Graded, Submission
    from grading.homework import Homework
    from grading.score import Score

# The base of all that typer says of a command line; it has no public name.
NotUnderstood: type[typer.BadParameter] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    help="Grades deep-learning homeworks: hidden tests in a trusted judge, student code in a sandbox.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.command("grade")
def grade_command(
    notebooks: Annotated[
        list[Path] | None,
        typer.Argument(metavar="NOTEBOOK", help="The notebooks to grade.", show_default=False),
    ] = None,
    homework: Annotated[
        str, typer.Option("--homework", metavar="NAME", help="Which homework they are of.")
    ] = "",
    student: Annotated[
        str | None, typer.Option("--student", metavar="LOGIN", help="Whose it is; else the file's name says.")
    ] = None,
    submitted_at: Annotated[
        str | None,
        typer.Option("--submitted-at", metavar="ISO", help="When, with a zone: 2026-11-02T10:00:00+01:00."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE|DIR", help="Where the score goes (.json), or a directory."),
    ] = None,
    repo: Annotated[
        Path | None,
        typer.Option("--repo", metavar="DIR", help="Grade a checkout; its notebook is looked for."),
    ] = None,
    event: Annotated[
        Path | None,
        typer.Option("--event", metavar="FILE", help="GitHub's event file: student, commit and time."),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option("--summary", metavar="FILE", help="Append a summary in Markdown to this file."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE|DIR", help="Write the student's page (.html), or one each."),
    ] = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            "--earlier", metavar="FILE", help="For summary and page: what `grading earlier` wrote, if it did."
        ),
    ] = None,
    annotate: Annotated[
        bool,
        typer.Option("--annotate", help="Print what GitHub shall show beside the notebook; with --repo."),
    ] = False,
    formats: Annotated[
        Path | None,
        typer.Option(
            "--formats",
            metavar="DIR",
            help="Also write what Gradescope reads, and with --event Classroom 50.",
        ),
    ] = None,
    jobs: JobsOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
    unconfined: UnconfinedOption = False,
) -> None:
    """Grade notebooks: points a task, what to mend, the late penalty.

    Many notebooks in one call share the warm processes. The student of a notebook is its file name, or the name
    of its directory where the file is called like the homework's.
    """
    from grading.course import load_course

    paths = notebooks or []
    if bool(paths) == (repo is not None):
        raise UsageError("give notebooks to grade, or --repo DIR for one checkout (and not both)")
    if student is not None and len(paths) > 1:
        raise UsageError(
            f"--student {student}: names one student, but there are {len(paths)} notebooks; leave it out"
        )
    if event is not None and repo is None:
        raise UsageError("--event: describes one checkout; give it with --repo DIR")
    if annotate and repo is None:
        raise UsageError("--annotate: is for one checkout; give it with --repo DIR")
    if formats is not None and len(paths) > 1:
        raise UsageError(f"--formats {formats}: is for one submission, but there are {len(paths)} notebooks")
    count = number_of_jobs(jobs)
    moment = parse_moment(submitted_at)
    course = load_course(homeworks / "course.yml")
    chosen = load_homework_named(course, homework)
    if repo is not None:
        submissions = [checkout(repo, chosen, student, moment, event)]
    else:
        submissions = [notebook(path, chosen, student, moment) for path in paths]
    targets = output_paths("--out", out, submissions, ".json", "scores")
    pages = output_paths("--report", report, submissions, f"-{chosen.name}.html", "pages")
    if summary is not None:
        writable(summary)
    if formats is not None:
        make_directory(formats, "--formats")
    graded = run_grading(chosen, course, submissions, targets, count, not unconfined, summary, pages, earlier)
    if annotate and repo is not None:
        print_annotations(graded[0].score, chosen, course, repo)
    if any(result.score.state == "error" for result in graded):
        raise typer.Exit(3)
    if formats is not None:
        write_other_formats(graded[0].score, chosen, course, event, formats)
    if event is not None and below_pass_mark(graded[0].score, course):
        raise typer.Exit(1)


@app.command("doctor")
def doctor_command() -> None:
    """Try the sandbox on this machine.

    One line for each thing that it is made of, with the mend for what is missing.
    """
    from grading.doctor import examine

    healthy = True
    for finding in examine():
        healthy = healthy and finding.healthy
        print(f"{'ok  ' if finding.healthy else 'FAIL'}  {finding.what}")
        if not finding.healthy:
            print(f"      {finding.mend}")
    if not healthy:
        raise typer.Exit(3)


@app.command("build")
def build_command(
    name: Annotated[
        str | None, typer.Argument(metavar="HOMEWORK", help="One homework; all without it.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 2 where a starter is out of step.")
    ] = False,
    homeworks: HomeworksOption = HOMEWORKS,
) -> None:
    """Make the starter notebooks from the sources."""
    from grading.build import build
    from grading.report.terminal import bar

    directory = homeworks / name if name else homeworks
    if not directory.is_dir():
        raise UsageError(f"{directory}: no such homework; `ls {homeworks}` shows those there are")
    with bar("building") as progress:
        changed = build(directory, check=check, built=progress.reach)
    for path in changed:
        print(f"{path}: {'out of step with its source; run `grading build`' if check else 'built'}")
    if check and changed:
        raise typer.Exit(2)
    if not changed:
        print("every starter is in step with its source")


@app.command("check")
def check_command(
    name: Annotated[str, typer.Argument(metavar="HOMEWORK", help="The homework to hold to its promises.")],
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Seeds for each variant.")] = 5,
    reference_seeds: Annotated[
        int, typer.Option("--reference-seeds", metavar="N", min=1, help="Seeds for the reference.")
    ] = 30,
    variant: Annotated[
        str, typer.Option("--variant", metavar="TEXT", help="Only variants with this in their name.")
    ] = "",
    full: Annotated[
        bool, typer.Option("--full", help="Every task on every seed, not only the variant's own.")
    ] = False,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Instead, change the reference in small ways, one at a time.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what the student reads of each.")
    ] = False,
    jobs: JobsOption = None,
    homeworks: HomeworksOption = HOMEWORKS,
    unconfined: UnconfinedOption = False,
) -> None:
    """Hold a homework to its promises (for authors).

    Grades its reference, starter and variants, and says which does not get what it should.
    """
    from grading.check import Seeds
    from grading.course import load_course

    course = load_course(homeworks / "course.yml")
    chosen = load_homework_named(course, name)
    count, confined = number_of_jobs(jobs), not unconfined
    if mutants:
        kept = mutants_are_noticed(chosen, course, variant, verbose, jobs=count, confined=confined)
    else:
        number = Seeds(seeds, reference_seeds, everything=full)
        kept = variants_get_what_they_deserve(
            chosen, course, variant, number, verbose, jobs=count, confined=confined
        )
    if not kept:
        raise typer.Exit(2)


def variants_get_what_they_deserve(
    homework: Homework,
    course: Course,
    named: str,
    seeds: Seeds,
    verbose: bool,
    *,
    jobs: int,
    confined: bool,
) -> bool:
    """Grades the variants with `named` in their names, and prints which do not get what they should."""
    from grading.check import Finding, check, feedback, plan
    from grading.report.terminal import bar

    broken = 0

    def done(finding: Finding) -> None:
        nonlocal broken
        broken += bool(finding.problems)
        if verbose and finding.seed == 0:
            points = finding.graded.score.points
            say(f"{float(points) if points is not None else 'error':>6}  {finding.variant.name}")
            if finding.variant.task:
                say(f"        {feedback(finding.graded, finding.variant.task)}")
        for problem in finding.problems:
            say(f"{finding.variant.name}, seed {finding.seed}: {problem}")
        progress.step()

    planned = plan(homework, named, seeds)
    with bar("grading variants", len(planned)) as progress:
        say = partial(progress.say, file=sys.stdout)
        check(homework, course, planned, done, jobs=jobs, confined=confined, full=seeds.everything)
    names = {variant.name for variant, _ in planned}
    print(f"{len(planned)} gradings of {len(names)} variants, {broken} broken promises")
    return not broken


def mutants_are_noticed(
    homework: Homework, course: Course, named: str, verbose: bool, *, jobs: int, confined: bool
) -> bool:
    """Grades the mutants with `named` in their names, and prints those that survive without a reason."""
    from grading.check import check_mutants
    from grading.mutants import Mutant, mutants_of, without_reason
    from grading.report.terminal import bar

    def done(mutant: Mutant, graded: Graded) -> None:
        score = graded.score
        if score.state == "error":
            say(f"{mutant.name}: error: {score.reason}")
        elif verbose and score.points is not None:
            say(f"{float(score.points):>6} of {score.max_points}  {mutant.name}")
        progress.step()

    mutants = [mutant for mutant in mutants_of(homework) if named.lower() in mutant.name.lower()]
    if not mutants:
        raise UsageError(f"{homework.source}: no mutant is called like {named!r}")
    with bar("grading mutants", len(mutants)) as progress:
        say = partial(progress.say, file=sys.stdout)
        survivors = check_mutants(homework, course, mutants, done, jobs=jobs, confined=confined)
    alive = without_reason(homework, survivors, everything=not named)
    for mutant in alive:
        print(f"survives: {mutant.name}")
    killed, equivalent = len(mutants) - len(survivors), len(survivors) - len(alive)
    print(f"{len(mutants)} mutants: {killed} noticed, {equivalent} equivalent, {len(alive)} not noticed")
    return not alive


gradebook.add_commands(app)
regrade_commands.add_commands(app)
explain.add_commands(app)
site_commands.add_commands(app)
review_commands.add_commands(app)
similar.add_commands(app)
github.add_commands(app)


def main() -> None:
    """The entry point: every failure is one line on stderr and an exit code."""
    command = typer.main.get_command(app)
    name_lists(command)
    try:
        leave(command(standalone_mode=False) or 0)
    except NotUnderstood as error:
        words = error.format_message()
        where = error.ctx.command_path if error.ctx is not None else "grading"
        if not sys.argv[1:]:  # no command at all: the words are the help
            print(words, file=sys.stderr)
        else:
            complain(f"{' '.join(words.split()).rstrip('.')}; see {where} --help")
        sys.exit(2)
    except GradingError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        print("grading: interrupted", file=sys.stderr)
        sys.exit(130)


def name_lists(command: Any) -> None:
    """In the help, a list of Python's is no help: what is in it is."""
    for parameter in command.params:
        if parameter.nargs == -1:
            what = {"notebooks": "<file>", "directories": "<directory>"}.get(parameter.name, "<name>")
            parameter.display_type = lambda ctx, what=what: what
    for inner in getattr(command, "commands", {}).values():
        name_lists(inner)


def complain(words: str) -> None:
    """One line on stderr. A name of a student's may stand in it, and in a run stderr goes to the log too."""
    from grading.report.words import inert

    print(f"grading: {inert(' '.join(words.split()))}", file=sys.stderr)


def leave(code: int) -> NoReturn:
    """Ends the process, at once where torch is loaded: Python would take it apart piece by piece, for 0.4 s."""
    if "torch" not in sys.modules:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# What the commands ask of their arguments


def parse_moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--submitted-at {text}: not a time; write it as 2026-11-02T10:00:00+01:00"
        ) from None
    if moment.tzinfo is None:
        raise UsageError(f"--submitted-at {text}: has no zone; add one, as in {text}+00:00 or {text}Z")
    return moment


def notebook(path: Path, homework: Homework, student: str | None, moment: datetime | None) -> Submission:
    from grading.grade import read_submission

    if path.is_dir():
        raise UsageError(f"{path}: is a directory; give a notebook, or --repo {path} for a checkout")
    if student is None:
        named_after_homework = path.name == homework.notebook
        student = path.absolute().parent.name if named_after_homework else path.stem
    source = "given" if moment is not None else None
    return read_submission(path, homework, student=student, submitted_at=moment, time_source=source)


def checkout(
    repo: Path, homework: Homework, student: str | None, moment: datetime | None, event: Path | None
) -> Submission:
    from grading.event import read_event
    from grading.grade import Submission, read_starter, read_submission
    from grading.notebook import find_notebook

    if not repo.is_dir():
        raise UsageError(f"{repo}: no such directory; --repo takes a checkout")
    who = read_event(event) if event is not None else {}
    who |= {"student": student} if student is not None else {}
    who |= (
        {"submitted_at": moment, "time_source": "given", "provisional": False} if moment is not None else {}
    )
    who.setdefault("student", repo.absolute().name)
    try:
        path = find_notebook(repo, homework.notebook, read_starter(homework))
    except NotebookError as error:
        return Submission(None, problem=str(error), **who)
    return read_submission(path, homework, **who)


def output_paths(
    option: str, out: Path | None, submissions: list[Submission], ending: str, what: str
) -> list[Path | None]:
    """One path a submission, checked before anything is graded; a directory is made where there is none."""
    if out is None:
        return [None] * len(submissions)
    if out.suffix and ending.endswith(out.suffix) and not out.is_dir():
        if len(submissions) > 1:
            raise UsageError(f"{option} {out}: is one file for {len(submissions)} {what}; give a directory")
        writable(out)
        return [out]
    make_directory(out, option)
    paths: list[Path | None] = [
        out / f"{file_name(submission.student or 'unknown')}{ending}" for submission in submissions
    ]
    doubled = {path for path in paths if paths.count(path) > 1}
    if doubled:
        names = ", ".join(sorted(path.name.removesuffix(ending) for path in doubled if path))
        raise UsageError(
            f"{option} {out}: two notebooks are of one student ({names}); rename one, or grade them apart"
        )
    for path in paths:
        if path is not None:
            writable(path)
    return paths


def make_directory(path: Path, option: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{option} {path}: cannot be made ({error.strerror}); give another directory"
        ) from None


def file_name(student: str) -> str:
    """A login as a file's name: nothing that a path could mean otherwise."""
    kept = "".join(letter if letter.isalnum() or letter in "-_. " else "_" for letter in student).strip()
    return kept.lstrip(".")[:100] or "unknown"


def writable(path: Path) -> None:
    """Raises UsageError where the file could not be written; leaves nothing behind."""
    directory = path.absolute().parent
    if not directory.is_dir():
        raise UsageError(f"{path}: its directory does not exist; make it, or give another path")
    if path.is_dir() or not os.access(path if path.exists() else directory, os.W_OK):
        raise UsageError(f"{path}: cannot be written; give a file in a directory that you may write to")


def run_grading(
    homework: Homework,
    course: Course,
    submissions: list[Submission],
    targets: list[Path | None],
    jobs: int,
    confined: bool,
    summary: Path | None,
    pages: list[Path | None],
    earlier: Path | None,
) -> list[Graded]:
    """Grades, writes each score and what is said of it as soon as it is there, and shows what came out."""
    from rich.console import Console

    from grading.grade import grade
    from grading.report.feedback import feedback
    from grading.report.markdown import in_markdown
    from grading.report.terminal import bar, class_table, show_score
    from grading.score_file import write_score

    attempts = None
    settings: dict[str, Any] = {"counts": course.counts, "zone": course.zone, "late": course.late}
    if any(pages):
        from grading.report.student_page import write_student_page
    if earlier is not None:
        from grading.github.earlier import read_earlier

        attempts = read_earlier(earlier)
    results: dict[int, Graded] = {}
    with bar("grading", len(submissions)) as progress:

        def done(number: int, graded: Graded) -> None:
            results[number] = graded
            target = targets[number]
            if target is not None:
                write_score(target, graded.score)
            notebook = graded.submission.notebook
            cells = notebook.cells if notebook is not None else ()
            told = feedback(graded.score, homework, attempts, cells=cells, **settings)
            if summary is not None:
                with summary.open("a", encoding="utf-8") as file:
                    file.write(in_markdown(told))
            page = pages[number]
            if page is not None:
                write_student_page(page, told)
            progress.step()

        grade(homework, course, submissions, done, jobs=min(jobs, len(submissions)), confined=confined)
    graded = [results[number] for number in sorted(results)]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    if len(graded) == 1:
        show_score(console, graded[0].score, homework)
    else:
        console.print(class_table([result.score for result in graded]))
        if targets[0] is not None:
            console.print(f"Each score, with what to mend, is in {targets[0].parent}.")
        if pages[0] is not None:
            console.print(f"Each student's page is in {pages[0].parent}.")
    if not confined:
        console.print("Graded without a sandbox: these scores are marked and do not count.")
    return graded


def print_annotations(score: Score, homework: Homework, course: Course, repo: Path) -> None:
    """Workflow commands, each on a line of its own: what GitHub shows beside the notebook in the checkout."""
    from grading.grade import read_starter
    from grading.notebook import MAX_BYTES, find_notebook
    from grading.report.annotations import annotations
    from grading.student_file import FileProblem, read_student_file

    name, content = None, b""
    if score.state == "graded":
        try:
            path = find_notebook(repo, homework.notebook, read_starter(homework))
            name, content = str(path.relative_to(repo)), read_student_file(path, MAX_BYTES)
        except (NotebookError, UsageError, FileProblem):
            pass  # what is wrong with it stands in the score
    mark = course.github.pass_mark if course.github is not None else None
    for line in annotations(score, homework, name, content, mark):
        print(line)


def write_other_formats(
    score: Score, homework: Homework, course: Course, event: Path | None, directory: Path
) -> None:
    """Classroom 50 asks whose commit it is and when, which only a push's event says."""
    from grading.event import pusher
    from grading.export.formats import Format, write_formats

    if event is None:
        only: tuple[Format, ...] = ("gradescope",)
        write_formats(score, homework, directory, only=only, zone=course.zone)
        return
    login, github_id = pusher(event)
    classroom = course.github.organisation if course.github is not None else course.name
    write_formats(
        score,
        homework,
        directory,
        course_name=classroom,
        login=login,
        github_id=github_id,
        environment=os.environ,
        zone=course.zone,
    )


def below_pass_mark(score: Score, course: Course) -> bool:
    from grading.report.annotations import below

    return course.github is not None and below(score, course.github.pass_mark)


if __name__ == "__main__":
    main()
