"""The client and GitHub's endpoints over real HTTP: what is asked, what is asked again, and where the token goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from github_server import GitHubServer

from grading.course import OnGitHub
from grading.errors import GradingError, UsageError
from grading.github.api import GitHub
from grading.github.client import Client, Gone, NotFound, Refused, TooLarge, Unavailable, Uncertain
from grading.github.connect import connect

COURSE = "dl-course"
MAIN = "refs/heads/main"
ADA = f"{COURSE}/cnn-ada"


@pytest.fixture
def said() -> list[str]:
    """What was told to the user."""
    return []


@pytest.fixture
def client(github: GitHubServer, said: list[str]) -> Iterator[Client]:
    with Client(github.token, base=github.api, writes_per_minute=60_000, tell=said.append) as made:
        yield made


@pytest.fixture
def api(client: Client) -> GitHub:
    return GitHub(client)


def keeping(github: GitHubServer, cache: Path, token: str | None = None) -> Client:
    return Client(token or github.token, base=github.api, cache=cache)


def flat(pages: Iterator[list[dict[str, object]]]) -> list[object]:
    return [item["name"] for item in chain.from_iterable(pages)]


# Pages


def test_a_list_is_read_to_its_last_page(github: GitHubServer, client: Client, api: GitHub) -> None:
    names = [f"cnn-s{number:03}" for number in range(250)]
    for name in names:
        github.add_repository(name, light=True)

    listed = [repository.name for repository in api.repositories(COURSE)]

    assert listed == names
    assert client.requests == 3


def test_a_list_that_goes_by_a_cursor_is_read_to_its_end(github: GitHubServer, api: GitHub) -> None:
    github.add_user("ada")
    github.add_repository("cnn-ada", light=True)
    pushes = [github.push("cnn-ada", actor="ada") for _ in range(201)]

    listed = [entry.after for entry in api.activity(ADA, MAIN)]

    assert listed == pushes[::-1]


def test_a_wrapped_list_is_unwrapped(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    commit = github.push("cnn-ada", actor="teacher")
    runs = [github.run("cnn-ada", commit).id for _ in range(101)]

    assert {run.id for run in api.runs(ADA, event="push")} == {*runs}
    assert list(api.runs(ADA, event="schedule")) == []


def test_an_answer_that_is_no_list_is_our_failure(github: GitHubServer, client: Client) -> None:
    with pytest.raises(GradingError, match="is no list"):
        list(client.pages("/user"))

    github.drift.clear()  # GitHub documents no pages there


def test_pages_in_a_circle_end(github: GitHubServer, client: Client) -> None:
    here = f"{github.api}/orgs/{COURSE}/members?per_page=100"
    github.fail_next("/members", "headers", Link=f'<{here}>; rel="next"')

    with pytest.raises(GradingError, match="circle"):
        list(client.pages(f"/orgs/{COURSE}/members"))


# What is kept on disk


def test_what_has_not_changed_is_read_from_disk(github: GitHubServer, tmp_path: Path) -> None:
    for number in range(130):
        github.add_repository(f"cnn-s{number:03}", light=True)
    with keeping(github, tmp_path) as first:
        before = list(GitHub(first).repositories(COURSE))

    with keeping(github, tmp_path) as second:
        after = list(GitHub(second).repositories(COURSE))

        assert after == before
        assert (second.requests, second.unchanged) == (2, 2)


def test_what_has_changed_is_asked_for_anew(github: GitHubServer, tmp_path: Path) -> None:
    repository = github.add_repository("cnn-ada", light=True)
    with keeping(github, tmp_path) as client:
        api = GitHub(client)
        list(api.repositories(COURSE))
        github.push(repository, actor="teacher")

        (listed,) = api.repositories(COURSE)

        assert listed.pushed_at == repository.pushed_at
        assert client.unchanged == 0


def test_a_page_that_was_the_last_and_full_does_not_hide_the_next(
    github: GitHubServer, tmp_path: Path
) -> None:
    for number in range(100):
        github.add_repository(f"cnn-s{number:03}", light=True)
    with keeping(github, tmp_path) as client:
        api = GitHub(client)
        list(api.repositories(COURSE))
        github.add_repository("cnn-zoe", light=True)

        listed = [repository.name for repository in api.repositories(COURSE)]

        assert len(listed) == 101
        assert listed[-1] == "cnn-zoe"


def test_the_scopes_are_known_of_an_answer_from_disk(github: GitHubServer, tmp_path: Path) -> None:
    with keeping(github, tmp_path) as client:
        first = GitHub(client).me()

        assert GitHub(client).me() == first
        assert client.unchanged == 1
        assert first[1] == {"admin:org", "repo", "workflow"}


def test_another_token_does_not_see_what_the_first_one_kept(github: GitHubServer, tmp_path: Path) -> None:
    github.add_repository("cnn-ada", light=True)
    with keeping(github, tmp_path) as client:
        list(GitHub(client).repositories(COURSE))
    stranger = github.add_token(github.add_user("eve"))

    with keeping(github, tmp_path, stranger) as client:
        assert list(GitHub(client).repositories(COURSE)) == []

    assert "if-none-match" not in github.requests[-1].headers


@pytest.mark.parametrize(
    "harm",
    [
        lambda entry: entry.write_bytes(b""),
        lambda entry: entry.write_bytes(entry.read_bytes()[:-40]),
        lambda entry: entry.write_bytes(entry.read_bytes().replace(b"teacher", b"student")),
        lambda entry: entry.write_bytes(b"\xff\x00{}\n[]"),
        lambda entry: entry.write_bytes(b"[" * 100_000),
        lambda entry: entry.write_bytes(b'{"url": 1, "headers": [], "sha256": null}\n{}'),
        lambda entry: entry.unlink(),
    ],
)
def test_a_broken_entry_is_asked_for_anew(github: GitHubServer, tmp_path: Path, harm: object) -> None:
    with keeping(github, tmp_path) as client:
        client.get("/user")
    (entry,) = tmp_path.iterdir()
    assert callable(harm)
    harm(entry)

    with keeping(github, tmp_path) as client:
        assert client.get("/user").data["login"] == "teacher"
        assert client.unchanged == 0
        client.get("/user")
        assert client.unchanged == 1


def test_a_place_that_cannot_be_written_costs_only_the_saving(
    github: GitHubServer, tmp_path: Path, said: list[str]
) -> None:
    (tmp_path / "file").touch()
    with Client(github.token, base=github.api, cache=tmp_path / "file", tell=said.append) as client:
        client.get("/user")
        client.get("/user")

    (line,) = said
    assert "cannot be written" in line


def test_neither_the_token_nor_a_door_for_others_is_on_disk(github: GitHubServer, tmp_path: Path) -> None:
    with keeping(github, tmp_path / "cache") as client:
        client.get("/user")

    (entry,) = (tmp_path / "cache").iterdir()
    assert github.token.encode() not in entry.read_bytes()
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0


# Where the token goes


@pytest.fixture
def other(tmp_path: Path) -> Iterator[GitHubServer]:
    """A server of somebody else's."""
    with GitHubServer(tmp_path / "other") as server:
        yield server


def test_a_next_page_on_another_server_is_not_asked_for(
    github: GitHubServer, client: Client, other: GitHubServer
) -> None:
    github.fail_next("/members", "headers", Link=f'<{other.api}/orgs/{COURSE}/members?page=2>; rel="next"')

    with pytest.raises(GradingError, match="another server"):
        list(client.pages(f"/orgs/{COURSE}/members"))

    assert other.requests == []


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirect_to_another_server_is_not_followed(
    github: GitHubServer, client: Client, other: GitHubServer, status: int
) -> None:
    github.fail_next("/user", status, location=f"{other.api}/user")

    with pytest.raises(GradingError, match="another server"):
        client.get("/user")

    assert other.requests == []


@pytest.mark.parametrize("location", ["", "http://["])
def test_a_redirect_to_no_address_is_our_failure(github: GitHubServer, client: Client, location: str) -> None:
    github.fail_next("/user", 301, location=location)

    with pytest.raises(GradingError, match="GitHub, /user: "):
        client.get("/user")


def test_redirects_end(github: GitHubServer, client: Client) -> None:
    github.fail_next("/user", 301, times=100, location=f"{github.api}/user")

    with pytest.raises(GradingError, match="without an end"):
        client.get("/user")


def test_a_file_is_fetched_from_where_it_lies_without_the_token(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    run = github.run("cnn-ada", github.push("cnn-ada", actor="teacher"), artifacts={"score": b"zip" * 1000})

    fetched = api.artifact_zip(ADA, run.artifacts[0].id)

    assert fetched == b"zip" * 1000
    (stored,) = github.asked("^/storage/")
    assert not any(github.token in value for value in stored.headers.values())


def test_a_file_on_another_server_is_asked_for_without_the_token(
    github: GitHubServer, client: Client, other: GitHubServer
) -> None:
    elsewhere = other.store(b"bytes").headers["Location"]
    github.add_repository("cnn-ada", {"x": "y"})
    github.fail_next("/tarball/", 302, location=elsewhere)

    assert client.download(f"/repos/{ADA}/tarball/main", 100) == b"bytes"
    assert github.token not in str(other.requests)


def test_a_file_is_not_fetched_unencrypted(github: GitHubServer, client: Client) -> None:
    github.add_repository("cnn-ada", {"x": "y"})
    github.fail_next("/tarball/", 302, location="http://storage.example/file")

    with pytest.raises(GradingError, match="without https"):
        client.download(f"/repos/{ADA}/tarball/main", 100)


@pytest.mark.parametrize(
    "base",
    [
        "http://api.github.com",
        "http://10.0.0.1/api/v3",
        "http://127.0.0.1.example.org",
        "ftp://api.github.com",
        "https://me:secret@api.github.com",
        "api.github.com",
        "https://",
        "",
        "http://[",
    ],
)
def test_an_address_that_would_show_the_token_is_refused(base: str) -> None:
    with pytest.raises(UsageError, match="GITHUB_API_URL"):
        Client("token", base=base)


@pytest.mark.parametrize(
    "path",
    [
        "/repos/a/../../user",
        "/repos/a/./b",
        "/users/a?b=c",
        "/users/a#b",
        "/users/a b",
        "/users/ä",
        "/users/",
        "u",
    ],
)
def test_a_name_that_is_none_does_not_reach_github(github: GitHubServer, client: Client, path: str) -> None:
    with pytest.raises(UsageError, match="no path"):
        client.get(path)

    assert github.requests == []


# What is asked again


@pytest.mark.parametrize("fault", [500, 502, 503, "drop", "truncate", "malformed"])
def test_a_read_is_repeated(github: GitHubServer, client: Client, fault: int | str) -> None:
    github.fail_next("/user", fault, times=4)

    assert client.get("/user").data["login"] == "teacher"
    assert client.requests == 5


@pytest.mark.parametrize("fault", [502, "drop", "truncate", "malformed"])
def test_a_read_is_not_repeated_for_ever(github: GitHubServer, client: Client, fault: int | str) -> None:
    github.fail_next("/user", fault, times=100)

    with pytest.raises(Unavailable, match=r"5 times; .*run it again"):
        client.get("/user")

    assert client.requests == 5


@pytest.mark.parametrize("fault", [502, "drop", "truncate", "malformed"])
def test_a_write_that_says_how_things_shall_be_is_repeated(
    github: GitHubServer, api: GitHub, fault: int | str
) -> None:
    github.add_user("ada")
    github.add_repository("cnn-ada", light=True)
    github.fail_next("/collaborators/ada", fault, times=2)

    assert api.add_collaborator(ADA, "ada")
    assert len(github.repository("cnn-ada").invitations) == 1


@pytest.mark.parametrize(("fault", "made"), [(502, 0), ("drop", 1), ("truncate", 1), ("malformed", 1)])
def test_a_write_that_makes_one_more_is_sent_once(
    github: GitHubServer, api: GitHub, fault: int | str, made: int
) -> None:
    github.add_repository("cnn-ada", light=True)
    github.fail_next("/issues", fault)

    with pytest.raises(Uncertain, match="whether it was done is unknown"):
        api.create_issue(ADA, "Your feedback", "93 points")

    assert len(github.asked("/issues", "POST")) == 1
    assert len(github.repository("cnn-ada").issues) == made


def test_the_same_status_may_be_set_again(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    commit = github.push("cnn-ada", actor="teacher")
    github.fail_next("/statuses/", "drop")

    api.set_status(ADA, commit, "success", "grading", "93 points")

    assert {status.description for status in github.repository("cnn-ada").statuses} == {"93 points"}


def test_what_was_never_sent_is_not_uncertain(other: GitHubServer, github: GitHubServer) -> None:
    other.stop()
    with Client(other.token, base=other.api) as client, pytest.raises(Unavailable, match="reached") as caught:
        client.send("POST", f"/repos/{ADA}/issues", {"title": "x"})

    assert not isinstance(caught.value, Uncertain)
    assert client.requests == 5


@pytest.mark.parametrize("fault", [500, 503, "drop", "truncate"])
def test_a_download_is_repeated(github: GitHubServer, api: GitHub, fault: int | str) -> None:
    github.add_repository("cnn-ada", light=True)
    run = github.run("cnn-ada", github.push("cnn-ada", actor="teacher"), artifacts={"score": b"z" * 5000})
    github.fail_next("^/storage/", fault, times=2)

    assert api.artifact_zip(ADA, run.artifacts[0].id) == b"z" * 5000


def test_a_fault_that_is_longer_than_the_file_is_repeated_like_any_other(
    github: GitHubServer, client: Client
) -> None:
    github.add_repository("cnn-ada", light=True)
    run = github.run("cnn-ada", github.push("cnn-ada", actor="teacher"), artifacts={"score": b"z"})
    github.fail_next("/zip", 502)

    assert client.download(f"/repos/{ADA}/actions/artifacts/{run.artifacts[0].id}/zip", 1) == b"z"


def test_a_download_that_has_lapsed_is_for_another_time(github: GitHubServer, client: Client) -> None:
    github.add_repository("cnn-ada", {"x": "y"})
    github.fail_next("^/storage/", 403)

    with pytest.raises(Unavailable, match="answered 403; run it again"):
        client.download(f"/repos/{ADA}/tarball/main", 10_000)


def test_a_download_is_bounded(github: GitHubServer, client: Client) -> None:
    github.add_repository("cnn-ada", light=True)
    run = github.run("cnn-ada", github.push("cnn-ada", actor="teacher"), artifacts={"score": b"z" * 5000})
    path = f"/repos/{ADA}/actions/artifacts/{run.artifacts[0].id}/zip"

    assert len(client.download(path, 5000)) == 5000
    with pytest.raises(TooLarge, match="more than 4999 bytes"):
        client.download(path, 4999)


# Limits of rate


def test_the_limit_of_an_hour_is_waited_for(github: GitHubServer, client: Client, said: list[str]) -> None:
    github.remaining, github.reset_at = 0, int(time.time()) + 1

    assert client.get("/user").data["login"] == "teacher"
    assert 2 <= client.requests <= 3
    assert all("waiting until" in line for line in said)


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("retry_after", [0, None])
def test_a_secondary_limit_is_waited_for(
    github: GitHubServer,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    retry_after: int | None,
) -> None:
    monkeypatch.setattr(Client, "secondary_pause", 0.01)
    github.limit_next("/user", retry_after, status=status, times=3)

    assert client.get("/user").data["login"] == "teacher"
    assert client.requests == 4


def test_a_write_that_a_limit_refused_was_not_done_and_is_repeated(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    github.limit_next("/issues", 0, times=2)

    api.create_issue(ADA, "Your feedback", "93 points")

    assert len(github.repository("cnn-ada").issues) == 1


def test_a_wait_beyond_patience_is_told_and_not_begun(github: GitHubServer, client: Client) -> None:
    github.limit_next("/user", 3600)

    with pytest.raises(Unavailable, match=r"run it again after \d\d:\d\d:\d\d UTC"):
        client.get("/user")

    assert client.requests == 1


def test_waits_add_up_to_patience(github: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "secondary_pause", 0.01)
    github.limit_next("/user", times=1000)

    with (
        Client(github.token, base=github.api, patience=0.1) as client,
        pytest.raises(Unavailable, match="run it again after"),
    ):
        client.get("/user")

    assert client.requests == 4  # 0.01 + 0.02 + 0.04 waited for, 0.08 would be too much


def test_writes_are_paced(github: GitHubServer) -> None:
    github.add_repository("cnn-ada", light=True)
    with Client(github.token, base=github.api, writes_per_minute=600) as client:
        start = time.monotonic()
        for _ in range(3):
            GitHub(client).create_issue(ADA, "x", "y")

    assert time.monotonic() - start >= 0.2


# What a refusal says


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, Refused, "set GITHUB_TOKEN"),
        (403, Refused, "check what its owner may do"),
        (404, NotFound, "check the name"),
        (409, Refused, "in conflict"),
        (410, Gone, "expired or was switched off"),
        (422, Refused, "mend what was asked for"),
        (451, Refused, "refused"),
    ],
)
def test_a_refusal_is_one_line_with_the_mend_and_without_the_token(
    github: GitHubServer, client: Client, status: int, kind: type[Refused], words: str
) -> None:
    github.fail_next("/user", status, message=f"No,\n\x1b[31m{github.token}\u202e " + "x" * 500)

    with pytest.raises(kind) as caught:
        client.get("/user")

    line = str(caught.value)
    assert caught.value.status == status
    assert caught.value.exit_code == 2
    assert line.startswith("GitHub, /user: ")
    assert words in line
    assert line.isprintable()
    assert len(line) < 400
    assert github.token not in line
    assert client.requests == 1


def test_a_token_that_github_does_not_know_is_refused(github: GitHubServer) -> None:
    with Client("ghp_revoked", base=github.api) as client, pytest.raises(Refused, match="expired") as caught:
        client.get("/user")

    assert caught.value.status == 401


def test_a_missing_scope_is_named(github: GitHubServer) -> None:
    token = github.add_token("teacher", ["repo"])
    with (
        Client(token, base=github.api) as client,
        pytest.raises(Refused, match="lacks the scope admin:org, it has repo; add it at"),
    ):
        list(GitHub(client).rulesets(COURSE))


def test_a_missing_scope_is_named_where_github_hides_the_repository(github: GitHubServer) -> None:
    github.add_repository("cnn-ada", light=True)
    token = github.add_token("teacher", ["read:org"])
    with Client(token, base=github.api) as client, pytest.raises(NotFound, match="lacks the scope repo"):
        client.get(f"/repos/{ADA}")


def test_a_missing_permission_of_a_fine_grained_token_is_named(github: GitHubServer, client: Client) -> None:
    github.fail_next("/user", 403, x_accepted_github_permissions="administration=write")

    with pytest.raises(Refused, match="permission administration=write"):
        client.get("/user")


def test_single_sign_on_is_named_with_its_address(github: GitHubServer, client: Client) -> None:
    github.fail_next("/user", 403, x_github_sso="required; url=https://github.com/orgs/x/sso?a=b")

    with pytest.raises(Refused, match=r"authorise it at https://github.com/orgs/x/sso\?a=b"):
        client.get("/user")


def test_a_fine_grained_token_has_no_scopes(github: GitHubServer) -> None:
    with Client(github.add_token("teacher", None), base=github.api) as client:
        assert GitHub(client).me()[1] is None


def test_githubs_words_on_what_is_wrong_are_passed_on(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)

    with pytest.raises(Refused, match="name already exists on this account"):
        api.create_repository(COURSE, "cnn-ada", "")
    with pytest.raises(Refused, match="No commit found for SHA"):
        api.set_status(ADA, "0" * 40, "success", "grading", "")


def test_the_plan_is_named_where_it_is_what_is_missing(github: GitHubServer, api: GitHub) -> None:
    github.organisation.plan = "free"

    with pytest.raises(Refused, match="Upgrade to GitHub Team"):
        list(api.rulesets(COURSE))


@pytest.mark.parametrize("path", ["/classrooms", "/classrooms/7/assignments", "/assignments/7/grades"])
def test_the_classroom_that_was_switched_off_is_gone(client: Client, github: GitHubServer, path: str) -> None:
    with pytest.raises(Gone, match="switched off"):
        client.get(path)


def test_an_artifact_that_has_expired_is_gone(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    run = github.run("cnn-ada", github.push("cnn-ada", actor="teacher"), artifacts={"score": b"z"})
    run.artifacts[0].expired = True

    with pytest.raises(Gone):
        api.artifact_zip(ADA, run.artifacts[0].id)


def test_what_the_token_may_not_see_is_not_found(github: GitHubServer) -> None:
    github.add_repository("cnn-ada", light=True)
    stranger = github.add_token(github.add_user("eve"))
    with Client(stranger, base=github.api) as client:
        assert GitHub(client).repository(ADA) is None


def test_an_answer_of_another_shape_is_our_failure(github: GitHubServer, api: GitHub) -> None:
    github.add_user("ada").id = "seven"  # type: ignore[assignment]

    with pytest.raises(GradingError, match="no account \\(id: "):
        api.user("ada")

    github.drift.clear()


# Renamed repositories


def test_a_renamed_repository_is_found_under_its_old_name(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    commit = github.push("cnn-ada", actor="teacher")
    kept = github.run("cnn-ada", commit, event="push")
    github.run("cnn-ada", commit, event="schedule")
    github.rename("cnn-ada", "mine")

    found = api.repository(ADA)

    assert found is not None
    assert found.full_name == f"{COURSE}/mine"
    assert [run.id for run in api.runs(ADA, event="push")] == [kept.id]
    assert [repository.name for repository in api.repositories(COURSE)] == ["mine"]


def test_a_write_follows_a_renamed_repository_and_is_done_once(github: GitHubServer, api: GitHub) -> None:
    repository = github.add_repository("cnn-ada", light=True)
    github.rename("cnn-ada", "mine")

    api.create_issue(ADA, "Your feedback", "93 points")

    assert [issue.title for issue in repository.issues] == ["Your feedback"]


def test_a_redirect_that_forgets_what_was_asked_is_reminded(github: GitHubServer, client: Client) -> None:
    github.add_repository("cnn-ada", light=True)
    commit = github.push("cnn-ada", actor="teacher")
    github.run("cnn-ada", commit, event="schedule")
    there = f"{github.api}/repositories/{github.repository('cnn-ada').id}/actions/runs"
    github.fail_next("/repos/dl-course/old/", 301, location=there)

    pages = client.pages("/repos/dl-course/old/actions/runs", {"event": "push"}, key="workflow_runs")

    assert list(pages) == [[]]


# Endpoints that the tests above do not touch


def test_a_repository_is_made_of_a_template_and_handed_to_a_student(
    github: GitHubServer, api: GitHub
) -> None:
    github.add_user("ada")
    github.add_user("bob", role="member")
    github.add_repository("cnn-starter", {"cnn.ipynb": "{}", ".github/x": "y"}, is_template=True)

    made = api.generate(f"{COURSE}/cnn-starter", COURSE, "cnn-ada", "Homework")

    assert made.private
    assert made.template_repository is not None
    assert made.template_repository.full_name == f"{COURSE}/cnn-starter"
    assert api.add_collaborator(ADA, "ada")
    assert not api.add_collaborator(ADA, "bob")
    assert [sent.invitee.login for sent in api.invitations(ADA) if sent.invitee] == ["ada"]
    github.accept("cnn-ada", "ada")
    assert [person.login for person in api.collaborators(ADA)] == ["ada", "bob"]
    assert [person.login for person in api.outside_collaborators(COURSE)] == ["ada"]
    assert [person.login for person in api.members(COURSE)] == ["teacher", "bob"]
    assert [entry.activity_type for entry in api.activity(ADA, MAIN)] == ["branch_creation"]
    head = str(github.repository("cnn-ada").head())
    starter = str(github.repository("cnn-starter").head())
    assert head != starter
    assert api.tree_of(ADA, head, ".github") == api.tree_of(f"{COURSE}/cnn-starter", starter, ".github")
    assert api.tree_of(ADA, head, "nothing") is None


def test_settings_of_the_organisation_are_read_and_written(github: GitHubServer, api: GitHub) -> None:
    made = api.create_repository(COURSE, "bundle", "The grader")
    api.edit_repository(made.full_name, {"is_template": True})
    api.set_access_of_workflows(made.full_name, "organization")
    github.organisation.secrets["BUNDLE_TOKEN"] = github.now
    rule = {"type": "file_path_restriction", "parameters": {"restricted_file_paths": [".github/**/*"]}}
    everywhere = {"repository_name": {"include": ["~ALL"], "exclude": []}}
    ruleset = {
        "name": "no workflows",
        "target": "push",
        "enforcement": "active",
        "conditions": everywhere,
        "rules": [rule],
    }
    kept = api.create_ruleset(COURSE, ruleset)
    api.edit_ruleset(COURSE, kept.id, {"enforcement": "disabled"})

    found = api.repository(made.full_name)

    assert found is not None
    assert found.is_template
    assert api.access_of_workflows(made.full_name) == "organization"
    assert api.has_organisation_secret(COURSE, "BUNDLE_TOKEN")
    assert not api.has_organisation_secret(COURSE, "OTHER")
    assert [(each.name, each.enforcement) for each in api.rulesets(COURSE)] == [("no workflows", "disabled")]
    assert api.organisation(COURSE).plan is not None
    membership = api.membership(COURSE, "teacher")
    assert membership is not None
    assert membership.role == "admin"


def test_a_run_is_read_with_its_attempts_jobs_and_artifacts(github: GitHubServer, api: GitHub) -> None:
    github.add_repository("cnn-ada", light=True)
    commit = github.push("cnn-ada", actor="teacher")
    run = github.run("cnn-ada", commit, conclusion="failure", bundle="b" * 40)
    first = run.attempts[0].jobs[0].completed_at
    github.rerun(run, artifacts={"score-cnn": {"score.json": "{}"}})

    read = api.run(ADA, run.id)

    assert read is not None
    assert (read.run_attempt, read.conclusion, read.created_at) == (2, "success", run.created_at)
    assert read.referenced_workflows is not None
    assert read.referenced_workflows[0].sha == "b" * 40
    (job,) = api.jobs(ADA, run.id, 1)
    assert (job.conclusion, job.completed_at) == ("failure", first)
    (artifact,) = api.artifacts(ADA, run.id, "score-cnn")
    assert [artifact] == list(api.artifacts_named(ADA, "score-cnn"))
    assert artifact.workflow_run is not None
    assert artifact.workflow_run.head_sha == commit
    assert api.run(ADA, 7) is None


def test_pull_requests_are_no_issues(github: GitHubServer, api: GitHub) -> None:
    github.add_user("ada")
    github.add_repository("cnn-ada", light=True)
    github.add_issue("cnn-ada", "Your feedback", user="ada", pull_request=True)
    made = api.create_issue(ADA, "Your feedback", "93 points")

    api.edit_issue(ADA, made.number, {"body": "95 points"})

    assert [(issue.number, issue.body) for issue in api.issues(ADA)] == [(2, "95 points")]


# The token and the address come from the environment


@pytest.mark.parametrize("value", ["{}", " {}\n", "\t{}"])
def test_a_token_is_taken_from_the_environment(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", value.format(github.token))

    assert connect(None).me()[0].login == "teacher"


def test_the_token_of_gh_is_taken_where_there_is_no_other(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "")
    monkeypatch.setenv("GH_TOKEN", github.token)

    assert connect(OnGitHub(organisation=COURSE)).me()[0].login == "teacher"


def test_no_token_is_told_with_what_to_make(github: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")

    with pytest.raises(UsageError, match="GITHUB_TOKEN is not set; make a token"):
        connect(None)


@pytest.mark.parametrize("token", ["ghp_a ghp_b", "ghp_a\nX-Evil: 1", "ghp_ä", "ghp_\x7f"])
def test_a_token_that_can_be_none_is_not_shown(
    github: GitHubServer, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", token)

    with pytest.raises(UsageError, match="GITHUB_TOKEN: holds") as caught:
        connect(None)

    assert "ghp" not in str(caught.value)
    assert github.requests == []
