"""Bundle and templates on GitHub: a commit for what is new, nothing for what is not, nobody else's work touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from course_on_github import HOMEWORKS, course_on_github
from github_server import GitHubServer

from grading.bundle import bundled_files
from grading.course import Course
from grading.errors import GradingError, UsageError
from grading.generated import write_generated
from grading.github.client import Client
from grading.github.connect import connect
from grading.github.git import tree_of
from grading.github.push import push_bundle, push_directory, push_release
from grading.grade import tests_digest as digest_of_tests
from grading.release import read_releases, released_files

ON_GITHUB = "{organisation: dl-course, writes_per_minute: 60000}"
OURS = b"<!-- made for a test -->\n"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return course_on_github(tmp_path, github=ON_GITHUB)


def files_of(github: GitHubServer, name: str) -> dict[str, bytes]:
    """What the main branch of a repository holds."""
    git = github.repository(name).git
    assert git is not None
    return {entry["path"]: git("cat-file", "blob", entry["sha"]) for entry in entries(github, name)}


def entries(github: GitHubServer, name: str) -> list[dict[str, str]]:
    git = github.repository(name).git
    assert git is not None
    return [entry for entry in git.tree("main", deep=True) if entry["type"] == "blob"]


def commits(github: GitHubServer, name: str) -> list[str]:
    git = github.repository(name).git
    assert git is not None
    return git("rev-list", "main").decode().split()


def release(github: GitHubServer, course: Course, name: str = "activations") -> list[str]:
    """Releases a homework; the lines that were told."""
    told: list[str] = []
    api = connect(course.github)
    with api.client:
        push_release(api, course, course.load_homework(name), told.append, token=github.token)
    return told


# A course's repositories


def test_a_release_makes_a_private_bundle_and_a_private_template_and_records_both(github, course):
    release(github, course)

    made, template = github.repository("bundle"), github.repository("activations-starter")
    assert (made.private, made.access_level, made.is_template) == (True, "organization", False)
    assert (template.private, template.is_template) == (True, True)
    assert files_of(github, "bundle") == bundled_files(course, ["activations"])
    homework = course.load_homework("activations")
    assert files_of(github, "activations-starter") == released_files(course, homework, made.head())
    releases = read_releases(course.directory / "releases.jsonl")
    assert [(line.kind, line.commit) for line in releases.lines] == [
        ("bundle", made.head()),
        ("template", template.head()),
    ]
    assert releases.tests("activations") == {digest_of_tests(homework)}
    trees = [entry["sha"] for entry in template.tree(template.head()) if entry["path"] == ".github"]
    assert list(releases.trees("activations")) == trees
    modes = {entry["path"]: entry["mode"] for entry in entries(github, "bundle")}
    assert {path for path, mode in modes.items() if mode == "100755"} == {"scripts/bootstrap"}


def test_a_release_again_changes_nothing_and_says_so(github, course):
    release(github, course)
    before = (commits(github, "bundle"), commits(github, "activations-starter"))
    lines = (course.directory / "releases.jsonl").read_bytes()
    asked = len(github.requests)

    told = release(github, course)

    assert (commits(github, "bundle"), commits(github, "activations-starter")) == before
    assert (course.directory / "releases.jsonl").read_bytes() == lines
    assert len(told) == 2
    assert all("is up to date" in line for line in told)
    assert {logged.method for logged in github.requests[asked:]} == {"GET"}


def test_a_homework_joins_those_that_were_released_before(github, course):
    release(github, course)
    release(github, course, "nlp")

    releases = read_releases(course.directory / "releases.jsonl")
    assert releases.released == ("activations", "nlp")
    assert files_of(github, "bundle") == bundled_files(course, ["activations", "nlp"])
    assert len(commits(github, "bundle")) == 2
    assert releases.latest_bundle == github.repository("bundle").head()


def test_a_starter_mended_in_mid_term_is_released_again_and_both_trees_stay_good(github, course, tmp_path):
    directory = tmp_path / "homeworks/activations"
    directory.unlink()
    shutil.copytree(HOMEWORKS / "activations", directory)
    release(github, course)
    with (directory / "tests/oracles.py").open("a") as file:
        file.write("# mended\n")

    release(github, course)

    releases = read_releases(course.directory / "releases.jsonl")
    assert len(commits(github, "activations-starter")) == len(commits(github, "bundle")) == 2
    assert len(releases.trees("activations")) == len(releases.tests("activations")) == 2


def test_what_a_killed_run_pushed_and_did_not_record_is_recorded_by_the_next(github, course, tmp_path):
    directory = tmp_path / "homeworks/activations"
    directory.unlink()
    shutil.copytree(HOMEWORKS / "activations", directory)
    release(github, course)
    file = course.directory / "releases.jsonl"
    before = read_releases(file)
    file.unlink()
    with (directory / "tests/oracles.py").open("a") as opened:
        opened.write("# changed before it was run again\n")

    release(github, course)

    after = read_releases(file)
    assert before.bundle_commits < after.bundle_commits
    assert before.tests("activations") < after.tests("activations")
    assert before.trees("activations") < after.trees("activations")
    assert {line.commit for line in before.lines} <= {line.commit for line in after.lines}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/orgs/dl-course/repos"),
        ("PUT", "/actions/permissions/access"),
        ("PATCH", "/repos/dl-course/activations-starter"),
    ],
)
def test_a_run_that_github_breaks_off_is_finished_by_the_next(method, path, github, course):
    github.fail_next(path, "drop", method=method, times=len(Client.pauses) + 1 if method != "POST" else 1)
    with pytest.raises(GradingError):
        release(github, course)

    release(github, course)

    made, template = github.repository("bundle"), github.repository("activations-starter")
    assert made.access_level == "organization"
    assert template.is_template
    assert len(commits(github, "bundle")) == len(commits(github, "activations-starter")) == 1
    assert len(read_releases(course.directory / "releases.jsonl").lines) == 2


@pytest.mark.parametrize("name", ["bundle", "activations-starter"])
def test_a_repository_with_somebody_else_s_content_is_refused_and_stays_as_it_was(name, github, course):
    github.add_repository(name, {"README.md": "# My thesis\n", "thesis.tex": "words"})

    with pytest.raises(UsageError, match=f"dl-course/{name}: has content that `grading` did not write"):
        release(github, course)

    assert files_of(github, name) == {"README.md": b"# My thesis\n", "thesis.tex": b"words"}


def test_a_bundle_that_everybody_could_read_is_refused(github, course):
    github.add_repository("bundle", private=False)

    with pytest.raises(UsageError, match="is public"):
        release(github, course)

    assert github.repository("bundle").head() is None


def test_a_repository_that_was_renamed_is_not_written_to_under_its_old_name(github, course):
    github.add_repository("bundle")
    github.rename("bundle", "bundle-of-last-year")

    with pytest.raises(UsageError, match="is now called dl-course/bundle-of-last-year"):
        release(github, course)

    assert github.repository("bundle-of-last-year").head() is None


def test_an_archived_repository_is_named(github, course):
    github.add_repository("bundle", archived=True)

    with pytest.raises(UsageError, match="is archived"):
        release(github, course)


def test_a_homework_that_cannot_be_released_touches_nothing_on_github(github, course):
    with pytest.raises(UsageError, match="no homework"), connect(course.github).client as client:
        push_bundle(type(connect(course.github))(client), course, ["zoo"], print, token=github.token)

    assert github.requests == []


def test_without_grading_on_push_there_is_a_template_and_no_bundle(github, tmp_path):
    course = course_on_github(
        tmp_path, github=ON_GITHUB.replace("}", ", grade_on_push: false, central: all}")
    )

    release(github, course)

    assert "bundle" not in github.repositories
    assert ".github/workflows/grade.yml" not in files_of(github, "activations-starter")
    (line,) = read_releases(course.directory / "releases.jsonl").templates
    assert (line.github_tree, line.bundle_commit) == (None, None)


# One directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "directory"
    files = {
        "README.md": OURS,
        ".github/workflows/grade.yml": b"on: push\r\n",
        "run": b"#!/bin/sh\n",
        ".gitignore": b"run\n",
    }
    write_generated(directory, files, executable={"run"})
    return directory


@pytest.fixture
def remote(tmp_path: Path) -> str:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "remote.git"], check=True)
    return (tmp_path / "remote.git").as_uri()


def in_remote(remote: str, *arguments: str) -> str:
    place = remote.removeprefix("file://")
    return subprocess.run(
        ["git", "-C", place, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_directory_becomes_one_commit_by_the_grader_byte_by_byte(directory, remote, monkeypatch, tmp_path):
    # What a user may have set must not change a byte, sign a commit or run a hook.
    monkeypatch.setenv("HOME", str(tmp_path))
    hook = tmp_path / "hooks/pre-push"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (tmp_path / ".gitconfig").write_text(
        f"[core]\nautocrlf = input\nhooksPath = {hook.parent}\nexcludesFile = {tmp_path}/ignored\n"
        "[user]\nname = Somebody\n[commit]\ngpgSign = true\n"
    )
    (tmp_path / "ignored").write_text("*\n")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    commit = push_directory(directory, remote, "", "First")

    monkeypatch.undo()
    assert in_remote(remote, "rev-parse", "main") == commit
    assert in_remote(remote, "log", "--format=%an %cn %s", "main") == "grading grading First"
    listed = in_remote(remote, "ls-tree", "-r", "--format=%(objectmode) %(path)", "main").splitlines()
    assert listed == [
        "100644 .github/workflows/grade.yml",
        "100644 .gitignore",
        "100644 README.md",
        "100755 run",
    ]
    assert in_remote(remote, "cat-file", "-s", "main:.github/workflows/grade.yml") == "10"


def test_a_push_of_the_same_files_adds_nothing_and_of_others_one_commit(directory, remote):
    first = push_directory(directory, remote, "", "First")
    again = push_directory(directory, remote, "", "Second")
    (directory / "run").unlink()
    third = push_directory(directory, remote, "", "Third")

    assert first == again
    assert in_remote(remote, "rev-list", "main").split() == [third, first]
    assert "run" not in in_remote(remote, "ls-tree", "-r", "--name-only", "main").split()


def test_the_git_of_the_directory_itself_is_no_part_of_it(directory, remote):
    subprocess.run(["git", "init", "--quiet", directory], check=True)

    push_directory(directory, remote, "", "First")

    assert in_remote(remote, "ls-tree", "--name-only", "main").split() == [
        ".github",
        ".gitignore",
        "README.md",
        "run",
    ]


@pytest.mark.parametrize(
    ("branch", "readme"), [("main", "# Mine\n"), ("master", "<!-- made for a test -->\n")]
)
def test_a_remote_with_other_content_is_refused(branch, readme, directory, remote, tmp_path):
    other = tmp_path / "other"
    write_generated(other, {"README.md": readme.encode()})
    push_directory(other, remote, "", "Theirs", branch=branch)
    before = in_remote(remote, "for-each-ref")

    with pytest.raises(UsageError, match="did not write"):
        push_directory(directory, remote, "", "Ours")

    assert in_remote(remote, "for-each-ref") == before


def test_the_tree_of_a_folder_is_the_one_that_git_gives_it(directory, remote):
    push_directory(directory, remote, "", "First")

    assert tree_of(directory, ".github") == in_remote(remote, "rev-parse", "main:.github")
    assert tree_of(directory, ".devcontainer") is None


# The token


def test_the_token_is_in_no_argument_no_message_and_no_file(github, directory, tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    real = shutil.which("git")
    spy = tmp_path / "bin/git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$0" "$@" >> {seen}\nexec {real} "$@"\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    github.add_repository("place")

    push_directory(directory, f"{github.web}/dl-course/place.git", github.token, "First")

    assert commits(github, "place")
    assert github.token not in seen.read_text()
    left = [
        path for path in tmp_path.rglob("*") if path.is_file() and github.token.encode() in path.read_bytes()
    ]
    assert left == []


@pytest.mark.parametrize(("token", "repository"), [("ghp_wrong", "place"), ("", "place"), (None, "absent")])
def test_a_push_that_is_refused_says_what_the_token_needs(token, repository, github, directory):
    github.add_repository("place")
    given = github.token if token is None else token

    with pytest.raises(UsageError, match="the token needs write access") as caught:
        push_directory(directory, f"{github.web}/dl-course/{repository}.git", given, "First")

    assert "\n" not in str(caught.value)
    assert not given or given not in str(caught.value)


def test_a_server_that_is_not_there_is_ours_to_try_again(directory):
    with pytest.raises(GradingError, match="again later") as caught:
        push_directory(directory, "http://127.0.0.1:9/dl-course/place.git", "ghp_secret", "First")

    assert caught.value.exit_code == 3
    assert "ghp_secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://github.example/a/b.git", "file:///a/b.git", "ssh://git@example.org/a/b"]
)
def test_a_token_goes_over_https_only(address, directory):
    with pytest.raises(GradingError, match="has to be https"):
        push_directory(directory, address, "ghp_secret", "First")


def test_without_git_the_mend_is_named(directory, remote, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UsageError, match="git is not installed"):
        push_directory(directory, remote, "", "First")
