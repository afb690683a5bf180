"""The GitHub that tests run against: that it is held to GitHub's own description, and that its git is real."""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from github_description import PATH
from github_server import GitHubServer

from grading.github.api import GitHub
from grading.github.client import NotFound, Refused
from grading.github.connect import connect

COURSE = "dl-course"
ADA = f"{COURSE}/cnn-ada"


@pytest.fixture
def api(github: GitHubServer) -> GitHub:
    return connect(None)


def git(*arguments: str, at: Path, token: str) -> subprocess.CompletedProcess[str]:
    who = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    options = [
        f"http.extraHeader=Authorization: Basic {who}",
        "user.name=a",
        "user.email=a@b",
        "init.defaultBranch=main",
    ]
    return subprocess.run(
        ["git", *(word for option in options for word in ("-c", option)), *arguments],
        cwd=at,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(at), "GIT_TERMINAL_PROMPT": "0"},
    )


def test_what_is_not_githubs_is_noticed(github: GitHubServer, api: GitHub) -> None:
    if not PATH.is_file():
        pytest.skip(f"GitHub's OpenAPI description is not at {PATH}: answers here are not checked against it")
    github.organisation.rulesets.append(
        {"id": 7, "name": "x", "enforcement": "maybe", "created_at": "?", "updated_at": "?"}
    )

    list(api.rulesets(COURSE))
    api.client.send("POST", f"/orgs/{COURSE}/repos", {"name": "x", "colour": "red"})
    api.client.get(f"/orgs/{COURSE}/repos", {"colour": "red"})

    assert any("'maybe' is not one of" in line for line in github.drift)
    assert any("its body has no key colour" in line for line in github.drift)
    assert any("has no parameter colour" in line for line in github.drift)
    github.drift.clear()


def test_a_path_that_nobody_serves_is_noticed(github: GitHubServer, api: GitHub) -> None:
    with pytest.raises(NotFound):
        api.client.get("/gists")

    assert github.drift.pop() == "GET /gists: is not served here"


def test_an_unchanged_answer_costs_nothing_of_the_limit(github: GitHubServer, tmp_path: Path) -> None:
    api = connect(None, cache=tmp_path)
    api.me()
    left = github.remaining

    api.me()

    assert github.remaining == left
    assert github.requests[-1].status == 304


def test_a_file_does_not_lie_open_to_a_token(github: GitHubServer) -> None:
    there = github.store(b"bytes").headers["Location"].removeprefix(github.web)

    refused = github.stored(there, {"authorization": f"Bearer {github.token}"})

    assert refused is not None
    assert refused.status == 400


def test_a_student_clones_pushes_and_forces(github: GitHubServer, api: GitHub, tmp_path: Path) -> None:
    github.add_user("ada")
    github.add_repository("cnn-ada", {"cnn.ipynb": "{}"}, collaborators={"ada": "push"})
    token = github.add_token("ada", ["repo"])
    url = f"{github.web}/{ADA}.git"

    assert git("clone", "-q", url, "work", at=tmp_path, token=token).returncode == 0
    work = tmp_path / "work"
    (work / "big").write_bytes(bytes(range(256)) * 8192)
    git("add", ".", at=work, token=token)
    git("commit", "-qm", "mine", at=work, token=token)
    pushed = git("push", "-q", at=work, token=token)
    head = git("rev-parse", "HEAD", at=work, token=token).stdout.strip()
    git("commit", "-q", "--amend", "-m", "never happened", at=work, token=token)
    assert git("push", "-q", at=work, token=token).returncode != 0
    assert git("push", "-qf", at=work, token=token).returncode == 0

    assert pushed.returncode == 0, pushed.stderr
    latest, before, first = api.activity(ADA, "refs/heads/main")
    assert (latest.activity_type, latest.before) == ("force_push", head)
    assert (before.activity_type, before.after) == ("push", head)
    assert before.actor is not None
    assert before.actor.login == "ada"
    assert first.activity_type == "branch_creation"
    found = api.repository(ADA)
    assert found is not None
    assert found.pushed_at == latest.timestamp


@pytest.mark.parametrize(("permission", "reads"), [("pull", True), (None, False)])
def test_others_cannot_push(
    github: GitHubServer, tmp_path: Path, permission: str | None, reads: bool
) -> None:
    github.add_user("eve")
    github.add_repository(
        "cnn-ada", {"cnn.ipynb": "{}"}, collaborators={"eve": permission} if permission else {}
    )
    token = github.add_token("eve", ["repo"])
    url = f"{github.web}/{ADA}.git"
    git("init", "-q", at=tmp_path, token=token)
    git("commit", "-q", "--allow-empty", "-m", "mine", at=tmp_path, token=token)

    assert (git("ls-remote", url, at=tmp_path, token=token).returncode == 0) is reads
    assert git("push", "-f", url, "HEAD:main", at=tmp_path, token=token).returncode != 0
    assert git("ls-remote", url, at=tmp_path, token="wrong").returncode != 0
    assert len(github.repository("cnn-ada").activity) == 1


def test_a_push_made_here_is_a_real_commit(github: GitHubServer, api: GitHub) -> None:
    github.add_user("ada")
    github.add_repository("cnn-ada", {"a/b.py": "1", "c": "2"})
    first = github.push("cnn-ada", {"a/b.py": "3", "c": None, "run.sh": ("100755", b"x")}, actor="ada")
    other = github.push("cnn-ada", {"d": "4"}, actor="ada", parent=first, branch="side")
    forced = github.push("cnn-ada", {"e": "5"}, actor="ada", parent=other, force=True)

    with tarfile.open(
        fileobj=io.BytesIO(api.client.download(f"/repos/{ADA}/tarball/{forced}", 10**6))
    ) as archive:
        names = [member.name.partition("/")[2] for member in archive if member.isfile()]

    assert sorted(names) == ["a/b.py", "d", "e", "run.sh"]
    kinds = [entry.activity_type for entry in api.activity(ADA, "refs/heads/main")]
    assert kinds == ["force_push", "push", "branch_creation"]
    assert [entry.activity_type for entry in api.activity(ADA, "refs/heads/side")] == ["branch_creation"]


def test_an_empty_repository_has_no_tree(github: GitHubServer, api: GitHub) -> None:
    api.create_repository(COURSE, "bundle", "")

    with pytest.raises(Refused, match="empty"):
        api.tree_of(f"{COURSE}/bundle", "main", ".github")
