"""What an organisation lacks is found and told with its mend; the rulesets are set, once, where the plan has them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from classroom_course import Classroom, requests_of
from github_server import GitHubServer

from grading.errors import UsageError
from grading.github.client import Refused, Unavailable
from grading.github.organisation import Finding, check, protect
from grading.release import BundleRelease, Releases, TemplateRelease

COMMIT = "c0ffee" * 6 + "c0de"
RELEASE = "grading release cnn --push"
SETTINGS = "https://github.com/organizations/dl-course/settings"
NOW = datetime(2026, 9, 7, tzinfo=UTC)
RELEASES = Releases(
    (
        BundleRelease(at=NOW, commit=COMMIT, homeworks=("cnn",), tests={"cnn": "digest"}),
        TemplateRelease(at=NOW, homework="cnn", github_tree=COMMIT, bundle_commit=COMMIT, commit=COMMIT),
    )
)


@pytest.fixture
def classroom(github: GitHubServer, tmp_path: Path) -> Classroom:
    """A course all of whose organisation is as it should be."""
    github.add_repository("cnn-starter", light=True, is_template=True, trees={".github": "1" * 40})
    github.add_repository("bundle", light=True, access_level="organization", trees={".github": "2" * 40})
    github.organisation.secrets["BUNDLE_TOKEN"] = NOW
    classroom = Classroom(tmp_path / "homeworks", github.api, github.token)
    protect(classroom.api, classroom.course)
    return classroom


def findings(classroom: Classroom, releases: Releases = RELEASES) -> list[Finding]:
    return check(classroom.api, classroom.course, releases)


def only_problem(classroom: Classroom) -> tuple[str, bool | None, str]:
    """What is not well, where that is one thing: told on one line."""
    (found,) = [finding for finding in findings(classroom) if not finding.healthy]
    assert "\n" not in found.mend
    return found.what, found.healthy, found.mend


def test_where_all_is_well_nothing_is_to_mend(classroom: Classroom, github: GitHubServer) -> None:
    requests = requests_of(github, lambda: findings(classroom))

    found = findings(classroom)

    assert [finding for finding in found if not finding.healthy or finding.mend] == []
    assert len(found) == 14
    assert all(request.startswith("GET ") for request in requests)


def test_a_wrong_token_is_the_only_thing_told(classroom: Classroom) -> None:
    classroom.api = classroom.asking("ghp_expired")

    (found,) = findings(classroom)

    assert found.healthy is False
    assert found.mend.endswith(
        "the token was refused (401); it is wrong, expired or revoked: make a new one, set GITHUB_TOKEN"
    )


@pytest.mark.parametrize(
    ("scopes", "missing"),
    [(["repo", "admin:org"], ["workflow"]), (["repo", "workflow"], ["admin:org"])],
)
def test_a_missing_scope_is_named(
    classroom: Classroom, github: GitHubServer, scopes: list[str], missing: list[str]
) -> None:
    classroom.api = classroom.asking(github.add_token("teacher", scopes))

    told = {finding.what: finding for finding in findings(classroom)}

    unhealthy = [what.rpartition(" ")[2] for what, finding in told.items() if finding.healthy is False]
    assert unhealthy == missing
    scope = told[f"the token has the scope {missing[0]}"]
    assert scope.mend.startswith("add it, to ")
    assert scope.mend.endswith(" at https://github.com/settings/tokens")


def test_what_a_fine_grained_token_may_do_cannot_be_seen(classroom: Classroom, github: GitHubServer) -> None:
    classroom.api = classroom.asking(github.add_token("teacher", None))

    what, healthy, mend = only_problem(classroom)

    assert (what, healthy) == ("the token may do what it has to", None)
    assert "GitHub does not tell of a fine-grained token" in mend


def test_an_organisation_that_is_not_there_ends_the_list(classroom: Classroom) -> None:
    path = classroom.directory / "course.yml"
    path.write_text(path.read_text().replace("dl-course", "dl-curse"))

    last = findings(classroom)[-1]

    assert (last.what, last.healthy) == ("the organisation dl-curse is there", False)
    assert last.mend.startswith(
        f"{path}: github.organisation: GitHub shows this token no organisation dl-curse; "
    )


def test_a_token_of_who_is_no_owner_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.add_user("assistant", role="member")
    for repository in ("cnn-starter", "bundle"):
        github.repository(repository).collaborators["assistant"] = "push"
    classroom.api = classroom.asking(github.add_token("assistant"))

    told = {finding.what: finding.healthy for finding in findings(classroom)}

    assert told["assistant is an owner of dl-course"] is False
    assert told["members cannot make repositories"] is None


def test_a_free_plan_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.plan = "free"

    told = {finding.what: finding for finding in findings(classroom)}

    plan = told["the organisation's plan has rulesets for private repositories"]
    assert plan.healthy is False
    assert "teachers get it free at https://education.github.com" in plan.mend
    assert told['the ruleset "Deep Learning: workflow files" is active'].healthy is None


def test_members_who_see_all_repositories_are_told(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.default_repository_permission = "read"

    assert only_problem(classroom) == (
        "members see no repository but their own",
        False,
        f'set "Base permissions" to "No permission" at {SETTINGS}/member_privileges',
    )


def test_members_who_can_take_names_are_told(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.members_can_create_repositories = True

    what, healthy, mend = only_problem(classroom)

    assert (what, healthy) == ("members cannot make repositories", False)
    assert mend.startswith('switch "Repository creation" off at https://github.com/organizations/dl-course/')


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        (
            "delete",
            f"the template dl-course/cnn-starter is not there, or the token may not see it; run `{RELEASE}`",
        ),
        (
            "is_template",
            f"dl-course/cnn-starter is there, but is no template; run `{RELEASE}`",
        ),
        (
            "private",
            "dl-course/cnn-starter is public; make it private at https://github.com/dl-course/cnn-starter/settings",
        ),
    ],
)
def test_a_template_that_is_not_as_it_should_be_is_told(
    classroom: Classroom, github: GitHubServer, change: str, mend: str
) -> None:
    if change == "delete":
        github.delete("cnn-starter")
    else:
        setattr(github.repository("cnn-starter"), change, False)

    assert only_problem(classroom) == ("the template of cnn is there, and private", False, mend)


def test_a_public_bundle_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.repository("bundle").private = False

    what, _, mend = only_problem(classroom)

    assert what == "the bundle is there, and private"
    assert mend.startswith(
        "it holds the hidden tests: make it private at https://github.com/dl-course/bundle/"
    )


def test_a_missing_bundle_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.delete("bundle")

    assert only_problem(classroom) == (
        "the bundle is there, and private",
        False,
        "dl-course/bundle is not there, or the token may not see it; run `grading bundle --push`",
    )


def test_a_bundle_that_students_cannot_call_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.repository("bundle").access_level = "none"

    what, _, mend = only_problem(classroom)

    assert what == "students' workflows may call the bundle's"
    assert mend.endswith(" at https://github.com/dl-course/bundle/settings/actions")


def test_a_missing_secret_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.secrets.clear()

    what, _, mend = only_problem(classroom)

    assert what == "the organisation has the secret BUNDLE_TOKEN"
    assert "may read the contents of dl-course/bundle and nothing else" in mend


def test_in_central_mode_no_bundle_is_missed(classroom: Classroom, github: GitHubServer) -> None:
    classroom.settings("grade_on_push: false")
    github.delete("bundle")
    github.organisation.secrets.clear()

    assert all(finding.healthy for finding in findings(classroom))


def test_a_ruleset_that_is_switched_off_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.rulesets[1]["enforcement"] = "disabled"

    assert only_problem(classroom) == (
        'the ruleset "Deep Learning: history" is active',
        False,
        "run `grading classroom protect`",
    )


def test_what_is_not_released_is_not_missed(classroom: Classroom, github: GitHubServer) -> None:
    github.delete("cnn-starter")

    assert all(finding.healthy for finding in findings(classroom, Releases()))


def test_trouble_of_githubs_is_no_finding(classroom: Classroom, github: GitHubServer) -> None:
    github.fail_next("/orgs/dl-course$", 502, times=5)

    with pytest.raises(Unavailable):
        findings(classroom)


# Protected


def test_the_rulesets_are_for_students_repositories_alone(classroom: Classroom, github: GitHubServer) -> None:
    workflow, history = github.organisation.rulesets

    assert (workflow["target"], workflow["enforcement"]) == ("push", "active")
    assert workflow["rules"] == [
        {"type": "file_path_restriction", "parameters": {"restricted_file_paths": [".github/**/*"]}}
    ]
    assert workflow["conditions"] == {
        "repository_name": {
            "include": ["cnn-*", "nlp-*"],
            "exclude": ["cnn-starter", "nlp-starter", "bundle"],
        }
    }
    assert (history["target"], history["enforcement"]) == ("branch", "active")
    assert [rule["type"] for rule in history["rules"]] == ["deletion", "non_fast_forward"]
    assert history["conditions"]["ref_name"] == {"include": ["~DEFAULT_BRANCH"], "exclude": []}
    assert history["conditions"]["repository_name"] == workflow["conditions"]["repository_name"]


def test_protecting_twice_changes_nothing(classroom: Classroom, github: GitHubServer) -> None:
    before = [
        {key: value for key, value in each.items() if key != "updated_at"}
        for each in github.organisation.rulesets
    ]

    done = protect(classroom.api, classroom.course)

    after = [
        {key: value for key, value in each.items() if key != "updated_at"}
        for each in github.organisation.rulesets
    ]
    assert after == before
    assert done.lines == (
        'the ruleset "Deep Learning: workflow files" was there, and is up to date',
        'the ruleset "Deep Learning: history" was there, and is up to date',
    )
    assert (done.complete, done.exit_code) == (True, 0)


def test_protecting_again_brings_a_changed_ruleset_back(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.rulesets[0] |= {"enforcement": "disabled", "rules": []}
    other = github.organisation.rulesets[1] | {"id": 7, "name": "somebody else's"}
    github.organisation.rulesets.append(dict(other))

    protect(classroom.api, classroom.course)

    workflow, _, anothers = github.organisation.rulesets
    assert workflow["enforcement"] == "active"
    assert len(workflow["rules"]) == 1
    assert anothers == other


def test_a_free_plan_leaves_open_what_is_told(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.plan = "free"

    requests = requests_of(github, lambda: protect(classroom.api, classroom.course))
    done = protect(classroom.api, classroom.course)

    assert not any(request.startswith(("POST", "PUT")) for request in requests)
    assert (done.complete, done.exit_code) == (False, 2)
    plan, workflow, history = done.lines
    assert plan.startswith("dl-course: the plan is free")
    assert "read what a run fetches, the hidden tests too" in workflow
    assert "central mode" in workflow
    assert history.startswith("open: a student can push over earlier commits")


def test_in_central_mode_a_free_plan_leaves_no_test_open(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.plan = "free"
    classroom.settings("grade_on_push: false")

    done = protect(classroom.api, classroom.course)

    assert (done.complete, done.exit_code) == (True, 0)
    assert "no run fetches a test" in done.lines[1]


def test_a_refused_ruleset_does_not_stop_the_other(classroom: Classroom, github: GitHubServer) -> None:
    github.organisation.rulesets.clear()
    github.fail_next(
        "/rulesets$", 403, method="POST", message="Upgrade to GitHub Team to enable this feature."
    )

    done = protect(classroom.api, classroom.course)

    assert [each["name"] for each in github.organisation.rulesets] == ["Deep Learning: history"]
    assert (done.complete, done.exit_code) == (False, 2)
    assert done.lines[0].startswith('the ruleset "Deep Learning: workflow files" was not set: ')
    assert done.lines[2].startswith("open: a student can change the workflow")


@pytest.mark.parametrize("how", ["drop", "malformed"])
def test_a_lost_answer_sets_no_second_ruleset(classroom: Classroom, github: GitHubServer, how: str) -> None:
    github.organisation.rulesets.clear()
    github.fail_next("/rulesets$", how, method="POST")

    done = protect(classroom.api, classroom.course)

    assert len(github.organisation.rulesets) == 2
    assert done.complete


def test_a_token_without_the_scope_is_told_what_stays_open(
    classroom: Classroom, github: GitHubServer
) -> None:
    classroom.api = classroom.asking(github.add_token("teacher", ["repo"]))

    done = protect(classroom.api, classroom.course)

    assert done.exit_code == 2
    assert "the token lacks the scope admin:org" in done.lines[0]


def test_a_wrong_token_protects_nothing(classroom: Classroom) -> None:
    classroom.api = classroom.asking("ghp_wrong")

    with pytest.raises(Refused, match="401"):
        protect(classroom.api, classroom.course)


def test_a_course_that_is_not_on_github_is_told(classroom: Classroom) -> None:
    path = classroom.directory / "course.yml"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "github" not in line))

    with pytest.raises(UsageError, match=r"course\.yml: github: missing"):
        findings(classroom)
