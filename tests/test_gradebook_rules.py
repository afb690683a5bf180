"""The rules beside `course.yml`: what each file says, and every slip told in one line with file, line and mend."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.course import Course, load_course
from grading.errors import UsageError
from grading.gradebook.rules import Entered, Extension, Plagiarism, Review, Rules, read_rules
from grading.roster import Roster, read_roster
from grading.teams import Teams, read_teams
from grading.total import Component, GradeFormula, Rounding, result, rounded_to, total, two_decimals

COURSE = """\
name: Deep Learning
timezone: UTC
salt: salt
homeworks:
  - {name: cnn, weight: 4, deadline: 2026-10-04T12:00:00+00:00}
  - {name: nlp, weight: 4, deadline: 2026-11-04T12:00:00+00:00}
  - {name: fun, weight: 0}
grade:
  components:
    - {name: homework, weight: 0.7}
    - {name: exam, weight: 0.3, max: 10}
    - {name: project, weight: 1, max: 8}
    - {name: app, kind: bonus, weight: 1, cap: 2}
"""
HOMEWORK = """\
title: A homework
tasks:
  - {id: conv, title: Convolution, points: 60, names: [conv]}
  - {id: pool, title: Pooling, points: 40, names: [pool]}
"""
RUBRIC = """\
manual:
  - component: project
    rubric:
      - {name: report, levels: {none: 0, fair: 2, good: 3}}
      - {name: code, max: 5}
    grades:
"""
LATER = datetime(2026, 10, 10, 12, tzinfo=UTC)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    for name in ("cnn", "nlp", "fun"):
        (tmp_path / name / "tests").mkdir(parents=True)
        (tmp_path / name / "homework.yml").write_text(HOMEWORK)
        (tmp_path / name / "source.py").touch()
        for task in ("conv", "pool"):
            (tmp_path / name / "tests" / f"test_{task}.py").touch()
    (tmp_path / "course.yml").write_text(COURSE)
    return load_course(tmp_path / "course.yml")


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    (tmp_path / "roster.csv").write_text(
        "username,section,role\nada,A,\nGrace,A,\nbarbara,B,\nprof,,instructor\n"
    )
    return read_roster(tmp_path / "roster.csv")


@pytest.fixture
def teams(tmp_path: Path, roster: Roster, course: Course) -> Teams:
    (tmp_path / "teams.yml").write_text("teams: [{name: owls, members: [ada, grace], homeworks: [cnn]}]\n")
    return read_teams(tmp_path / "teams.yml", roster, course)


@pytest.fixture
def rules(course: Course, roster: Roster, teams: Teams) -> Rules:
    return read_rules(course, roster, teams)


class Written:
    """Writes a file beside the course and reads the rules."""

    def __init__(self, course: Course, roster: Roster, teams: Teams) -> None:
        self.known = course, roster, teams

    def __call__(self, name: str, text: str) -> Rules:
        (self.known[0].directory / name).write_text(text)
        return read_rules(*self.known)

    def told(self, name: str, text: str) -> str:
        """What is said about it, without its path: one line that begins with the line's number."""
        with pytest.raises(UsageError) as caught:
            self(name, text)
        message = str(caught.value)
        assert message.startswith(f"{self.known[0].directory / name}:")
        assert "\n" not in message
        return message.removeprefix(f"{self.known[0].directory / name}:")


@pytest.fixture
def written(course: Course, roster: Roster, teams: Teams) -> Written:
    return Written(course, roster, teams)


def test_without_files_there_are_no_rules(rules: Rules) -> None:
    assert rules == Rules()


# Extensions


def test_of_the_extensions_that_hold_for_a_student_the_latest_counts(written: Written) -> None:
    rules = written(
        "extensions.yml",
        "extensions:\n"
        "  - {everyone: true, homework: nlp, until: 2026-11-10T12:00:00Z, reason: the server was down}\n"
        "  - {student: ADA, homework: all, until: 2026-11-20T12:00:00+00:00, reason: ill}\n"
        "  - {section: A, homework: nlp, until: 2026-11-12T12:00:00Z, reason: an excursion}\n"
        "  - {team: Owls, homework: cnn, until: 2026-10-06T12:00:00Z, reason: one of them ill}\n",
    )

    ill = Extension(datetime(2026, 11, 20, 12, tzinfo=UTC), "ill")
    assert {key: rules.extensions[key] for key in rules.extensions if key[1] != "fun"} == {
        ("ada", "cnn"): ill,
        ("ada", "nlp"): ill,
        ("grace", "nlp"): Extension(datetime(2026, 11, 12, 12, tzinfo=UTC), "an excursion"),
        ("barbara", "nlp"): Extension(datetime(2026, 11, 10, 12, tzinfo=UTC), "the server was down"),
        ("grace", "cnn"): Extension(datetime(2026, 10, 6, 12, tzinfo=UTC), "one of them ill"),
    }


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "{student: ada, homework: cnn, until: 2026-12-01T12:00:00+01:00, reason: r}",
            "2: extensions.0.until: is 11:00 in UTC, got 2026-12-01T12:00:00+01:00; write 2026-12-01T12:00:00+00:00",
        ),
        (
            "{student: adda, homework: cnn, until: LATER, reason: r}",
            '2: extensions.0.student: "adda" is not in ',
        ),
        ("{student: adda, homework: cnn, until: LATER, reason: r}", 'did you mean "ada"?'),
        ("{student: prof, homework: cnn, until: LATER, reason: r}", '"prof" is instructor in '),
        (
            "{student: ada, homework: cn, until: LATER, reason: r}",
            '2: extensions.0.homework: no homework "cn"; did you mean "cnn"?',
        ),
        (
            "{student: ada, homework: fun, until: LATER, reason: r}",
            "2: extensions.0.homework: fun has no deadline",
        ),
        (
            "{student: ada, homework: cnn, until: 2026-10-04T12:00:00Z, reason: r}",
            "2: extensions.0.until: can never apply: the deadline is 2026-10-04T12",
        ),
        (
            "{student: ada, homework: cnn, until: 2026-10-10T12:00:00, reason: r}",
            "2: extensions.0.until: 2026-10-10 12:00:00 has no time zone",
        ),
        ("{student: ada, homework: cnn, until: LATER}", "2: extensions.0.reason: missing; add it"),
        ("{student: ada, homework: cnn, until: LATER, reason: ''}", "2: extensions.0.reason: "),
        (
            "{homework: cnn, until: LATER, reason: r}",
            "2: extensions.0: names nobody; write student, team, section or everyone",
        ),
        (
            "{student: ada, everyone: true, homework: cnn, until: LATER, reason: r}",
            "2: extensions.0: names student and everyone; keep one",
        ),
        (
            "{section: C, homework: cnn, until: LATER, reason: r}",
            '2: extensions.0.section: no student of section "C"',
        ),
        (
            "{team: owl, homework: cnn, until: LATER, reason: r}",
            '2: extensions.0.team: no team "owl" in teams.yml; did you mean "owls"?',
        ),
        (
            "{team: owls, homework: nlp, until: LATER, reason: r}",
            "2: extensions.0.homework: the team owls is none for nlp",
        ),
        (
            "{student: ada, homework: cnn, untill: LATER, reason: r}",
            '2: extensions.0.untill: unknown key; did you mean "until"?',
        ),
    ],
)
def test_a_slip_in_an_extension_is_told_with_its_line(written: Written, rules: str, message: str) -> None:
    text = f"extensions:\n  - {rules}\n".replace("LATER", LATER.isoformat())

    assert message in written.told("extensions.yml", text)


@pytest.mark.parametrize("homework", ["cnn", "all"])
def test_overlapping_extensions_for_one_student_and_homework_are_refused(
    written: Written, homework: str
) -> None:
    text = (
        "extensions:\n"
        "  - {student: ada, homework: cnn, until: 2026-10-10T12:00:00Z, reason: ill}\n"
        f"  - {{student: Ada, homework: {homework}, until: 2026-10-11T12:00:00Z, reason: ill}}\n"
    )

    assert written.told("extensions.yml", text).startswith(
        "3: extensions.1.until: ada has an extension for cnn already, until 2026-10-10T12:00:00+00:00; keep one"
    )


def test_equal_extensions_are_one(written: Written) -> None:
    line = "  - {student: ada, homework: cnn, until: 2026-10-10T12:00:00Z, reason: ill}\n"

    assert written("extensions.yml", f"extensions:\n{line}{line}").extensions == {
        ("ada", "cnn"): Extension(LATER, "ill")
    }


# Reviews


def test_reviews_are_in_the_order_of_their_making(written: Written) -> None:
    rules = written(
        "reviews.yml",
        "reviews:\n"
        "  - {student: ada, homework: cnn, points: -2.5, task: conv, reason: a loop, by: prof,\n"
        "     at: 2026-10-09T12:00:00Z, feedback: Use a matrix product.}\n"
        "  - {team: owls, homework: cnn, set: 60, reason: one function copied, by: prof, at: 2026-10-08T12:00:00Z}\n"
        "  - {student: barbara, homework: nlp, points: +5, bonus: true, reason: an app, by: prof,\n"
        "     at: 2026-10-08T12:00:00Z}\n",
    )

    eighth = datetime(2026, 10, 8, 12, tzinfo=UTC)
    team = Review(Fraction(), Fraction(60), False, None, "one function copied", "", "prof", eighth)
    loop = Review(
        Fraction(-5, 2), None, False, "conv", "a loop", "Use a matrix product.", "prof", eighth.replace(day=9)
    )
    app = Review(Fraction(5), None, True, None, "an app", "", "prof", eighth)
    assert rules.reviews == {
        ("ada", "cnn"): (team, loop),
        ("grace", "cnn"): (team,),
        ("barbara", "nlp"): (app,),
    }


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("student: grase, points: 1", '3: reviews.0.student: "grase" is not in'),
        (
            "student: ada, points: 1, homework: cmn",
            '3: reviews.0.homework: no homework "cmn"; did you mean "cnn"?',
        ),
        ("student: ada, points: 1, homework: all", '3: reviews.0.homework: no homework "all"'),
        (
            "student: ada, points: 1, task: conw",
            '3: reviews.0.task: no task "conw" in cnn; did you mean "conv"?',
        ),
        ("student: ada", "2: reviews.0: write points, as in -5 or +5, or set"),
        ("student: ada, points: 1, set: 2", "2: reviews.0: write points, as in -5 or +5, or set"),
        ("student: ada, points: 0", "3: reviews.0.points: 0 points change nothing"),
        ("student: ada, points: much", '3: reviews.0.points: should be a number, got "much"'),
        ("student: ada, set: -1", "3: reviews.0.set: should be greater than or equal to 0"),
        ("student: ada, set: 101", "3: reviews.0.set: is above the homework's 100 points; add bonus: true"),
        ("student: ada, set: 5, task: conv", "3: reviews.0.task: set is for a whole homework"),
        ("student: ada, team: owls, points: 1", "2: reviews.0: names student and team; keep one"),
        ("team: owls, points: 1, homework: nlp", "3: reviews.0.homework: the team owls is none for nlp"),
        ("section: A, points: 1", "3: reviews.0.section: unknown key"),
    ],
)
def test_a_slip_in_a_review_is_told_with_its_line(written: Written, rule: str, message: str) -> None:
    homework = "" if "homework" in rule else ", homework: cnn"
    text = f"reviews:\n  - {{reason: r, by: prof, at: 2026-10-08T12:00:00Z,\n     {rule}{homework}}}\n"

    assert written.told("reviews.yml", text).startswith(message)


def test_a_review_that_stands_twice_is_not_taken_twice(written: Written) -> None:
    line = "  - {student: ada, homework: cnn, points: -5, reason: r, by: prof, at: 2026-10-08T12:00:00Z}\n"

    assert written.told("reviews.yml", f"reviews:\n{line}{line}").startswith(
        "3: reviews.1: the same review stands above already"
    )


# Excused, plagiarism


def test_who_is_excused_and_whose_work_was_copied(written: Written) -> None:
    written("excused.yml", "excused:\n  - {section: A, homework: nlp, reason: no room}\n")
    rules = written(
        "plagiarism.yml",
        "plagiarism:\n  - {student: GRACE, homework: cnn, reason: copied from a blog}\n"
        "  - {student: grace, homework: nlp, reason: copied from ada}\n",
    )

    assert rules.excused == {("ada", "nlp"): "no room", ("grace", "nlp"): "no room"}
    assert rules.plagiarism == {
        "grace": (Plagiarism("cnn", "copied from a blog"), Plagiarism("nlp", "copied from ada"))
    }


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "excused.yml",
            "excused:\n  - {student: bab, homework: cnn, reason: r}\n",
            '2: excused.0.student: "bab" is not in',
        ),
        (
            "excused.yml",
            "excused:\n  - {student: ada, homework: nnn, reason: r}\n",
            '2: excused.0.homework: no homework "nnn"',
        ),
        ("excused.yml", "", "1: the file is empty"),
        ("excused.yml", "excuses: []\n", '1: excuses: unknown key; did you mean "excused"?'),
        (
            "plagiarism.yml",
            "plagiarism:\n  - {student: eve, homework: cnn, reason: r}\n",
            '2: plagiarism.0.student: "eve" is not in',
        ),
        (
            "plagiarism.yml",
            "plagiarism:\n  - {student: ada, homework: dnn, reason: r}\n",
            '2: plagiarism.0.homework: no homework "dnn"',
        ),
        (
            "plagiarism.yml",
            "plagiarism:\n  - {student: ada, reason: r}\n",
            "2: plagiarism.0.homework: missing; add it",
        ),
        ("plagiarism.yml", "plagiarism: [\n", "2: not valid YAML"),
    ],
)
def test_a_slip_is_told_with_its_line(written: Written, file: str, text: str, message: str) -> None:
    assert written.told(file, text).startswith(message)


# By hand


def test_points_and_rubrics_are_entered_by_hand(written: Written) -> None:
    rules = written(
        "manual.yml",
        RUBRIC + "      - {team: owls, criteria: {report: good, code: 4.5}, feedback: Clear.}\n"
        "      - {student: barbara, points: 6}\n"
        "  - component: exam\n    grades: [{student: Ada, points: 8.25}]\n"
        "  - {component: app, grades: []}\n",
    )

    owls = Entered(Fraction(15, 2), ("report: good, 3.00", "code: 4.50 of 5.00"), "Clear.")
    assert rules.manual == {
        "project": {"ada": owls, "grace": owls, "barbara": Entered(Fraction(6))},
        "exam": {"ada": Entered(Fraction(33, 4))},
        "app": {},
    }


def test_levels_may_be_numbers(written: Written) -> None:
    rules = written(
        "manual.yml",
        "manual:\n  - component: project\n    rubric: [{name: all of it, levels: {3: 3, 4: 4, 5: 5}}]\n"
        "    grades: [{student: ada, criteria: {all of it: 4}}]\n",
    )

    assert rules.manual["project"]["ada"] == Entered(Fraction(4), ("all of it: 4, 4.00",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "manual:\n  - {component: exams, grades: []}\n",
            '2: manual.0.component: no component "exams" under grade in',
        ),
        (
            "manual:\n  - {component: homework, grades: []}\n",
            "2: manual.0.component: homework is the sum of homeworks",
        ),
        (
            "manual:\n  - {component: exam, grades: []}\n  - {component: exam, grades: []}\n",
            "3: manual.1.component: exam stands above already",
        ),
        (
            "manual:\n  - {component: exam, grades: [{student: ada, points: 11}]}\n",
            "2: manual.0.grades.0.points: exam has at most 10.00",
        ),
        (
            "manual:\n  - {component: exam, grades: [{student: ada, points: -1}]}\n",
            "2: manual.0.grades.0.points: should be greater",
        ),
        (
            "manual:\n  - {component: exam, grades: [{student: eda, points: 1}]}\n",
            '2: manual.0.grades.0.student: "eda" is not in',
        ),
        (
            "manual:\n  - {component: exam, grades: [{student: ada}]}\n",
            "2: manual.0.grades.0: write points, or criteria",
        ),
        (
            "manual:\n  - {component: exam, grades: [{student: ada, criteria: {a: 1}}]}\n",
            "2: manual.0.grades.0.criteria.a: no criterion in the rubric",
        ),
        (
            "manual:\n  - {component: exam, grades: [{student: ada, points: 1},\n    {team: owls, points: 2}]}\n",
            "3: manual.0.grades.1: ada has a grade for exam already",
        ),
        (
            RUBRIC.replace("max: 5", "max: 6") + "      []\n",
            "3: manual.0.rubric: adds up to 9.00 where project has 8.00",
        ),
        (
            RUBRIC.replace("code, max", "report, max") + "      []\n",
            '5: manual.0.rubric.1.name: a second criterion "report"',
        ),
        (RUBRIC.replace(", max: 5", "") + "      []\n", "5: manual.0.rubric.1: write max, or levels"),
        (
            RUBRIC + "      - {student: ada, criteria: {report: good}}\n",
            '7: manual.0.grades.0.criteria: says nothing of "code"',
        ),
        (
            RUBRIC + "      - {student: ada, criteria: {report: great, code: 1}}\n",
            '7: manual.0.grades.0.criteria.report: should be one of the levels none, fair, good, got "great"',
        ),
        (
            RUBRIC + "      - {student: ada, criteria: {report: good, code: 6}}\n",
            "7: manual.0.grades.0.criteria.code: should be 0 to 5.00, got 6.00",
        ),
        (
            RUBRIC + "      - {student: ada, criteria: {report: good, code: good}}\n",
            '7: manual.0.grades.0.criteria.code: should be 0 to 5.00, got "good"',
        ),
        (
            RUBRIC + "      - {student: ada, criteria: {report: good, cod: 1}}\n",
            '7: manual.0.grades.0.criteria.cod: no criterion in the rubric; did you mean "code"?',
        ),
    ],
)
def test_a_slip_in_what_is_entered_is_told_with_its_line(written: Written, text: str, message: str) -> None:
    assert written.told("manual.yml", text).startswith(message)


# The formula in course.yml


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "weight: 0.7}",
            "weight: 0.7, homeworks: [cnn, npl]}",
            '10: grade.components.0.homeworks.1: no homework "npl"; did you mean "nlp"?',
        ),
        (
            "weight: 0.7}",
            "weight: 0.7, homeworks: [cnn]}",
            "6: homeworks.1.weight: nlp counts in no component under grade",
        ),
        (
            "name: app,",
            "name: app, homeworks: [cnn],",
            "13: grade.components.3.homeworks: is of a sum of homeworks, and this is kind bonus",
        ),
        (
            "max: 10}",
            "best: 2}",
            "11: grade.components.1.best: is of a sum of homeworks, and this is kind manual",
        ),
        ("weight: 0.7}", "weight: 0.7, max: 8}", "10: grade.components.0.max: is of what is entered by hand"),
        (
            "weight: 0.7}",
            "weight: 0.7, best: 4}",
            "10: grade.components.0.best: 2 homeworks weigh something in it, so 4 is too many",
        ),
        (
            "weight: 0.7}",
            "weight: 0.7, drop_lowest: 2}",
            "10: grade.components.0.drop_lowest: 2 homeworks weigh something in it",
        ),
        (
            "weight: 0.7}",
            "weight: 0.7, drop_lowest: 1, best: 2}",
            "10: grade.components.0.drop_lowest: says the same as best",
        ),
        (
            "name: exam, weight: 0.3, max: 10",
            "name: exam, weight: 0.3, kind: homework",
            "5: homeworks.0.name: cnn counts in homework and in exam",
        ),
        (
            "max: 10}",
            "max: 10, pass_mark: 11}",
            "11: grade.components.1.pass_mark: can never be reached: exam is at most 10",
        ),
        ("cap: 2}", "cap: 2, pass_mark: 1}", "13: grade.components.3.pass_mark: a bonus is not for passing"),
        (
            "cap: 2}\n",
            "cap: 2}\n  out_of: 16\n",
            "14: grade.out_of: weights and maxima add up to 16.6, not 16",
        ),
        (
            "max: 8}\n",
            "cap: 8}\n  waivers: [{component: project, at_least: 9, weight: 1}]\n",
            "13: grade.waivers.0.at_least: can never apply: project is at most 8",
        ),
        (", max: 10}", "}\n  out_of: 10\n", "12: grade.out_of: exam has no max to add up; give it one"),
        (
            "cap: 2}\n",
            "cap: 2}\n  scale: [{grade: A, at_least: 5},\n    {grade: B, at_least: 5}]\n",
            "15: grade.scale.1.at_least: should be below A's 5; write the scale from the top down",
        ),
        (
            "cap: 2}\n",
            "cap: 2}\n  scale: [{grade: A, at_least: 5},\n    {grade: A, at_least: 4}]\n",
            '15: grade.scale.1.grade: a second grade "A"',
        ),
        (
            "cap: 2}\n",
            "cap: 2}\n  pass_mark: 3\n  scale: [{grade: A, at_least: 5}]\n",
            "15: grade.scale.0.at_least: who misses a pass mark has the last grade; let it begin at 0",
        ),
        (
            "cap: 2}\n",
            "cap: 2}\n  pass_mark: 3\n  cap: 2\n",
            "14: grade.pass_mark: can never be reached: the cap is 2",
        ),
        ("cap: 2}\n", "cap: 2}\n  rounding: {to: 0}\n", "14: grade.rounding.to: should be greater than 0"),
        (
            "cap: 2}\n",
            "cap: 2}\n  rounding: {to: 0.5, half: over}\n",
            "14: grade.rounding.half: should be 'up', 'down' or 'even'",
        ),
    ],
)
def test_a_formula_that_cannot_be_meant_is_refused(
    tmp_path: Path, course: Course, old: str, new: str, message: str
) -> None:
    assert old in COURSE
    text = COURSE.replace(old, new, 1)
    if "waivers" in new or "out_of: 10" in new:
        text = text.replace("    - {name: app, kind: bonus, weight: 1, cap: 2}\n", "").replace(
            "    - {name: project, weight: 1, max: 8}\n", ""
        )
    course.path.write_text(text)

    with pytest.raises(UsageError) as refused:
        load_course(course.path)

    assert str(refused.value).startswith(f"{course.path}:{message}")


def test_a_formula_with_everything_is_read(course: Course) -> None:
    course.path.write_text(
        COURSE.replace("weight: 0.7}", "weight: 0.7, drop_lowest: 1, pass_mark: 2}")
        + "  out_of: 13.8\n  cap: 14\n  pass_mark: 6\n  rounding: {to: 0.5, half: even}\n"
        "  scale: [{grade: 5, at_least: 12.6}, {grade: 4, at_least: 10}, {grade: failed, at_least: 0}]\n"
    )

    grade = load_course(course.path).grade

    assert [step.grade for step in grade.scale] == ["5", "4", "failed"]
    assert grade.rounding == Rounding(to=Fraction(1, 2), half="even")
    assert [one.sort for one in grade.components] == ["homework", "manual", "manual", "bonus"]


def test_a_bonus_is_on_top_of_a_waiver_and_capped() -> None:
    formula = GradeFormula.model_validate(
        {
            "components": (
                {"name": "homework", "weight": 0.7},
                {"name": "exam", "weight": 0.3},
                {"name": "app", "kind": "bonus", "weight": 1, "cap": 1},
            ),
            "waivers": ({"component": "homework", "at_least": 6, "weight": "10/14"},),
        }
    )

    found = result(formula, {"homework": Fraction(7), "app": Fraction(3)})

    assert found.total == 6
    assert found.steps == (
        "app: 3.00 counts as its cap, 1.00",
        "waiver: homework of at least 6.00 counts alone, 5.00",
        "app: 1.00 on top",
    )


def test_a_waiver_stands_for_the_pass_marks_of_the_others() -> None:
    formula = GradeFormula.model_validate(
        {
            "components": (
                {"name": "homework", "weight": 1},
                {"name": "exam", "weight": 1, "pass_mark": 4},
            ),
            "waivers": ({"component": "homework", "at_least": 6, "weight": 1},),
        }
    )

    assert result(formula, {"homework": Fraction(6)}).grade == "passed"
    assert result(formula, {"homework": Fraction(5)}).grade == "failed"
    assert result(formula, {"homework": Fraction(5)}).steps == ("not passed: exam 0.00 is below 4.00",)


def test_a_waiver_does_not_stand_for_its_own_components_pass_mark() -> None:
    formula = GradeFormula.model_validate(
        {
            "components": (
                {"name": "homework", "weight": 1, "pass_mark": 7},
                {"name": "exam", "weight": 1, "pass_mark": 4},
            ),
            "waivers": ({"component": "homework", "at_least": 6, "weight": 1},),
        }
    )

    assert result(formula, {"homework": Fraction(6)}).grade == "failed"
    assert result(formula, {"homework": Fraction(7)}).grade == "passed"


@given(st.fractions(0, 100, max_denominator=1000), st.sampled_from(["up", "down", "even"]))
def test_rounding_goes_to_the_nearest_multiple(value: Fraction, half: str) -> None:
    rounded = rounded_to(value, Rounding(to=Fraction(1, 4), half=half))  # type: ignore[arg-type]

    assert (rounded * 4).denominator == 1
    assert abs(rounded - value) <= Fraction(1, 8)
    if abs(rounded - value) == Fraction(1, 8):
        assert {"up": rounded > value, "down": rounded < value, "even": rounded * 4 % 2 == 0}[half]


@given(st.lists(st.fractions(0, 14, max_denominator=100), min_size=2, max_size=2))
def test_a_total_is_that_of_its_result(points: list[Fraction]) -> None:
    formula = GradeFormula(components=(Component(name="homework", weight=Fraction(1, 2), cap=Fraction(8)),))

    assert total(formula, {"homework": max(points)}) >= total(formula, {"homework": min(points)})
    assert total(formula, {"homework": points[0]}) == min(points[0], Fraction(8)) / 2


@pytest.mark.parametrize(
    ("value", "text"), [("0.005", "0.01"), ("-0.004", "0.00"), ("-2.5", "-2.50"), ("1/3", "0.33")]
)
def test_numbers_are_told_with_two_decimals(value: str, text: str) -> None:
    assert two_decimals(Fraction(value)) == text
