"""Two tables of grades, compared: who has other points, another total or another grade, and by how much. Pure.

Says what differs and nothing of why; two ways to come to the same points are no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from grading.gradebook.table import GradeTable, StudentGrade
from grading.roster import Person


@dataclass(frozen=True, slots=True)
class StudentChange:
    """A student who is on one roster only, or for whom something differs.

    `homeworks` and `components` name what differs, `difference` is that of the totals: None unless both are known.
    """

    person: Person
    before: StudentGrade | None
    after: StudentGrade | None
    homeworks: tuple[str, ...]
    components: tuple[str, ...]
    difference: Fraction | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Of the students on either roster. `mean_difference` is of those who change and whose totals are both known."""

    students: int
    changed: int
    up: int
    down: int
    mean_difference: Fraction | None
    grades: int
    """Who has another grade of the scale, on both rosters."""
    known: int
    """Totals that become known."""
    unknown: int
    joined: int
    left: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Who changes, in the order of the later table and then, of those no longer in it, of the earlier one."""

    students: tuple[StudentChange, ...]
    counts: Counts
    new_homeworks: tuple[str, ...]
    gone_homeworks: tuple[str, ...]


def compare(before: GradeTable, after: GradeTable) -> Comparison:
    """What differs between two tables of one course. A student is found by the login, in any case."""
    earlier, later = _by_login(before), _by_login(after)
    everyone = dict.fromkeys([*later, *earlier])
    changes = [_change(earlier.get(login), later.get(login)) for login in everyone]
    found = tuple(change for change in changes if change is not None)
    return Comparison(
        students=found,
        counts=_counts(found, len(everyone)),
        new_homeworks=tuple(name for name in after.homeworks if name not in before.homeworks),
        gone_homeworks=tuple(name for name in before.homeworks if name not in after.homeworks),
    )


def _by_login(table: GradeTable) -> dict[str, StudentGrade]:
    return {student.person.username.casefold(): student for student in table.students}


def _change(before: StudentGrade | None, after: StudentGrade | None) -> StudentChange | None:
    there = after or before
    assert there is not None
    change = StudentChange(
        person=there.person,
        before=before,
        after=after,
        homeworks=_differing(_homeworks(before), _homeworks(after)),
        components=_differing(_components(before), _components(after)),
        difference=_difference(before, after),
    )
    same = (
        before is not None
        and after is not None
        and (before.total, before.grade) == (after.total, after.grade)
    )
    return None if same and not change.homeworks and not change.components else change


def _homeworks(student: StudentGrade | None) -> dict[str, object]:
    """What each came to; what was never handed in is as good as what is not in the course."""
    return {
        grade.homework: None if grade.state == "missing" else (grade.state, grade.points, grade.course_points)
        for grade in (student.homeworks if student is not None else ())
    }


def _components(student: StudentGrade | None) -> Mapping[str, object]:
    return student.components if student is not None else {}


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    names = dict.fromkeys([*after, *before])
    return tuple(name for name in names if before.get(name) != after.get(name))


def _difference(before: StudentGrade | None, after: StudentGrade | None) -> Fraction | None:
    if before is None or after is None or before.total is None or after.total is None:
        return None
    return after.total - before.total


def _counts(changes: Sequence[StudentChange], students: int) -> Counts:
    differences = [change.difference for change in changes if change.difference is not None]
    both = [(one.before, one.after) for one in changes if one.before is not None and one.after is not None]
    return Counts(
        students=students,
        changed=len(changes),
        up=sum(difference > 0 for difference in differences),
        down=sum(difference < 0 for difference in differences),
        mean_difference=sum(differences, Fraction()) / len(differences) if differences else None,
        grades=sum(before.grade != after.grade for before, after in both),
        known=sum(before.total is None and after.total is not None for before, after in both),
        unknown=sum(before.total is not None and after.total is None for before, after in both),
        joined=sum(change.before is None for change in changes),
        left=sum(change.after is None for change in changes),
    )
