"""`teams.yml`: who shares a repository for which homework, and every slip told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.course import Course, load_course
from grading.errors import UsageError
from grading.roster import Roster, read_roster
from grading.teams import Holder, Teams, read_teams


@pytest.fixture
def course(tmp_path: Path) -> Course:
    for name in ("cnn", "nlp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "homework.yml").write_text("title: unread until asked for\n")
    (tmp_path / "course.yml").write_text(
        "name: Deep Learning\ntimezone: UTC\nsalt: salt\nhomeworks: [{name: cnn, weight: 1}, {name: nlp, weight: 1}]\n"
    )
    return load_course(tmp_path / "course.yml")


@pytest.fixture
def roster(tmp_path: Path) -> Roster:
    (tmp_path / "roster.csv").write_text(
        "username,role\nada,\nGrace,\nbarbara,\nprof,instructor\nfrances,student\n"
    )
    return read_roster(tmp_path / "roster.csv")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "teams.yml"


def told(path: Path, roster: Roster, course: Course, text: str) -> str:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_teams(path, roster, course)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


def test_without_a_file_everyone_works_alone(path: Path, roster: Roster, course: Course) -> None:
    teams = read_teams(path, roster, course)

    assert teams == Teams()
    assert teams.of("ada", "cnn") is None
    assert teams.repositories(course, roster, "cnn") == [
        Holder(login, (login,)) for login in ("ada", "Grace", "barbara", "frances")
    ]


def test_a_team_has_one_repository_for_its_homeworks(path: Path, roster: Roster, course: Course) -> None:
    path.write_text("teams:\n  - {name: owls, members: [GRACE, barbara], homeworks: [cnn]}\n")

    teams = read_teams(path, roster, course)

    assert teams.repositories(course, roster, "cnn") == [
        Holder("ada", ("ada",)),
        Holder("owls", ("Grace", "barbara")),
        Holder("frances", ("frances",)),
    ]
    assert [holder.name for holder in teams.repositories(course, roster, "nlp")] == [
        "ada",
        "Grace",
        "barbara",
        "frances",
    ]


def test_a_member_is_found_in_any_case(path: Path, roster: Roster, course: Course) -> None:
    path.write_text("teams: [{name: owls, members: [grace, ada]}]\n")

    teams = read_teams(path, roster, course)

    team = teams.of("GRACE", "nlp")
    assert team is not None
    assert (team.name, team.members, team.homeworks) == ("owls", ("Grace", "ada"), ("cnn", "nlp"))
    assert teams.of("barbara", "nlp") is None


def test_a_team_may_be_for_no_homework_but_for_what_is_entered_by_hand(
    path: Path, roster: Roster, course: Course
) -> None:
    path.write_text("teams:\n  - {name: owls, members: [grace, ada], homeworks: []}\n")

    teams = read_teams(path, roster, course)

    assert [team.homeworks for team in teams.teams] == [()]
    assert teams.of("ada", "cnn") is None


def test_a_student_may_be_in_different_teams_for_different_homeworks(
    path: Path, roster: Roster, course: Course
) -> None:
    path.write_text(
        "teams:\n"
        "  - {name: owls, members: [ada, grace], homeworks: [cnn]}\n"
        "  - {name: larks, members: [ada, barbara], homeworks: [nlp]}\n"
    )

    teams = read_teams(path, roster, course)

    assert [getattr(teams.of("ada", homework), "name", None) for homework in ("cnn", "nlp")] == [
        "owls",
        "larks",
    ]


def test_a_team_may_be_named_by_one_of_its_members(path: Path, roster: Roster, course: Course) -> None:
    path.write_text("teams: [{name: ada, members: [ada, grace]}]\n")

    holders = read_teams(path, roster, course).repositories(course, roster, "cnn")

    assert holders[0] == Holder("ada", ("ada", "Grace"))
    assert [holder.name for holder in holders] == ["ada", "barbara", "frances"]


def test_an_unknown_homework_has_no_repositories(path: Path, roster: Roster, course: Course) -> None:
    with pytest.raises(UsageError, match='no homework "gan"; there is: cnn, nlp'):
        read_teams(path, roster, course).repositories(course, roster, "gan")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "teams:\n- {name: owls, members: [ada, nobody]}\n",
            '2: teams.0.members.1: "nobody" is not in {roster}; check the spelling',
        ),
        (
            "teams:\n- {name: owls, members: [barbra]}\n",
            '2: teams.0.members.0: "barbra" is not in {roster}; did you mean "barbara"?',
        ),
        (
            "teams:\n- {name: owls, members: [ada, prof]}\n",
            '2: teams.0.members.1: "prof" is instructor in {roster}, no student; take them out',
        ),
        (
            "teams:\n- name: owls\n  members: [ada]\n  homeworks: [cnm]\n",
            '4: teams.0.homeworks.0: no homework "cnm"; did you mean "cnn"?',
        ),
        (
            "teams:\n- {name: owls, members: [ada, grace]}\n- {name: larks, members: [Ada], homeworks: [nlp]}\n",
            '3: teams.1.members.0: "Ada" is in the team owls for nlp already; take them out of one',
        ),
        (
            "teams:\n- {name: owls, members: [ada, ADA]}\n",
            '2: teams.0.members.1: "ADA" stands here a second time; remove one',
        ),
        (
            "teams:\n- {name: Barbara, members: [ada, grace]}\n",
            '2: teams.0.name: "Barbara" is a student\'s login, and a repository has one owner; give',
        ),
        (
            "teams:\n- {name: owls, members: [ada]}\n- {name: OWLS, members: [grace]}\n",
            '3: teams.1.name: a second team "OWLS"; give it another name',
        ),
        ("teams:\n- {name: owls}\n", "2: teams.0.members: missing; add it"),
        ("teams:\n- {name: owls, members: []}\n", "2: teams.0.members: "),
        ("teams:\n- {name: night owls, members: [ada]}\n", "2: teams.0.name: "),
        (
            "teams:\n- {name: owls, member: [ada]}\n",
            '2: teams.0.member: unknown key; did you mean "members"?',
        ),
        ("team: []\n", '1: team: unknown key; did you mean "teams"?'),
        ("", "1: the file is empty"),
    ],
)
def test_a_slip_is_told_with_its_line_and_its_mend(
    path: Path, roster: Roster, course: Course, text: str, message: str
) -> None:
    assert told(path, roster, course, text).startswith(message.replace("{roster}", str(roster.path)))
