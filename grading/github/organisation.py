"""What the course needs of its organisation: what of it is missing, and the rulesets that this suite sets itself.

`check` writes nothing. `protect` sets two rulesets and touches no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from grading.course import Course, OnGitHub
from grading.errors import UsageError
from grading.github.answers import Membership, Organisation, Repository
from grading.github.api import GitHub
from grading.github.client import NotFound, Refused, Uncertain
from grading.release import Releases, settings_of, template_name

BUNDLE_SECRET = "BUNDLE_TOKEN"
SCOPES = {
    "repo": "to make and read the repositories",
    "workflow": "to push the template's workflow",
    "admin:org": "to see roles and secrets, and to set the rulesets",
}
FREE_PLAN = (
    "the plan is free, and private repositories have rulesets from GitHub Team on; "
    "teachers get it free at https://education.github.com"
)


def repository_name(settings: OnGitHub, homework: str, holder: str) -> str:
    """The repository that a student or a team has for a homework, within the organisation."""
    return settings.repository.format(homework=homework, student=holder)


def no_organisation(course: Course, error: NotFound) -> UsageError:
    name = settings_of(course).organisation
    return UsageError(
        f"{course.path}: github.organisation: GitHub shows this token no organisation {name}; "
        f"correct the name, or use an owner's token ({error})"
    )


def template_problem(template: Repository | None, name: str, homework: str) -> str:
    """Why no repository can be made from it, and the mend; empty where one can."""
    again = f"run `grading release {homework} --push`"
    if template is None:
        return f"the template {name} is not there, or the token may not see it; {again}"
    return "" if template.is_template else f"{name} is there, but is no template; {again}"


# What is missing


@dataclass(slots=True, frozen=True)
class Finding:
    """`healthy` is None where GitHub does not tell; `mend` says what to do, or to look at, unless it is True."""

    what: str
    healthy: bool | None
    mend: str = ""


def check(api: GitHub, course: Course, releases: Releases) -> list[Finding]:
    """What a course needs on GitHub, one after the other; without a token or an organisation, no further.

    Raises UsageError where the course says nothing of GitHub, and Unavailable.
    """
    return [
        Finding(one.what, one.healthy, "" if one.healthy else one.mend)
        for one in _findings(api, course, settings_of(course), releases)
    ]


def _findings(api: GitHub, course: Course, settings: OnGitHub, releases: Releases) -> Iterator[Finding]:
    try:
        me, scopes = api.me()
    except Refused as error:
        yield Finding("the token is a person's, and valid", False, str(error))
        return
    yield Finding(f"the token is {me.login}'s", True)
    yield from _scope_findings(scopes)
    try:
        organisation = api.organisation(settings.organisation)
    except NotFound as error:
        what = f"the organisation {settings.organisation} is there"
        yield Finding(what, False, str(no_organisation(course, error)))
        return
    yield _owner_finding(api, settings, me.login)
    yield from _organisation_findings(organisation)
    for homework in dict.fromkeys((*releases.released, *(line.homework for line in releases.templates))):
        yield _template_finding(api, settings, homework)
    if settings.grade_on_push:
        yield from _bundle_findings(api, settings)
    yield from _ruleset_findings(api, course, settings)


def _scope_findings(scopes: frozenset[str] | None) -> Iterator[Finding]:
    if scopes is None:
        yield Finding(
            "the token may do what it has to",
            None,
            "GitHub does not tell of a fine-grained token; it needs, on all of the organisation's repositories, to "
            "write administration, actions, commit statuses, contents, issues and workflows, and, in the "
            "organisation, to write administration and to read members and secrets",
        )
        return
    for scope, why in SCOPES.items():
        mend = f"add it, {why}, at https://github.com/settings/tokens"
        yield Finding(f"the token has the scope {scope}", scope in scopes, mend)


def _owner_finding(api: GitHub, settings: OnGitHub, login: str) -> Finding:
    what = f"{login} is an owner of {settings.organisation}"
    mend = "let an owner of the organisation make you one, or use an owner's token"
    try:
        membership: Membership | None = api.membership(settings.organisation, login)
    except Refused as error:
        if error.status != 403:
            raise
        return Finding(what, None, str(error))
    owns = membership is not None and (membership.state, membership.role) == ("active", "admin")
    return Finding(what, owns, mend)


def _organisation_findings(organisation: Organisation) -> Iterator[Finding]:
    plan = None if organisation.plan is None else organisation.plan.name
    base = organisation.default_repository_permission
    creating = organisation.members_can_create_repositories
    owners_only = "only an owner is told; use an owner's token"
    privileges = f"at {_settings_page(organisation.login)}/member_privileges"
    yield Finding(
        "the organisation's plan has rulesets for private repositories",
        None if plan is None else plan != "free",
        owners_only if plan is None else FREE_PLAN,
    )
    yield Finding(
        "members see no repository but their own",
        None if base is None else base == "none",
        owners_only if base is None else f'set "Base permissions" to "No permission" {privileges}',
    )
    yield Finding(
        "members cannot make repositories",
        None if creating is None else not creating,
        owners_only
        if creating is None
        else f'switch "Repository creation" off {privileges}: a student could take a name that is another\'s',
    )


def _settings_page(organisation: str) -> str:
    return f"https://github.com/organizations/{organisation}/settings"


def _template_finding(api: GitHub, settings: OnGitHub, homework: str) -> Finding:
    name = f"{settings.organisation}/{template_name(settings, homework)}"
    template = api.repository(name)
    problem = template_problem(template, name, homework)
    if not problem and template is not None and not template.private:
        problem = f"{name} is public; make it private at https://github.com/{name}/settings"
    return Finding(f"the template of {homework} is there, and private", not problem, problem)


def _bundle_findings(api: GitHub, settings: OnGitHub) -> Iterator[Finding]:
    name = f"{settings.organisation}/{settings.bundle}"
    page = f"https://github.com/{name}/settings"
    bundle = api.repository(name)
    if bundle is None:
        mend = f"{name} is not there, or the token may not see it; run `grading bundle --push`"
    else:
        mend = f"it holds the hidden tests: make it private at {page} at once, and change the course's salt"
    yield Finding("the bundle is there, and private", bundle is not None and bundle.private, mend)
    if bundle is not None:
        yield _asked(
            "students' workflows may call the bundle's",
            lambda: api.access_of_workflows(name) == "organization",
            f'choose "Accessible from repositories in the organization" at {page}/actions',
        )
    yield _asked(
        f"the organisation has the secret {BUNDLE_SECRET}",
        lambda: api.has_organisation_secret(settings.organisation, BUNDLE_SECRET),
        f"make a token that may read the contents of {name} and nothing else, and add it for private repositories "
        f"at {_settings_page(settings.organisation)}/secrets/actions",
    )


def _asked(what: str, ask: Callable[[], bool], mend: str) -> Finding:
    try:
        return Finding(what, ask(), mend)
    except Refused as error:
        if error.status != 403:
            raise
        return Finding(what, None, str(error))


def _ruleset_findings(api: GitHub, course: Course, settings: OnGitHub) -> Iterator[Finding]:
    why, there = "", {}
    try:
        there = {ruleset.name: ruleset.enforcement for ruleset in api.rulesets(settings.organisation)}
    except Refused as error:
        if error.status not in (403, 404):
            raise
        why = str(error)
    for ruleset in _rulesets(course, settings).values():
        name = ruleset["name"]
        healthy = None if why else there.get(name) == "active"
        yield Finding(f'the ruleset "{name}" is active', healthy, why or "run `grading classroom protect`")


# Protected


@dataclass(slots=True, frozen=True)
class Protection:
    """What was set and what stays open, line by line; `complete`: no way to a hidden test stays open."""

    lines: tuple[str, ...]
    complete: bool

    @property
    def exit_code(self) -> int:
        return 0 if self.complete else 2


def protect(api: GitHub, course: Course) -> Protection:
    """Set the rulesets for the students' repositories of all homeworks, or bring them up to date.

    Nobody but an owner pushes a change below `.github`, nor rewrites or deletes the default branch. Raises
    UsageError and Unavailable.
    """
    settings = settings_of(course)
    try:
        plan = api.organisation(settings.organisation).plan
    except NotFound as error:
        raise no_organisation(course, error) from error
    if plan is not None and plan.name == "free":
        lines = (f"{settings.organisation}: {FREE_PLAN}", *_left_open(settings, ("push", "branch")))
        return Protection(lines, not settings.grade_on_push)
    said, missing = [], []
    try:
        there = {ruleset.name: ruleset.id for ruleset in api.rulesets(settings.organisation)}
        for target, ruleset in _rulesets(course, settings).items():
            try:
                said.append(_set(api, settings.organisation, ruleset, there.get(ruleset["name"])))
            except Refused as error:
                if error.status not in (403, 404, 422):
                    raise
                said.append(f'the ruleset "{ruleset["name"]}" was not set: {error}')
                missing.append(target)
    except Refused as error:
        if error.status not in (403, 404):
            raise
        said, missing = [f"no ruleset was set: {error}"], ["push", "branch"]
    complete = "push" not in missing or not settings.grade_on_push
    return Protection((*said, *_left_open(settings, missing)), complete)


def _rulesets(course: Course, settings: OnGitHub) -> dict[str, dict[str, Any]]:
    """By what they are about. Owners may pass: they make the repositories, and mend them."""
    homeworks = [homework.name for homework in course.homeworks]
    names = {
        "include": [repository_name(settings, homework, "*") for homework in homeworks],
        "exclude": [*(template_name(settings, homework) for homework in homeworks), settings.bundle],
    }
    always = {
        "enforcement": "active",
        "bypass_actors": [{"actor_id": 1, "actor_type": "OrganizationAdmin", "bypass_mode": "always"}],
    }
    paths = {"restricted_file_paths": [".github/**/*"]}
    branches = {"include": ["~DEFAULT_BRANCH"], "exclude": []}
    return {
        "push": {
            "name": f"{course.name}: workflow files",
            "target": "push",
            "conditions": {"repository_name": names},
            "rules": [{"type": "file_path_restriction", "parameters": paths}],
            **always,
        },
        "branch": {
            "name": f"{course.name}: history",
            "target": "branch",
            "conditions": {"repository_name": names, "ref_name": branches},
            "rules": [{"type": "deletion"}, {"type": "non_fast_forward"}],
            **always,
        },
    }


def _set(api: GitHub, organisation: str, ruleset: Mapping[str, Any], number: int | None) -> str:
    name = ruleset["name"]
    if number is None:
        try:
            api.create_ruleset(organisation, ruleset)
        except Uncertain:
            number = next((there.id for there in api.rulesets(organisation) if there.name == name), None)
            if number is None:
                raise
        else:
            return f'the ruleset "{name}" is set'
    api.edit_ruleset(organisation, number, ruleset)
    return f'the ruleset "{name}" was there, and is up to date'


def _left_open(settings: OnGitHub, missing: Collection[str]) -> Iterator[str]:
    if "push" in missing and settings.grade_on_push:
        yield (
            "open: a student can change the workflow and read what a run fetches, the hidden tests too; "
            "collecting marks such scores unverified, but only central mode (`grade_on_push: false`) hides the tests"
        )
    elif "push" in missing:
        yield (
            "open: a student can change the workflow; in central mode no run fetches a test, "
            "and no score rests on a run"
        )
    if "branch" in missing:
        yield "open: a student can push over earlier commits; collect often, it keeps what it saw and flags the rest"
