"""A student's report of one submission: one HTML file, without any script, that says what the job summary says."""

from __future__ import annotations

from pathlib import Path

from grading.atomic import write_atomically
from grading.report.feedback import Feedback
from grading.report.pages import render


def write_student_page(path: Path, told: Feedback) -> None:
    """Raises UsageError or GradingError where the file cannot be written."""
    write_atomically(path, student_page(told).encode())


def student_page(told: Feedback) -> str:
    return render("student.html.j2", told=told, score=told.score)
