"""The course grade: a weighted sum, and the exam waiver of the course this grew from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.course import load_course
from grading.errors import UsageError
from grading.total import Component, GradeFormula, Waiver, result, total

ROOT = Path(__file__).parents[1]
POINTS = st.fractions(0, 14, max_denominator=1000)


@pytest.fixture
def formula() -> GradeFormula:
    return load_course(ROOT / "homeworks/course.yml").grade


def test_the_homeworks_of_the_course_weigh_14_points() -> None:
    course = load_course(ROOT / "homeworks/course.yml")

    weights = {homework.name: homework.weight for homework in course.homeworks}

    assert weights == {
        "activations": 1,
        "weight_init": 1,
        "dropout": 1,
        "batchnorm": 1,
        "backprop": 2,
        "cnn": 4,
        "nlp": 4,
    }
    assert all(homework.deadline is not None for homework in course.homeworks)


@pytest.mark.parametrize(
    ("homework", "exam", "grade"),
    [
        ("0", "0", "0"),
        ("5", "10", "6.5"),
        ("5.99", "0", "4.193"),  # a hundredth short of the waiver
        ("6", "0", "60/14"),
        ("6", "1", "4.5"),  # 0.7 × 6 + 0.3 is more than 60/14
        ("14", "0", "10"),
        ("14", "10", "12.8"),
    ],
)
def test_the_formula_of_the_course(formula: GradeFormula, homework: str, exam: str, grade: str) -> None:
    points = {"homework": Fraction(homework), "exam": Fraction(exam)}

    assert total(formula, points) == Fraction(grade)


def test_an_exam_not_taken_counts_nothing(formula: GradeFormula) -> None:
    assert total(formula, {"homework": Fraction(5)}) == Fraction(7, 2)


@given(POINTS, POINTS, POINTS)
def test_more_points_never_lower_the_grade(homework: Fraction, exam: Fraction, more: Fraction) -> None:
    formula = GradeFormula(
        components=(Component(name="homework", weight=0.7), Component(name="exam", weight=0.3)),  # type: ignore[arg-type]
        waivers=(Waiver(component="homework", at_least=6, weight="10/14"),),  # type: ignore[arg-type]
    )
    before = total(formula, {"homework": homework, "exam": exam})

    assert total(formula, {"homework": homework + more, "exam": exam}) >= before
    assert total(formula, {"homework": homework, "exam": exam + more}) >= before


@pytest.mark.parametrize(
    ("grade", "message"),
    [
        ("components: [{name: homework, weight: 10/0}]", "weight: should be a number, or one over another"),
        ("components: [{name: homework, weight: much}]", "weight: should be a number, or one over another"),
        ("components: [{name: homework, weight: -1}]", "weight: should be greater than or equal to 0"),
        (
            "components: [{name: a, weight: 1}, {name: a, weight: 1}]",
            '6: grade.components.1.name: a second component "a"',
        ),
        (
            "components: [{name: homework, weight: 1}]\n  waivers: [{component: exam, at_least: 1, weight: 1}]",
            'grade.waivers.0.component: no component "exam"',
        ),
        (
            "components: [{name: homework, weight: 1}]\n  waivers: [{component: homework, at_least: 3, weight: 1}]",
            "7: grade.waivers.0.at_least: can never apply: the homeworks weigh 2 points together",
        ),
    ],
)
def test_a_formula_that_cannot_be_meant_is_refused(tmp_path: Path, grade: str, message: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/homework.yml").touch()
    (tmp_path / "course.yml").write_text(
        f"name: C\ntimezone: UTC\nsalt: s\nhomeworks: [{{name: one, weight: 2}}]\ngrade:\n  {grade}\n"
    )

    with pytest.raises(UsageError) as refused:
        load_course(tmp_path / "course.yml")

    assert message in str(refused.value)


def test_the_sum_is_there_to_be_added_up_again(formula: GradeFormula) -> None:
    assert result(formula, {"homework": Fraction(5), "exam": Fraction(8)}).sum == (
        "0.7 × homework 5.00 + 0.3 × exam 8.00 = 5.90"
    )
    assert result(formula, {"homework": Fraction(7)}).sum == "5/7 × homework 7.00 = 5.00"
    assert result(GradeFormula(), {"homework": Fraction(7)}).sum == ""


def test_points_that_only_look_enough_when_rounded_are_said_to_miss_the_mark() -> None:
    formula = GradeFormula.model_validate({"pass_mark": 50})

    assert result(formula, {"homework": Fraction(49998, 1000)}).steps == (
        "not passed: the total just misses 50.00",
    )
    assert result(formula, {"homework": Fraction(49)}).steps == (
        "not passed: the total 49.00 is below 50.00",
    )
