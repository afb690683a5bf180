"""The course of this repository as one that is run on GitHub: its homeworks, and a course.yml with an organisation."""

from __future__ import annotations

from pathlib import Path

from grading.course import Course, load_course

ROOT = Path(__file__).parents[1]
HOMEWORKS = ROOT / "homeworks"
SALT = "KESTREL-course-salt-6f1d20"
COMMIT = "8f3c" * 10

COURSE = """\
name: Deep Learning
timezone: Europe/Berlin
salt: %(salt)s
%(late)s
%(github)s
grade:
  components:
    - {name: homework, weight: 0.7}
    - {name: secret_exam, weight: 0.3}
%(more)s
homeworks:
  - {name: activations, weight: 1, deadline: 2026-10-04T23:59:00+02:00}
  - {name: weight_init, weight: 1, deadline: 2026-10-11T23:59:00+02:00}
  - {name: dropout, weight: 1, deadline: 2026-10-18T23:59:00+02:00}
  - {name: batchnorm, weight: 1, deadline: null}
  - {name: backprop, weight: 2, deadline: 2026-11-08T23:59:00+01:00}
  - {name: cnn, weight: 4, deadline: 2026-11-29T23:59:00+01:00}
  - {name: nlp, weight: 4, deadline: 2026-12-20T23:59:00+01:00}
"""


def course_on_github(
    place: Path,
    *,
    github: str = "{organisation: deep-course}",
    late: str = "{kind: per_day}",
    salt: str = SALT,
    more: str = "",
) -> Course:
    """Written to `place`/homeworks, with links to the homeworks themselves; `more` are further keys of course.yml."""
    directory = place / "homeworks"
    directory.mkdir(parents=True, exist_ok=True)
    for homework in HOMEWORKS.iterdir():
        link = directory / homework.name
        if (homework / "homework.yml").is_file() and not link.exists():
            link.symlink_to(homework)
    lines = {"salt": salt, "late": f"late: {late}", "github": github and f"github: {github}", "more": more}
    (directory / "course.yml").write_text(COURSE % lines)
    return load_course(directory / "course.yml")
