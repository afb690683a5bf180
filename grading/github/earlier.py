"""What is known of a student's earlier pushes, for the summary of this one: "which attempt counts so far".

Anybody who can push to the repository may have uploaded these files, so nothing is decided by them: the grades are
collected elsewhere, from GitHub's own record. Nothing here fails a run.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

from grading.atomic import write_atomically
from grading.errors import GradingError
from grading.github.answers import Artifact
from grading.github.api import GitHub
from grading.github.artifact import read_score
from grading.github.client import silent
from grading.score import Score

MOST_ARTIFACTS = 30
MOST_ZIP_BYTES = 2**20
MOST_FILE_BYTES = 64 * 2**20


class NoScore(Exception):
    """Why an artifact holds no score."""


def earlier_attempts(
    api: GitHub, repository: str, homework: str, out: Path, tell: Callable[[str], None] = silent
) -> list[Score]:
    """The scores of a homework that the repository's runs have uploaded, the latest first, as a JSON list in `out`.

    Problems are told; where GitHub does not answer at all, nothing is written, since nothing is known.
    """
    name = f"score-{homework}"
    try:
        artifacts = list(itertools.islice(api.artifacts_named(repository, name), MOST_ARTIFACTS))
    except GradingError as error:
        tell(f"earlier attempts: not looked up: {error}")
        return []
    scores = []
    for artifact in artifacts:
        try:
            scores.append(fetch(api, repository, homework, artifact))
        except (GradingError, NoScore) as error:
            tell(f"earlier attempts: artifact {artifact.id} is left out: {error}")
    content = json.dumps([score.model_dump(mode="json") for score in scores])
    try:
        write_atomically(out, content.encode())
    except GradingError as error:
        tell(f"earlier attempts: {error}")
    return scores


def fetch(api: GitHub, repository: str, homework: str, artifact: Artifact) -> Score:
    """Raises NoScore, and what the client raises."""
    if artifact.expired:
        raise NoScore("it has expired")
    if artifact.size_in_bytes > MOST_ZIP_BYTES:
        raise NoScore(f"it is larger than {MOST_ZIP_BYTES >> 20} MiB")
    score = read_score(api.artifact_zip(repository, artifact.id))
    if isinstance(score, str):
        raise NoScore(score)
    if score.homework != homework:
        raise NoScore("its score is of another homework")
    # GitHub's word for the commit, where it has one; the file may say anything.
    run = artifact.workflow_run
    return score.model_copy(update={"commit": commit(run.head_sha if run is not None else score.commit)})


def commit(named: str | None) -> str | None:
    return named if named is not None and re.fullmatch(r"[0-9a-f]{40}", named) else None


def read_earlier(path: Path) -> list[Score] | None:
    """What `earlier_attempts` wrote and can be counted; None where there is no such file, or it cannot be read."""
    try:
        with path.open("rb") as file:
            listed = json.loads(file.read(MOST_FILE_BYTES))
        scores = [Score.model_validate_json(json.dumps(score)) for score in listed]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return [score for score in scores if score.state == "graded" and score.confined]
