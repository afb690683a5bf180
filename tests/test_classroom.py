"""Repositories handed out, protected and looked at, over HTTP: what is done once, told plainly, and survives a kill."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from classroom_course import STUDENTS, Classroom, hand_out, requests_of
from github_server import Answer, GitHubServer

from grading.errors import UsageError
from grading.github.classroom import Summary, in_words, show_status
from grading.github.client import Refused, Unavailable
from grading.github.organisation import protect
from grading.github.store import Record, Store
from grading.score import Digests, Outcome, TaskOutcome, build_score


def stock(github: GitHubServer) -> None:
    """An organisation as it is before the first homework: students who are no members, and two templates."""
    for login in STUDENTS:
        github.add_user(login)
    for homework in ("cnn", "nlp"):
        github.add_repository(
            f"{homework}-starter", light=True, is_template=True, trees={".github": "1" * 40}
        )


@pytest.fixture
def classroom(github: GitHubServer, tmp_path: Path) -> Classroom:
    stock(github)
    return Classroom(tmp_path / "homeworks", github.api, github.token)


def invited(github: GitHubServer, repository: str) -> dict[str, str]:
    return {sent.invitee.login: sent.permission for sent in github.repository(repository).invitations}


def students_repositories(github: GitHubServer) -> list[str]:
    return sorted(name for name in github.repositories if not name.endswith("-starter"))


# Handed out


def test_every_student_gets_a_private_copy_and_an_invitation(
    classroom: Classroom, github: GitHubServer
) -> None:
    done = classroom.assign("cnn", "nlp")

    assert done == Summary(created=8, taken_over=0, added=8, ready=0, problems=())
    for login in STUDENTS:
        repository = github.repository(f"cnn-{login}")
        assert repository.private
        assert repository.template is github.repository("cnn-starter")
        assert invited(github, f"cnn-{login}") == {login: "push"}
    assert classroom.told == []


def test_a_member_of_the_organisation_needs_no_invitation(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.members["ada"] = "member"

    assert classroom.assign().added == 4
    assert github.repository("cnn-ada").collaborators == {"ada": "push"}


def test_a_team_has_one_repository(classroom: Classroom, github: GitHubServer) -> None:
    classroom.teams("teams: [{name: owls, members: [ada, barbara], homeworks: [cnn]}]")

    done = classroom.assign("cnn", "nlp")

    assert (done.created, done.added) == (7, 8)
    assert invited(github, "cnn-owls") == {"ada": "push", "Barbara": "push"}
    assert "cnn-ada" not in github.repositories
    assert "nlp-ada" in github.repositories


def test_who_is_no_student_gets_no_repository(classroom: Classroom, github: GitHubServer) -> None:
    classroom.roster("username,role\nada,student\nteacher,instructor\n")

    assert classroom.assign().created == 1
    assert students_repositories(github) == ["cnn-ada"]


def test_what_is_done_is_not_asked_again(classroom: Classroom, github: GitHubServer) -> None:
    classroom.assign("cnn", "nlp")

    requests = requests_of(github, lambda: classroom.assign("cnn", "nlp"))

    assert requests == []
    assert classroom.assign("cnn", "nlp") == Summary(created=0, taken_over=0, added=0, ready=8, problems=())


def test_a_late_student_costs_a_few_requests(classroom: Classroom, github: GitHubServer) -> None:
    classroom.assign()
    github.add_user("katherine")
    classroom.roster("username\n" + "".join(f"{login}\n" for login in (*STUDENTS, "katherine")))

    requests = requests_of(github, classroom.assign)

    assert [request.split("?")[0] for request in requests] == [
        "GET /users/katherine",
        "GET /orgs/dl-course/repos",
        "GET /repos/dl-course/cnn-starter",
        "POST /repos/dl-course/cnn-starter/generate",
        "PUT /repos/dl-course/cnn-katherine/collaborators/katherine",
    ]


def test_progress_is_told_from_none_to_all(classroom: Classroom) -> None:
    seen: list[tuple[int, int]] = []

    classroom.assign(progress=lambda done, total: seen.append((done, total)))

    assert seen == [(done, 4) for done in range(5)]


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    classroom: Classroom, github: GitHubServer
) -> None:
    github.add_repository("cnn-grace", light=True, template="cnn-starter")

    requests = requests_of(github, lambda: classroom.assign(dry_run=True))
    done = classroom.assign(dry_run=True)

    assert {request.split()[0] for request in requests} == {"GET"}
    assert classroom.told[:4] == [
        "would make dl-course/cnn-ada for ada",
        "would take over dl-course/cnn-grace, and add grace",
        "would make dl-course/cnn-Barbara for Barbara",
        "would make dl-course/cnn-frances for frances",
    ]
    assert (done.created, done.taken_over, done.added) == (3, 1, 4)
    assert not classroom.store.directory.exists()


def test_without_the_store_what_was_made_is_taken_over(classroom: Classroom, github: GitHubServer) -> None:
    classroom.assign()
    github.accept("cnn-ada", "ada")
    classroom.store = Store(classroom.directory / "another")

    done = classroom.assign()

    assert (done.created, done.taken_over, done.problems) == (0, 4, ())
    assert len(github.asked("/collaborators/(?!ada)", "PUT")) == 3
    assert requests_of(github, classroom.assign) == []


def test_a_repository_with_other_content_is_told_and_left_alone(
    classroom: Classroom, github: GitHubServer
) -> None:
    theirs = github.add_repository("CNN-grace", light=True, trees={"src": "2" * 40})

    done = classroom.assign()

    assert list(done.problems) == [
        (
            "dl-course/CNN-grace: exists already, and was not made from dl-course/cnn-starter; "
            "rename or delete it, and run it again"
        )
    ]
    assert (done.created, done.exit_code) == (3, 2)
    assert theirs.invitations == []
    assert classroom.told == list(done.problems)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"private": False}, "is public; make it private, and run it again"),
        ({"archived": True}, "is archived; unarchive it, and run it again"),
        (
            {"collaborators": {"frances": "admin"}},
            "would be grace's, and frances has access; take that away, or rename it, and run it again",
        ),
    ],
)
def test_a_repository_that_cannot_be_hers_alone_is_not_taken_over(
    classroom: Classroom, github: GitHubServer, fields: Mapping[str, Any], message: str
) -> None:
    github.add_repository("cnn-grace", light=True, template="cnn-starter", **fields)

    done = classroom.assign()

    assert done.problems == (f"dl-course/cnn-grace: {message}",)
    assert invited(github, "cnn-grace") == {}


def test_a_student_who_made_it_alone_is_its_owner_no_more(classroom: Classroom, github: GitHubServer) -> None:
    github.add_repository("cnn-grace", light=True, template="cnn-starter", collaborators={"grace": "admin"})

    classroom.assign()

    assert github.repository("cnn-grace").collaborators == {"grace": "push"}


def test_a_student_who_does_not_exist_gets_no_repository_and_stops_nobody(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.roster("username\nada\nnobody\ngrace\n")

    done = classroom.assign("cnn", "nlp")

    assert done.problems == (
        f"{classroom.directory}/roster.csv: GitHub has no account nobody; ask the student for the login",
    )
    assert done.exit_code == 2
    assert students_repositories(github) == ["cnn-ada", "cnn-grace", "nlp-ada", "nlp-grace"]


def test_an_account_that_is_another_persons_now_is_not_let_in(
    classroom: Classroom, github: GitHubServer
) -> None:
    ada = github.users["ada"].id
    classroom.roster(f"username,github_id\nada,{ada + 10_000}\ngrace,{github.users['grace'].id}\n")

    done = classroom.assign()

    assert list(done.problems) == [
        (
            f"{classroom.directory}/roster.csv: ada is the account {ada} now, not {ada + 10_000}; "
            "ask the student for the login"
        )
    ]
    assert students_repositories(github) == ["cnn-grace"]


def test_a_student_whom_github_refuses_is_told_and_tried_again(
    classroom: Classroom, github: GitHubServer
) -> None:
    github.fail_next("/collaborators/grace", 422, message="User is blocked")

    done = classroom.assign()

    (problem,) = done.problems
    assert problem.startswith("dl-course/cnn-grace: grace cannot be added: ")
    assert "User is blocked" in problem
    assert done.created == 4
    assert classroom.assign() == Summary(created=0, taken_over=0, added=1, ready=3, problems=())
    assert invited(github, "cnn-grace") == {"grace": "push"}


def test_a_homework_without_its_template_stops_no_other(classroom: Classroom, github: GitHubServer) -> None:
    github.delete("cnn-starter")

    done = classroom.assign("cnn", "nlp")

    assert list(done.problems) == [
        (
            "the template dl-course/cnn-starter is not there, or the token may not see it; "
            "run `grading release cnn --push`"
        )
    ]
    assert (done.created, done.exit_code) == (4, 2)


def test_a_repository_that_is_no_template_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.repository("cnn-starter").is_template = False

    assert classroom.assign().problems == (
        "dl-course/cnn-starter is there, but is no template; run `grading release cnn --push`",
    )


@pytest.mark.parametrize("how", ["drop", "truncate", "malformed", 502])
def test_a_lost_answer_makes_no_second_repository(
    classroom: Classroom, github: GitHubServer, how: int | str
) -> None:
    github.fail_next("/generate", how, method="POST")

    done = classroom.assign()

    assert done.problems == ()
    assert (done.created, done.taken_over) == ((4, 0) if how == 502 else (3, 1))
    assert students_repositories(github) == ["cnn-ada", "cnn-barbara", "cnn-frances", "cnn-grace"]
    assert all(invited(github, f"cnn-{login}") == {login: "push"} for login in STUDENTS)


def test_a_name_that_was_taken_meanwhile_is_looked_at(classroom: Classroom, github: GitHubServer) -> None:
    """The listing is a moment old when the repository is made."""
    at_once = github.answer

    def answer(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        if method == "POST" and "cnn-grace" not in github.repositories:
            github.add_repository("cnn-grace", light=True, trees={"src": "2" * 40})
        return at_once(method, target, headers, body)

    github.answer = answer  # type: ignore[method-assign]

    done = classroom.assign()

    assert [problem[:40] for problem in done.problems] == ["dl-course/cnn-grace: exists already, and w"[:40]]
    assert done.created == 3


def test_limits_of_rate_are_waited_for(classroom: Classroom, github: GitHubServer) -> None:
    github.limit_next("/generate", retry_after=0, times=3)

    assert classroom.assign().created == 4
    assert len(github.asked("/generate", "POST")) == 7


def test_what_was_done_before_github_went_away_is_kept(classroom: Classroom, github: GitHubServer) -> None:
    github.fail_next("/users/Barbara", 503, times=5)

    with pytest.raises(Unavailable):
        classroom.assign()
    done = classroom.assign()

    assert classroom.told[0] == "stopped after 2 of 4: what is done is kept, and running it again goes on"
    assert (done.ready, done.created) == (2, 2)


def test_a_new_member_of_a_team_is_the_only_one_invited(classroom: Classroom, github: GitHubServer) -> None:
    classroom.teams("teams: [{name: owls, members: [ada, grace]}]")
    classroom.assign()
    github.rename("cnn-owls", "cnn-the-owls")
    classroom.teams("teams: [{name: owls, members: [ada, grace, frances]}]")

    done = classroom.assign()

    assert (done.created, done.added, done.ready) == (0, 1, 1)
    assert sorted(invited(github, "cnn-the-owls")) == ["ada", "frances", "grace"]
    assert len(github.asked("/collaborators/ada", "PUT")) == 1


def test_a_student_with_a_new_login_keeps_the_repository(classroom: Classroom, github: GitHubServer) -> None:
    number = github.users["ada"].id
    classroom.roster(f"username,github_id\nada,{number}\n")
    classroom.assign()
    github.rename_user("ada", "countess")
    classroom.roster(f"username,github_id\ncountess,{number}\n")

    assert requests_of(github, classroom.assign) == []
    assert students_repositories(github) == ["cnn-ada"]
    assert classroom.told == ["dl-course/cnn-ada: ada is called countess now"]
    assert classroom.status()["countess"].repository == "dl-course/cnn-ada"


def test_a_login_that_would_name_the_template_is_told(classroom: Classroom, github: GitHubServer) -> None:
    """Whoever may push to the template writes everyone's starter."""
    github.add_user("starter")
    github.organisation.members["starter"] = "member"
    classroom.roster("username\nStarter\nada\n")

    done = classroom.assign()

    assert list(done.problems) == [
        (
            "cnn-Starter: is the name of the template of cnn, and would be of Starter's repository for cnn; "
            f"change github.repository in {classroom.directory}/course.yml"
        )
    ]
    assert github.repository("cnn-starter").collaborators == {}


def test_two_that_would_share_a_name_are_told(classroom: Classroom, github: GitHubServer) -> None:
    classroom.settings("repository: '{student}{homework}', template: '{homework}-starter'")
    (classroom.directory / "x-cnn").mkdir()
    (classroom.directory / "x-cnn" / "homework.yml").touch()
    text = (classroom.directory / "course.yml").read_text()
    (classroom.directory / "course.yml").write_text(text.replace("nlp", "x-cnn"))
    github.add_user("adax-")
    classroom.roster("username\nada\nadax-\n")
    github.rename("nlp-starter", "x-cnn-starter")

    done = classroom.assign("cnn", "x-cnn")

    assert [problem.partition(";")[0] for problem in done.problems] == [
        "adax-cnn: is the name of adax-'s repository for cnn, and would be of ada's repository for x-cnn"
    ]


def test_a_repository_of_another_student_is_not_taken_over(
    classroom: Classroom, github: GitHubServer
) -> None:
    """She left and somebody new has taken her login, which the old repository's name still has."""
    classroom.roster("username\nada\n")
    classroom.assign()
    classroom.settings("repository: '{student}-{homework}'")
    github.rename("cnn-ada", "grace-cnn")
    classroom.roster("username\ngrace\n")

    done = classroom.assign()

    assert done.problems == ("dl-course/grace-cnn: is ada's for cnn; rename it, and run it again",)


def test_a_deleted_repository_is_made_anew_where_that_is_asked_for(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.assign()
    github.delete("cnn-ada")

    assert classroom.assign().ready == 4
    done = classroom.assign(again=["ADA"])

    assert (done.created, done.ready) == (1, 3)
    assert invited(github, "cnn-ada") == {"ada": "push"}
    assert requests_of(github, classroom.assign) == []


def test_again_invites_again(classroom: Classroom, github: GitHubServer) -> None:
    classroom.assign()

    done = classroom.assign(again=["ada"])

    assert (done.created, done.taken_over, done.added) == (0, 1, 1)
    assert len(github.asked("cnn-ada/collaborators/ada", "PUT")) == 2


def test_again_names_somebody(classroom: Classroom) -> None:
    with pytest.raises(
        UsageError, match='--again adda: no student or team of these homeworks is called "adda"'
    ):
        classroom.assign(again=["adda"])


def test_a_wrong_token_is_one_clear_line(classroom: Classroom) -> None:
    classroom.api = classroom.asking("ghp_wrong")

    with pytest.raises(Refused, match=r"the token was refused \(401\)") as caught:
        classroom.assign()

    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert "ghp_wrong" not in str(caught.value)


def test_an_organisation_that_is_not_there_is_one_clear_line(classroom: Classroom) -> None:
    text = (classroom.directory / "course.yml").read_text()
    (classroom.directory / "course.yml").write_text(text.replace("dl-course", "dl-curse"))

    for ask in (classroom.assign, classroom.status, lambda: protect(classroom.api, classroom.course)):
        with pytest.raises(
            UsageError, match=r"course\.yml: github\.organisation: .* no organisation dl-curse; "
        ):
            ask()


def test_a_token_without_scope_makes_nothing(classroom: Classroom, github: GitHubServer) -> None:
    classroom.api = classroom.asking(github.add_token("teacher", ["read:org"]))

    done = classroom.assign()

    assert list(done.problems) == [
        (
            "the template dl-course/cnn-starter is not there, or the token may not see it; "
            "run `grading release cnn --push`"
        )
    ]


def test_a_token_that_may_not_make_repositories_stops_at_the_first(
    classroom: Classroom, github: GitHubServer
) -> None:
    github.add_user("assistant", role="member")
    github.repository("cnn-starter").collaborators["assistant"] = "push"
    classroom.api = classroom.asking(github.add_token("assistant"))

    with pytest.raises(Refused, match="403"):
        classroom.assign()

    assert len(github.asked("/generate")) == 1


def test_a_course_that_is_not_on_github_is_told(classroom: Classroom) -> None:
    path = classroom.directory / "course.yml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "github" not in line))

    with pytest.raises(UsageError, match=r"course\.yml: github: missing"):
        classroom.assign()


# Killed anywhere

GROUPS = "teams: [{name: owls, members: [ada, grace], homeworks: [nlp]}]\n"


class Deadly(GitHubServer):
    """Kills who asks, at the request that `patience` counts down to: before it is done, or when it is done and not
    yet answered."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, light=True)
        self.patience = 0
        self.done_first = False
        self.victim: multiprocessing.process.BaseProcess | None = None
        self.kills = 0

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        self.patience -= 1
        if self.victim is None or self.patience > 0:
            return super().answer(method, target, headers, body)
        victim, self.victim = self.victim, None
        if self.done_first:
            super().answer(method, target, headers, body)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        self.kills += 1
        return None


def state_of(github: GitHubServer, directory: Path) -> dict[str, Any]:
    """All there is at the end, on GitHub and in the store, but for the ids and times."""
    store = Store(directory / "scores")
    names = {one.id: one.name for one in github.by_id.values()}
    return {
        "repositories": {
            one.name: (
                one.private,
                one.template and one.template.name,
                dict(one.collaborators),
                invited(github, one.name),
            )
            for one in github.by_id.values()
        },
        "known": sorted(
            (names[line.repository_id], line.name, line.homework, line.student, line.event)
            for line in store.repositories()
        ),
        "members": sorted(
            (names[line.repository_id], entry.kind, entry.key, tuple(entry.data.items()))
            for line in store.repositories()
            for entry in store.journal(line.homework, line.repository_id)
        ),
    }


def test_killed_anywhere_and_run_again_it_ends_as_if_never_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grading.github.classroom"])

    def run(github: Deadly, place: Path) -> int | None:
        process = context.Process(target=hand_out, args=(place, github.api, github.token))
        process.start()
        github.victim = process if github.patience else None
        process.join()
        return process.exitcode

    def prepared(name: str) -> tuple[Deadly, Path]:
        github = Deadly(tmp_path / f"{name}-github")
        stock(github)
        place = tmp_path / name
        Classroom(place, github.api, github.token).teams(GROUPS)
        return github, place

    unharmed, place = prepared("unharmed")
    with unharmed:
        assert run(unharmed, place) == 0
    expected = state_of(unharmed, place)
    assert len(expected["known"]) == 7

    choose = random.Random(4)
    kills = 0
    while kills < 20:
        github, place = prepared(f"killed-{kills}")
        with github:
            while True:
                github.patience, github.done_first = choose.randint(4, 9), choose.random() < 0.5
                if run(github, place) == 0:
                    break
        kills += github.kills
        sent = [each.path for each in github.asked("/collaborators/", "PUT") if each.status == 201]
        assert len(sent) == len(set(sent)), "somebody was invited twice"
        assert state_of(github, place) == expected
        assert github.drift == []


# How far everyone is


def record(
    classroom: Classroom,
    student: str,
    *,
    passed: int = 2,
    days_late: int = 0,
    verified: bool = True,
    commit: str = "c0ffee" * 6 + "c0de",
) -> None:
    """What collecting leaves of an attempt that passed so many of two tests."""
    deadline = datetime(2026, 11, 29, tzinfo=UTC)
    submitted_at = deadline + timedelta(days=days_late)
    tests = [Outcome(f"test_{number}", "passed" if number < passed else "failed") for number in range(2)]
    score = build_score(
        homework="cnn",
        tasks=[TaskOutcome("all", 100, tests)],
        policy=classroom.course.late,
        timezone=UTC,
        submitted_at=submitted_at,
        deadline=deadline,
        student=student,
        commit=commit,
        confined=True,
        digests=Digests(),
    )
    classroom.store.write_record(
        Record(
            homework="cnn",
            student=student,
            members=(student,),
            repository=f"dl-course/cnn-{student}",
            repository_id=1,
            commit=commit,
            status="verified" if verified else "unverified",
            pushed_at=submitted_at,
            submitted_at=submitted_at,
            time_source="push",
            origin="reported",
            reported_points=score.points,
            central_points=None,
            score=score,
        )
    )


def test_status_tells_how_far_everyone_is(classroom: Classroom, github: GitHubServer) -> None:
    classroom.assign()
    for login in ("ada", "grace"):
        github.accept(f"cnn-{login}", login)
    pushed = datetime(2026, 9, 8, 12, tzinfo=UTC)
    github.push("cnn-ada", trees={".github": "1" * 40}, actor="ada", at=pushed)
    record(classroom, "ada", passed=1)

    rows = classroom.status()

    ada, grace, barbara = rows["ada"], rows["grace"], rows["Barbara"]
    assert (ada.repository, ada.accepted, ada.pushed_at) == ("dl-course/cnn-ada", True, pushed)
    assert (ada.status, ada.points, ada.invited_at) == ("verified", 50, None)
    assert (grace.accepted, grace.pushed_at, grace.status, grace.points) == (True, None, None, None)
    assert (barbara.repository, barbara.accepted) == ("dl-course/cnn-Barbara", False)
    assert barbara.invited_at is not None


def test_the_attempt_that_counts_is_the_one_that_is_shown(classroom: Classroom) -> None:
    record(classroom, "ada", commit="1" * 40, passed=1)
    record(classroom, "ada", commit="2" * 40, passed=2, days_late=1)
    record(classroom, "ada", commit="3" * 40, passed=2, verified=False)
    record(classroom, "grace", verified=False)

    rows = classroom.status()

    assert (rows["ada"].status, rows["ada"].points) == ("verified", Fraction(90))
    assert (rows["grace"].status, rows["grace"].points) == ("unverified", None)
    assert (rows["grace"].repository, rows["grace"].accepted) == (None, False)


def test_with_everyone_at_work_status_asks_for_the_listing_alone(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.assign("cnn", "nlp")
    for name in students_repositories(github):
        login = name.partition("-")[2]
        github.accept(name, login)
        github.push(name, trees={}, actor=login, at=github.now + timedelta(minutes=2))

    requests = requests_of(github, lambda: classroom.status("cnn", "nlp"))

    assert [request.split("?")[0] for request in requests] == ["GET /orgs/dl-course/repos"]


def test_a_student_once_known_to_be_in_is_not_looked_for_again(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.assign()
    for login in STUDENTS:
        github.accept(f"cnn-{login}", login)

    first = requests_of(github, classroom.status)
    second = requests_of(github, classroom.status)

    assert [request.split("?")[0].rpartition("/")[2] for request in first] == [
        "repos",
        "outside_collaborators",
        "members",
    ]
    assert len(second) == 1
    assert all(row.accepted for row in classroom.status().values())


def test_who_is_in_for_one_homework_may_not_be_for_the_next(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.assign("cnn")
    github.accept("cnn-ada", "ada")
    classroom.status("cnn")

    classroom.assign("nlp")

    assert classroom.status("cnn")["ada"].accepted is True
    assert classroom.status("nlp")["ada"].accepted is None
    assert classroom.status("nlp")["grace"].accepted is False


def test_a_member_of_the_organisation_is_in_at_once(classroom: Classroom, github: GitHubServer) -> None:
    for login in STUDENTS:
        github.organisation.members[login.lower()] = "member"
    classroom.assign()

    requests = requests_of(github, classroom.status)

    assert len(requests) == 1
    assert all(row.accepted for row in classroom.status().values())


def test_a_team_is_in_once_it_has_pushed(classroom: Classroom, github: GitHubServer) -> None:
    classroom.teams("teams: [{name: owls, members: [ada, grace]}]")
    classroom.assign()
    github.accept("cnn-owls", "grace")
    before = classroom.status()["owls"]
    github.push("cnn-owls", trees={}, actor="grace", at=github.now + timedelta(minutes=2))

    after = classroom.status()["owls"]

    assert (before.accepted, after.accepted) == (None, True)
    assert after.holder.members == ("ada", "grace")


def test_a_renamed_repository_is_still_hers_and_a_deleted_one_is_gone(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.assign()
    github.rename("cnn-ada", "my-first-network")
    github.delete("cnn-grace")

    rows = classroom.status()

    assert rows["ada"].repository == "dl-course/my-first-network"
    assert (rows["grace"].repository, rows["grace"].accepted) == (None, False)


def test_status_goes_on_while_another_process_writes(classroom: Classroom, github: GitHubServer) -> None:
    classroom.assign()
    github.accept("cnn-ada", "ada")

    with Store(classroom.store.directory).writing():
        assert classroom.status()["ada"].accepted is True


def test_what_status_shows_can_be_read(
    classroom: Classroom, github: GitHubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    classroom.teams("teams: [{name: owls, members: [Barbara, frances]}]")
    classroom.roster("username\nada\ngrace\nBarbara\nfrances\nnobody\n")
    classroom.assign()
    github.accept("cnn-ada", "ada")
    github.push("cnn-ada", trees={}, actor="ada", at=datetime(2026, 9, 8, 12, tzinfo=UTC))
    record(classroom, "ada", passed=1)

    show_status(classroom.status().values(), classroom.course)

    assert [line.split() for line in capsys.readouterr().out.splitlines() if line] == [
        ["cnn:", "3", "repositories,", "1", "accepted,", "1", "pushed,", "1", "graded"],
        ["who", "accepted", "last", "push", "status", "points"],
        ["ada", "yes", "2026-09-08", "12:00", "verified", "50"],
        ["grace", "no"],
        ["owls", "(Barbara,", "frances)", "no"],
        ["nobody", "no", "repository"],
    ]


def test_an_invitation_that_has_expired_is_told(classroom: Classroom) -> None:
    """GitHub's lapse after seven days, and nobody is told by GitHub."""
    classroom.assign()

    row = classroom.status()["ada"]

    assert row.invited_at is not None
    assert in_words(row, row.invited_at + timedelta(days=6)) == "no"
    assert in_words(row, row.invited_at + timedelta(days=7)).endswith("has expired: assign --again")
