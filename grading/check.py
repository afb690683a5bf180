"""Holds a homework to its promises: the reference scores 100, the starter and whatever gives one answer to every
question 0, each wrong variant loses points in its own task (elsewhere only where `needs` says so), each right variant
scores 100, on several seeds each; and a reference with one small change is noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from grading.course import Course
from grading.errors import UsageError
from grading.grade import Graded, Submission, grade
from grading.homework import Homework
from grading.mutants import Mutant
from grading.submitted import read_submitted
from grading.variants import Variant, read_variants


@dataclass(slots=True, frozen=True)
class Finding:
    """A variant on one seed: its score, and how it breaks the homework's promises (nothing if it keeps them)."""

    variant: Variant
    seed: int
    graded: Graded
    problems: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Seeds:
    """How many seeds a variant and the reference are graded on; `everything`: each on every task."""

    variants: int = 5
    reference: int = 30
    everything: bool = False

    def of(self, variant: Variant) -> int:
        if variant.name == "reference":
            return self.reference
        return 1 if variant.deserves == "nothing" and not self.everything else self.variants


def plan(homework: Homework, named: str, seeds: Seeds) -> list[tuple[Variant, int]]:
    """The variants with `named` in their names, each with the seeds to grade it on. Raises UsageError."""
    chosen = [variant for variant in read_variants(homework) if named.lower() in variant.name.lower()]
    if not chosen:
        raise UsageError(f"{homework.directory / 'variants'}: no variant is called like {named!r}")
    return [(variant, seed) for variant in chosen for seed in range(seeds.of(variant))]


def check(
    homework: Homework,
    course: Course,
    plan: Sequence[tuple[Variant, int]],
    done: Callable[[Finding], None],
    *,
    jobs: int = 1,
    confined: bool = True,
    full: bool = False,
) -> list[Finding]:
    """Grades each variant on each seed that the plan pairs it with; the findings, in order.

    A variant that is about a task is graded on it and, at seed 0, on those that rest on it; with `full` on everything.
    """
    files = read_submitted(homework.directory, homework.submits)
    submissions = [
        Submission(
            variant.notebook,
            variant.name,
            salt=f"check {seed}",
            files=files,
            tasks=None if full else tasks_to_grade(variant, seed, homework),
        )
        for variant, seed in plan
    ]
    findings: dict[int, Finding] = {}

    def finished(number: int, graded: Graded) -> None:
        variant, seed = plan[number]
        findings[number] = Finding(variant, seed, graded, tuple(problems_of(variant, graded, homework)))
        done(findings[number])

    grade(homework, course, submissions, finished, jobs=jobs, confined=confined)
    return [findings[number] for number in sorted(findings)]


def tasks_to_grade(variant: Variant, seed: int, homework: Homework) -> frozenset[str] | None:
    if variant.task is None:
        return None
    return frozenset({variant.task} | (set() if seed else tasks_resting_on(variant.task, homework)))


def problems_of(variant: Variant, graded: Graded, homework: Homework) -> Iterator[str]:
    """How a graded variant breaks the promises, in words."""
    score = graded.score
    if score.state == "error":
        yield f"error: {score.reason or first_error(graded)}"
        return
    if variant.deserves == "nothing":
        for task in score.tasks:
            if task.points:
                passed = [test.name for test in task.tests if test.verdict == "passed" and test.weight]
                yield f"earns {float(task.points):g} points in {task.id}: {', '.join(passed)}"
        return
    allowed: set[str] = set()
    if variant.deserves == "less" and variant.task is not None:
        allowed = {variant.task} | tasks_resting_on(variant.task, homework)
    for task in score.tasks:
        lost = task.points != task.max_points
        if variant.deserves == "less" and task.id == variant.task and not lost:
            yield f"survives: it loses nothing in {task.id}"
        if lost and task.id not in allowed:
            failed = next(test for test in task.tests if test.verdict != "passed")
            yield f"loses points in {task.id}: {failed.name}: {' / '.join(failed.message.splitlines())}"
    said = feedback(graded, variant.task)
    for phrase in variant.says:
        if phrase.strip().lower() not in said.lower():
            yield f"the feedback does not say {phrase.strip()!r}: {said}"


def feedback(graded: Graded, task_id: str | None) -> str:
    """What the student reads of one task, on one line."""
    messages = [
        test.message
        for task in graded.score.tasks
        if task.id == task_id
        for test in task.tests
        if test.verdict != "passed"
    ]
    return " / ".join(" ".join(message.splitlines()) for message in dict.fromkeys(messages))


def tasks_resting_on(task_id: str, homework: Homework) -> set[str]:
    """Tasks that name this one under `needs`, directly or through another."""
    found: set[str] = set()
    front = {task_id}
    while front:
        front = {task.id for task in homework.tasks if set(task.needs) & front} - found
        found |= front
    return found


def first_error(graded: Graded) -> str:
    errors = [test for task in graded.score.tasks for test in task.tests if test.verdict == "error"]
    return f"{errors[0].name}: {errors[0].message}" if errors else "unknown"


def check_mutants(
    homework: Homework,
    course: Course,
    mutants: Sequence[Mutant],
    done: Callable[[Mutant, Graded], None],
    *,
    jobs: int = 1,
    confined: bool = True,
) -> list[Mutant]:
    """Grades each mutant of the reference on the tasks that it may break; those that lost nothing survive."""
    files = read_submitted(homework.directory, homework.submits)
    submissions = [
        Submission(mutant.notebook, mutant.name, salt="check 0", files=files, tasks=mutant.tasks)
        for mutant in mutants
    ]
    survivors: dict[int, Mutant] = {}

    def finished(number: int, graded: Graded) -> None:
        if graded.score.state == "error" or graded.score.points == graded.score.max_points:
            survivors[number] = mutants[number]
        done(mutants[number], graded)

    limits = homework.limits.model_copy(update={"total": min(homework.limits.total, 90.0)})
    grade(
        homework.model_copy(update={"limits": limits}),
        course,
        submissions,
        finished,
        jobs=jobs,
        confined=confined,
    )
    return [survivors[number] for number in sorted(survivors)]
