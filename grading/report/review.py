"""The pages on which somebody goes through a class: one a submission, its notebook beside the verdicts, and a list.

What a page can do beyond being read is in `templates/review.js`. Nothing here is graded or recorded: a page only
prints what a person may put into reviews.yml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup, escape

from grading.atomic import write_atomically
from grading.course import Course
from grading.errors import GradingError, NotebookError, UsageError
from grading.gradebook.rules import Rules
from grading.homework import TOTAL_POINTS, Homework
from grading.notebook import MAX_BYTES, read_notebook
from grading.report.feedback import Feedback, TaskFeedback, feedback
from grading.report.handed_in import HandedIn, Only, Tried, Who
from grading.report.notebook_page import NotebookView, lay_out, texts
from grading.report.pages import TEMPLATES, inert, render
from grading.report.words import error_reason
from grading.roster import Person
from grading.student_file import FileProblem, read_student_file

INDEX = "index.html"
MOST_FINDINGS = 12  # of one task, and reasons of one finding
MOST_WORDS = 1_000  # of one message

SAYS = {
    "counting": "The submissions that count, and the latest where none does.",
    "latest": "The latest submission of each student.",
    "all": "All submissions.",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One submission in the list. `lost`: the places of the tasks that have not all their points."""

    file: str
    who: str
    people: tuple[Person, ...]
    points: Fraction | None
    max_points: Fraction
    final: Fraction | None
    late: str
    shares: tuple[tuple[str, Fraction | None, Fraction], ...]
    marks: tuple[tuple[str, str], ...]
    submitted: float

    @property
    def lost(self) -> list[int]:
        return [i for i, (_, points, most) in enumerate(self.shares) if points != most]


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task's verdicts. `places`: each code cell that defines names of its, and which; None where none does."""

    told: TaskFeedback
    places: tuple[tuple[int | None, tuple[str, ...]], ...]
    findings: tuple[tuple[Markup, tuple[Markup, ...]], ...]
    left_out: int


class Review:
    """All pages of one homework. Raises UsageError where one cannot be written."""

    def __init__(
        self,
        course: Course,
        homework: Homework,
        rules: Rules,
        found: Sequence[HandedIn],
        nothing: Sequence[Person],
        only: Only,
    ) -> None:
        self.course = course
        self.homework = homework
        self.rules = rules
        self.found = found
        self.nothing = nothing
        self.only = only
        self.lines = [_line(one, homework) for one in found]

    def write(self, out: Path, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """The list comes last, so that it names no page that is not there yet."""
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{out}: cannot be made: {error.strerror}; choose another place") from error
        for place, one in enumerate(self.found):
            progress(place, len(self.found))
            write_atomically(out / one.file, self.page(place).encode())
        write_atomically(out / INDEX, self.index().encode())
        progress(len(self.found), len(self.found))

    def page(self, place: int) -> str:
        one = self.found[place]
        view, problem = self._notebook(one)
        told = feedback(one.tried.score, self.homework) if one.tried else None
        names = [self.lines[i].file if 0 <= i < len(self.found) else None for i in (place - 1, place + 1)]
        own = {
            "file": one.file,
            "who": one.who.key,
            "points": _points_now(one),
            "unsure": any(grade.state == "error" for _, grade in one.grades),
            "most": float(one.tried.score.max_points) if one.tried else TOTAL_POINTS,
        }
        return render(
            "review.html.j2",
            script=_script(),
            shared=self._shared,
            own=own,
            course=self.course,
            homework=self.homework,
            one=one,
            line=self.lines[place],
            place=place,
            number=len(self.found),
            previous=names[0],
            next=names[1],
            notes=_notes(one, told),
            tasks=_tasks(told, self.homework, view),
            view=view,
            problem=problem,
            choices=_choices(one.who),
            zone=self.course.zone,
        )

    def index(self) -> str:
        return render(
            "review_index.html.j2",
            script=_script(),
            shared=self._shared,
            own={"recorded": self._recorded()},
            course=self.course,
            homework=self.homework,
            lines=self.lines,
            nothing=self.nothing,
            says=SAYS[self.only],
        )

    @cached_property
    def _shared(self) -> Markup:
        """What each page knows of all of them, so that next and previous go within what was filtered."""
        listed = [
            [
                line.file,
                " ".join([line.who, *(f"{one.first_name} {one.last_name}" for one in line.people)]),
                None if line.points is None else float(line.points),
                line.lost,
                bool(line.late),
                bool(line.marks),
                line.submitted,
                line.who.casefold(),
            ]
            for line in self.lines
        ]
        about = {
            "course": self.course.name,
            "homework": self.homework.name,
            "most": TOTAL_POINTS,
            "tasks": [task.id for task in self.homework.tasks],
            "pages": listed,
        }
        return htmlsafe_json_dumps(about, separators=(",", ":"))

    @cached_property
    def _starter(self) -> frozenset[str]:
        try:
            return texts(self.homework.starter.read_bytes())
        except (OSError, NotebookError):
            return frozenset()  # not built yet: every cell is shown as the student's

    def _notebook(self, one: HandedIn) -> tuple[NotebookView, str]:
        """The notebook laid out, or in words why it is not."""
        if one.stored is None:
            return NotebookView(), "The notebook is not among the submissions that were given."
        names = [name for task in self.homework.tasks for name in task.names]
        try:
            data = read_student_file(one.stored.path, MAX_BYTES)
            return lay_out(data, starter=self._starter, names=names), ""
        except NotebookError as error:
            return NotebookView(), f"The file cannot be read as a notebook: {error}"
        except FileProblem:
            return NotebookView(), f"The file cannot be read as a notebook: {_what_is_wrong(one.stored.path)}"

    def _recorded(self) -> dict[str, list[int]]:
        """When reviews were made that stand in reviews.yml already, by whom they are about."""
        return {
            one.who.key: sorted(
                {
                    round(review.at.timestamp() * 1000)
                    for person in one.who.people
                    for review in self.rules.reviews.get((person.username.casefold(), self.homework.name), ())
                }
            )
            for one in self.found
        }


def _script() -> Markup:
    return Markup((TEMPLATES / "review.js").read_text(encoding="utf-8"))


def _what_is_wrong(path: Path) -> str:
    try:
        read_notebook(path)
    except GradingError as error:
        return str(error)
    return "it has changed just now; run this again"


# A submission in the list


def _line(one: HandedIn, homework: Homework) -> Line:
    score = one.tried.score if one.tried else None
    scored = {task.id: task for task in score.tasks} if score else {}
    finals = {grade.points for _, grade in one.grades}
    submitted = score.submitted_at if score else None
    return Line(
        file=one.file,
        who=one.who.name,
        people=one.who.people,
        points=score.points if score else None,
        max_points=score.max_points if score else Fraction(TOTAL_POINTS),
        final=finals.pop() if len(finals) == 1 and _counts(one) else None,
        late=_late(one.tried) if one.tried else "",
        shares=tuple(
            (task.title, scored[task.id].points, scored[task.id].max_points)
            if task.id in scored
            else (task.title, None, Fraction(task.points))
            for task in homework.tasks
        ),
        marks=tuple(_marks(one)),
        submitted=submitted.timestamp() if submitted else 0,
    )


def _counts(one: HandedIn) -> bool:
    return one.tried is not None and bool(one.tried.counts)


def _marks(one: HandedIn) -> list[tuple[str, str]]:
    """A few words each for what is unusual, and how bad it is; `_notes` says more."""
    if one.tried is None:
        return [("warn", "not graded")]
    score, marks = one.tried.score, []
    if score.state == "error":
        marks.append(("bad", "could not be judged"))
    if not one.tried.verified:
        marks.append(("bad", "unverified"))
    if not score.confined:
        marks.append(("bad", "no sandbox"))
    if one.tried.mark.flags:
        marks.append(("warn", "flagged"))
    if one.other:
        marks.append(("warn", "another notebook"))
    if not one.who.people:
        marks.append(("warn", "not on the roster"))
    return marks


def _late(tried: Tried) -> str:
    if not tried.days_late:
        return ""
    return "1 day late" if tried.days_late == 1 else f"{tried.days_late} days late"


# A submission on its page


def _points_now(one: HandedIn) -> float | None:
    """What the homework is worth to them now, where that is the same for all: a review adds to it."""
    now = {grade.points if grade.state == "graded" else Fraction(0) for _, grade in one.grades}
    unsure = any(grade.state in ("error", "excused") for _, grade in one.grades)
    return float(now.pop() or 0) if len(now) == 1 and not unsure else None


def _notes(one: HandedIn, told: Feedback | None) -> list[str]:
    """Sentences on what is unusual about a submission."""
    if one.tried is None:
        return ["This notebook has no score: it was not graded, or it is not the one that was."]
    score = one.tried.score
    notes = []
    if score.state == "error":
        notes.append(f"Not judged, by our fault: {error_reason(score)}.")
    if not one.tried.verified:
        notes.append(
            f"Not verified, so it does not count: {one.tried.mark.doubt or 'nothing is known of its run'}."
        )
    if not score.confined:
        notes.append("Graded without a sandbox, so it does not count.")
    notes += [f"To look at: {flag}." for flag in one.tried.mark.flags]
    if one.other:
        notes.append("The notebook below is not the one that has this score.")
    if not one.who.people:
        notes.append("Nobody of this name is on the roster, so that there can be no review.")
    elif not one.tried.counts and any(tried.counts for tried, _ in one.history):
        notes.append("Another attempt counts; a review holds for the homework, whichever does.")
    if told is not None and told.everywhere:
        notes.append(f"Every test says: {told.everywhere}")
    return [note[:MOST_WORDS] for note in notes]


def _tasks(told: Feedback | None, homework: Homework, view: NotebookView) -> list[TaskLine]:
    numbers = frozenset(cell.number for cell in view.cells if cell.number is not None)
    return [
        TaskLine(
            task,
            _places(homework.task(task.id).names, view),
            tuple(
                (
                    linked(found.what, numbers),
                    tuple(linked(one.words, numbers) for one in found.reasons[:MOST_FINDINGS] if one.words),
                )
                for found in task.findings[:MOST_FINDINGS]
            ),
            max(0, len(task.findings) - MOST_FINDINGS),
        )
        for task in (told.tasks if told else ())
    ]


def _places(names: Sequence[str], view: NotebookView) -> tuple[tuple[int | None, tuple[str, ...]], ...]:
    if not view.cells:
        return ()
    defined = {name: cell.number for cell in view.cells for name in cell.defines}
    cells = dict.fromkeys(defined.get(name) for name in names)
    return tuple((cell, tuple(name for name in names if defined.get(name) == cell)) for cell in cells)


def linked(words: str, cells: frozenset[int]) -> Markup:
    """A message as text, in which a cell that is on the page is a link."""
    shown = inert(words[:MOST_WORDS], newlines=True)
    pieces = re.split(r"\b(cell \d{1,5}(?:, line \d{1,5})?)\b", shown)
    return Markup("").join(_link(piece, cells) if i % 2 else escape(piece) for i, piece in enumerate(pieces))


def _link(words: str, cells: frozenset[int]) -> Markup:
    cell, *line = map(int, re.findall(r"\d+", words))
    if cell not in cells:
        return escape(words)
    return Markup('<a href="#{}">{}</a>').format("-".join(map(str, ["cell", cell, *line])), words)


def _choices(who: Who) -> list[tuple[str, str]]:
    """Whom a review may be about: what a person reads, and kind and name for reviews.yml."""
    people = [(person.username, f"student {person.username}") for person in who.people]
    return [(f"the team {who.name}", f"team {who.name}"), *people] if who.team else people
