"""A GitHub on this machine: its REST API, its storage and git over HTTP, for one organisation (github_world).

It behaves as GitHub does where a course can notice: pages, conditional requests, limits, redirects, refusals, and
answers that break off where a test plans it. Every answer is held against GitHub's description; what does not fit,
and whatever else should not happen here, is kept in `drift`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import github_shapes as shapes
from github_description import Description
from github_git import Git
from github_http import API, Answer, Logged, handler_of
from github_shapes import Json
from github_world import NOWHERE, Issue, Repository, Run, Status, Token, User, World

DESCRIPTION = Description()
Item = TypeVar("Item")


@dataclass
class Plan:
    """What shall go wrong with the next requests that match."""

    pattern: re.Pattern[str]
    method: str | None
    how: int | str
    times: int
    headers: dict[str, str]
    message: str


class Problem(Exception):
    """The answer is another than was asked for."""

    def __init__(self, status: int, message: str, data: Json | None = None, **headers: str) -> None:
        super().__init__(message)
        body = shapes.basic_error(message, status) if data is None else data
        self.answer = Answer(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


@dataclass
class Call:
    """One request to the API, with who sent it."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    token: Token
    accept: str
    headers: dict[str, str] = field(default_factory=dict)  # of the answer

    @property
    def user(self) -> User:
        return self.token.user

    def text(self, name: str, default: str | None = None) -> str:
        value = (self.body or {}).get(name, default)
        if not isinstance(value, str):
            raise Problem(422, "Invalid request.", shapes.validation_error("", "", name, "missing_field"))
        return value


Endpoint = Callable[..., Answer]
ROUTES: list[tuple[str, str, re.Pattern[str], tuple[str, ...], Endpoint]] = []

ORG_READ = ("admin:org", "read:org", "write:org")
ORG_ADMIN = ("admin:org",)
REPO = ("repo",)


def route(method: str, template: str, scopes: tuple[str, ...] = ()) -> Callable[[Endpoint], Endpoint]:
    """Serve a path of the API; `scopes` are those of which a classic token needs one."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))

    def keep(endpoint: Endpoint) -> Endpoint:
        ROUTES.append((method, template, pattern, scopes, endpoint))
        return endpoint

    return keep


class GitHubServer(World):
    """Serve from `start()` (or `with`) to `stop()`; `api` and `web` are its addresses."""

    def __init__(self, directory: Path, *, light: bool = False) -> None:
        super().__init__(directory, light)
        self.requests: list[Logged] = []
        self.git_requests: list[Logged] = []
        self.drift: list[str] = []
        self.limit = self.remaining = 5000
        self.reset_at = int(time.time()) + 3600
        self._plans: list[Plan] = []
        self._storage: dict[str, bytes] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self._http.daemon_threads = True
        self.web = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.api = self.web + API

    def start(self) -> GitHubServer:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> GitHubServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What a test plans and counts

    def fail_next(
        self,
        pattern: str,
        status: int | str = 502,
        *,
        times: int = 1,
        method: str | None = None,
        message: str = "Server Error",
        **headers: str,
    ) -> None:
        """Spoil the next requests whose path and query match `pattern` (re.search).

        A number: nothing is done, and that is answered. `drop`, `truncate`, `malformed`: it is done, and the answer is
        lost whole, breaks off in the middle, or is no JSON. `headers` (with `_` for `-`) are answered too; with the
        status `headers` nothing else is wrong.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._plans.append(Plan(re.compile(pattern), method, status, times, named, message))

    def limit_next(
        self, pattern: str, retry_after: int | None = None, *, times: int = 1, status: int = 403
    ) -> None:
        """A secondary limit of rate, with or without saying how long it holds."""
        headers = {} if retry_after is None else {"retry_after": str(retry_after)}
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        self.fail_next(pattern, status, times=times, message=message, **headers)

    def asked(self, pattern: str, method: str | None = None) -> list[Logged]:
        """The requests whose path and query match."""
        return [
            each for each in self.requests if re.search(pattern, each.path) and method in (None, each.method)
        ]

    # The API

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        """One request's answer; None to drop the connection."""
        plan = self._planned(method, target)
        try:
            if plan is not None and isinstance(plan.how, int):
                raise Problem(plan.how, plan.message, None, **plan.headers)
            token = self._token(headers)
            self._spend(token)
            answer = self._serve(method, target, token, body, headers.get("accept", ""))
        except Problem as problem:
            answer = problem.answer
        except Exception:
            self.drift.append(f"{method} {target}: {traceback.format_exc()}")
            answer = Answer(500, shapes.basic_error("Server Error", 500))
        self._decorate(answer, headers)
        if plan is not None:
            answer.headers |= plan.headers
        if method == "GET" and answer.status == 200 and answer.content is None:
            answer.headers["ETag"] = f'W/"{hashlib.sha256(answer.body()).hexdigest()}"'
            if headers.get("if-none-match") == answer.headers["ETag"]:
                self.remaining += 1  # such an answer is free
                return Answer(304, None, answer.headers, b"")
        if plan is not None and isinstance(plan.how, str):
            if plan.how == "drop":
                return None
            if plan.how == "malformed":
                answer.content = b"<html>Unicorn!</html>"
            elif plan.how == "truncate":
                answer.headers["x-test-truncate"] = "1"
        return answer

    def _planned(self, method: str, target: str) -> Plan | None:
        for plan in self._plans:
            if plan.times and plan.method in (None, method) and plan.pattern.search(target):
                plan.times -= 1
                return plan
        return None

    def _token(self, headers: Mapping[str, str]) -> Token:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if not value:
            raise Problem(401, "Requires authentication")
        if kind.lower() not in ("bearer", "token") or value not in self.tokens:
            raise Problem(401, "Bad credentials")
        return self.tokens[value]

    def _spend(self, token: Token) -> None:
        if int(time.time()) >= self.reset_at:
            self.remaining, self.reset_at = self.limit, int(time.time()) + 3600
        if self.remaining <= 0:
            raise Problem(403, f"API rate limit exceeded for user ID {token.user.id}.")
        self.remaining -= 1

    def _decorate(self, answer: Answer, headers: Mapping[str, str]) -> None:
        token = self.tokens.get(headers.get("authorization", "").partition(" ")[2])
        if token is not None and token.scopes is not None:
            answer.headers.setdefault("X-OAuth-Scopes", ", ".join(token.scopes))
            answer.headers.setdefault("X-Accepted-OAuth-Scopes", "")
        answer.headers |= {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Used": str(self.limit - self.remaining),
            "X-RateLimit-Reset": str(self.reset_at),
            "X-RateLimit-Resource": "core",
        }

    def _serve(self, method: str, target: str, token: Token, raw: bytes, accept: str) -> Answer:
        address = urlsplit(target)
        path, query = unquote(address.path), dict(parse_qsl(address.query, keep_blank_values=True))
        if re.match(r"/(classrooms|assignments)(/|$)", path):
            raise Problem(410, "GitHub Classroom has been retired.")
        by_number = re.fullmatch(r"/repositories/(\d+)(/.*)?", path)
        if by_number:
            repository = self.by_id.get(int(by_number[1]))
            if repository is None:
                raise Problem(404, "Not Found")
            path = f"/repos/{repository.full_name}{by_number[2] or ''}"
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            raise Problem(400, "Problems parsing JSON") from None
        call = Call(method, path, query, body, token, accept)
        for verb, template, pattern, scopes, endpoint in ROUTES:
            found = pattern.fullmatch(path)
            if verb != method or not found:
                continue
            with self.lock:
                try:
                    self.drift += DESCRIPTION.of_request(method, template, query, body)
                    answer = endpoint(self, call, *self._named(call, found.groupdict(), scopes, target))
                    answer.headers = call.headers | answer.headers
                except Problem as problem:
                    answer = problem.answer
            answer.headers.setdefault("X-Accepted-OAuth-Scopes", ", ".join(scopes))
            if answer.content is None:
                self.drift += DESCRIPTION.of_answer(method, template, answer.status, answer.data)
            return answer
        self.drift.append(f"{method} {path}: is not served here")
        raise Problem(404, "Not Found")

    def _named(
        self, call: Call, names: dict[str, str], scopes: tuple[str, ...], target: str
    ) -> Iterator[Any]:
        """What the names in a path stand for, where the token may see it; the rest as it stands."""
        suits = call.token.scopes is None or not scopes or bool({*scopes} & {*call.token.scopes})
        owner = names.pop("owner", None) or names.pop("template_owner", None)
        if owner is not None:
            name = names.pop("repo", None) or names.pop("template_repo")
            repository = self._find(call, owner, name, target)
            may = self.permission(call.user, repository)
            if may is None or (repository.private and not suits):
                raise Problem(404, "Not Found", None, X_Accepted_OAuth_Scopes=", ".join(scopes))
            if call.method != "GET":
                needed = "push" if re.search(r"/(issues|statuses|generate)\b", call.path) else "admin"
                if {"pull": 0, "push": 1, "admin": 2}[may] < {"push": 1, "admin": 2}[needed]:
                    raise Problem(403, "Must have admin rights to Repository.")
                if repository.archived and not call.path.endswith("/generate") and call.method != "PATCH":
                    raise Problem(403, "Repository was archived so is read-only.")
            yield repository
        if "org" in names:
            if names.pop("org").lower() != self.organisation.login.lower():
                raise Problem(404, "Not Found")
            if not suits:
                lacking = {"X-Accepted-OAuth-Scopes": ", ".join(scopes)}
                raise Problem(403, "Must have admin rights to Organization.", None, **lacking)
            if scopes == ORG_ADMIN and self.role(call.user) != "admin":
                raise Problem(404, "Not Found")
        yield from names.values()

    def _find(self, call: Call, owner: str, name: str, target: str) -> Repository:
        if owner.lower() != self.organisation.login.lower():
            raise Problem(404, "Not Found")
        if name.lower() in self.repositories:
            return self.repositories[name.lower()]
        if name.lower() not in self.former:
            raise Problem(404, "Not Found")
        rest = re.sub(r"^/repos/[^/]+/[^/?]+", "", target)
        link = f"{self.api}/repositories/{self.former[name.lower()].id}{rest}"
        status, message = (301, "Moved Permanently") if call.method == "GET" else (307, "Temporary Redirect")
        raise Problem(status, message, {**shapes.basic_error(message, status), "url": link}, Location=link)

    def role(self, user: User) -> str | None:
        return self.organisation.members.get(user.login.lower())

    def permission(self, user: User, repository: Repository) -> str | None:
        """pull, push or admin; None where the user may not even know of it."""
        if self.role(user) == "admin":
            return "admin"
        given = repository.collaborators.get(user.login.lower())
        base = {"read": "pull", "write": "push", "admin": "admin"}
        everybody = base.get(self.organisation.default_repository_permission) if self.role(user) else None
        return given or everybody or (None if repository.private else "pull")

    def page(
        self, call: Call, items: Sequence[Item], of: Callable[[Item], Json], key: str | None = None
    ) -> Answer:
        """The page of `items` that was asked for, with links to its neighbours."""
        size = min(100, max(1, int(call.query.get("per_page", 30))))
        number = max(1, int(call.query.get("page", 1)))
        last = max(1, -(-len(items) // size))
        near = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
        there = {name: to for name, to in near.items() if 1 <= to <= last and to != number}
        if there:
            call.headers["Link"] = ", ".join(
                f'<{self._link(call, page=str(to))}>; rel="{name}"' for name, to in there.items()
            )
        listed = [of(item) for item in items[(number - 1) * size : number * size]]
        return Answer(data=listed if key is None else {"total_count": len(items), key: listed})

    def _link(self, call: Call, **parameters: str) -> str:
        return f"{self.api}{call.path}?{urlencode(call.query | parameters)}"

    def store(self, content: bytes) -> Answer:
        """A redirect to an address that is good for these bytes alone, and for nobody's token."""
        key = hashlib.sha256(os.urandom(16)).hexdigest()
        self._storage[key] = content
        return Answer(302, None, {"Location": f"{self.web}/storage/{key}?sig=1"}, b"")

    def stored(self, target: str, headers: Mapping[str, str]) -> Answer | None:
        plan = self._planned("GET", target)
        content = self._storage.get(urlsplit(target).path.rpartition("/")[2])
        if "authorization" in headers:
            return Answer(400, content=b"InvalidAuthenticationInfo")
        if plan is not None and isinstance(plan.how, int):
            return Answer(plan.how, content=b"")
        if plan is not None and plan.how == "drop":
            return None
        if content is None:
            return Answer(404, content=b"BlobNotFound")
        return Answer(content=content, headers={"x-test-truncate": "1"} if plan is not None else {})

    # Who

    @route("GET", "/user")
    def _me(self, call: Call) -> Answer:
        return Answer(data=shapes.private_user(self, call.user))

    @route("GET", "/users/{username}")
    def _user(self, call: Call, login: str) -> Answer:
        return Answer(data=shapes.public_user(self, self._known(login)))

    def _known(self, login: str) -> User:
        if login.lower() not in self.users:
            raise Problem(404, "Not Found")
        return self.users[login.lower()]

    @route("GET", "/orgs/{org}")
    def _organisation(self, call: Call) -> Answer:
        owns = self.role(call.user) == "admin"
        told = call.token.scopes is None or bool({*call.token.scopes} & {*ORG_READ, "repo"})
        return Answer(data=shapes.organization(self, for_owner=owns and told))

    @route("GET", "/orgs/{org}/members", ORG_READ)
    def _members(self, call: Call) -> Answer:
        people = [self.users[login] for login in self.organisation.members]
        return self.page(call, people, lambda user: shapes.simple_user(self, user))

    @route("GET", "/orgs/{org}/memberships/{username}", ORG_READ)
    def _membership(self, call: Call, login: str) -> Answer:
        of, user = self.organisation, self._known(login)
        for state, roles in (("active", of.members), ("pending", of.pending)):
            if login.lower() in roles:
                return Answer(data=shapes.org_membership(self, user, roles[login.lower()], state))
        raise Problem(404, "Not Found")

    @route("GET", "/orgs/{org}/outside_collaborators", ORG_READ)
    def _outside(self, call: Call) -> Answer:
        logins = {login for each in self.by_id.values() for login in each.collaborators}
        people = [self.users[login] for login in sorted(logins - self.organisation.members.keys())]
        return self.page(call, people, lambda user: shapes.simple_user(self, user))

    @route("GET", "/orgs/{org}/actions/secrets/{secret_name}", ORG_ADMIN)
    def _secret(self, call: Call, name: str) -> Answer:
        if name not in self.organisation.secrets:
            raise Problem(404, "Not Found")
        at = shapes.stamp(self.organisation.secrets[name])
        return Answer(data={"name": name, "created_at": at, "updated_at": at, "visibility": "all"})

    # Repositories

    @route("GET", "/orgs/{org}/repos")
    def _repositories(self, call: Call) -> Answer:
        sees_private = call.token.scopes is None or "repo" in call.token.scopes
        seen = [
            each
            for each in self.by_id.values()
            if (sees_private or not each.private) and self.permission(call.user, each)
        ]
        keys: dict[str, Callable[[Repository], Any]] = {
            "full_name": lambda each: each.full_name.lower(),
            "created": lambda each: each.created_at,
            "updated": lambda each: each.updated_at,
            "pushed": lambda each: each.pushed_at,
        }
        sort = call.query.get("sort", "created")
        order = call.query.get("direction", "asc" if sort == "full_name" else "desc")
        seen.sort(key=keys[sort], reverse=order == "desc")
        return self.page(call, seen, lambda each: self._minimal(call, each))

    def _minimal(self, call: Call, repository: Repository) -> Json:
        return shapes.minimal_repository(self, repository, str(self.permission(call.user, repository)))

    @route("GET", "/repos/{owner}/{repo}", REPO)
    def _repository(self, call: Call, repository: Repository) -> Answer:
        may = str(self.permission(call.user, repository))
        return Answer(data=shapes.full_repository(self, repository, may))

    @route("POST", "/orgs/{org}/repos", REPO)
    def _create(self, call: Call) -> Answer:
        self._owners_only(call)
        name = call.text("name")
        if name.lower() in self.repositories:
            said = "name already exists on this account"
            raise Problem(
                422,
                "",
                shapes.validation_error("Repository creation failed.", "Repository", "name", "custom", said),
            )
        made = self.add_repository(
            name, private=call.body.get("private", False), description=call.body.get("description")
        )
        return Answer(201, shapes.full_repository(self, made))

    @route("PATCH", "/repos/{owner}/{repo}", REPO)
    def _edit(self, call: Call, repository: Repository) -> Answer:
        changes = dict(call.body)
        if "name" in changes:
            self.rename(repository, changes.pop("name"))
        for name in ("description", "private", "is_template", "archived", "has_issues", "default_branch"):
            if name in changes:
                setattr(repository, name, changes[name])
        repository.updated_at = self.tick()
        return Answer(data=shapes.full_repository(self, repository))

    @route("POST", "/repos/{template_owner}/{template_repo}/generate", REPO)
    def _generate(self, call: Call, template: Repository) -> Answer:
        if not template.is_template:
            raise Problem(404, "Not Found")
        self._owners_only(call)
        name = call.text("name")
        if call.text("owner", call.user.login).lower() != self.organisation.login.lower():
            raise Problem(422, "Only this organisation is here.")
        if name.lower() in self.repositories:
            said = "Could not clone: Name already exists on this account"
            raise Problem(422, "", shapes.basic_error("Unprocessable Entity", 422) | {"errors": [said]})
        made = self.add_repository(
            name,
            template=template,
            light=template.git is None,
            private=call.body.get("private", False),
            description=call.body.get("description"),
        )
        return Answer(201, shapes.full_repository(self, made))

    def _owners_only(self, call: Call) -> None:
        if self.role(call.user) != "admin":
            raise Problem(403, "You need admin access to the organization before adding a repository to it.")

    @route("GET", "/repos/{owner}/{repo}/actions/permissions/access", REPO)
    def _access(self, call: Call, repository: Repository) -> Answer:
        return Answer(data={"access_level": repository.access_level})

    @route("PUT", "/repos/{owner}/{repo}/actions/permissions/access", REPO)
    def _set_access(self, call: Call, repository: Repository) -> Answer:
        if not repository.private or call.text("access_level") not in ("none", "user", "organization"):
            raise Problem(422, "Access policy only applies to internal and private repositories.")
        repository.access_level = call.text("access_level")
        return Answer(204)

    # People of a repository

    @route("GET", "/repos/{owner}/{repo}/collaborators", REPO)
    def _collaborators(self, call: Call, repository: Repository) -> Answer:
        people = dict(repository.collaborators)
        if call.query.get("affiliation", "all") == "all":
            people |= {login: "admin" for login, role in self.organisation.members.items() if role == "admin"}
        return self.page(
            call,
            sorted(people),
            lambda login: shapes.collaborator(self, self.users[login], people[login]),
        )

    @route("PUT", "/repos/{owner}/{repo}/collaborators/{username}", REPO)
    def _add_collaborator(self, call: Call, repository: Repository, login: str) -> Answer:
        self._known(login)
        permission = call.text("permission", "push")
        sent = self.invite(repository, login, permission, by=call.user)
        return Answer(204) if sent is None else self._invitation(repository, sent)

    def _invitation(self, repository: Repository, sent: Any) -> Answer:
        return Answer(201, shapes.repository_invitation(self, repository, sent))

    @route("GET", "/repos/{owner}/{repo}/invitations", REPO)
    def _invitations(self, call: Call, repository: Repository) -> Answer:
        return self.page(
            call,
            repository.invitations,
            lambda sent: shapes.repository_invitation(self, repository, sent),
        )

    # Rulesets

    @route("GET", "/orgs/{org}/rulesets", ORG_ADMIN)
    def _rulesets(self, call: Call) -> Answer:
        self._paid()
        found = self.organisation.rulesets
        return self.page(call, found, lambda each: shapes.repository_ruleset(self, each, whole=False))

    @route("POST", "/orgs/{org}/rulesets", ORG_ADMIN)
    def _create_ruleset(self, call: Call) -> Answer:
        self._paid()
        name, at = call.text("name"), shapes.stamp(self.tick())
        if any(each["name"] == name for each in self.organisation.rulesets):
            raise Problem(
                422, "", shapes.basic_error("Validation Failed", 422) | {"errors": ["Name must be unique"]}
            )
        made = {**call.body, "id": self.new_id(), "created_at": at, "updated_at": at}
        self.organisation.rulesets.append(made)
        return Answer(201, shapes.repository_ruleset(self, made))

    @route("GET", "/orgs/{org}/rulesets/{ruleset_id}", ORG_ADMIN)
    def _ruleset(self, call: Call, number: str) -> Answer:
        self._paid()
        return Answer(data=shapes.repository_ruleset(self, self._ruleset_of(number)))

    @route("PUT", "/orgs/{org}/rulesets/{ruleset_id}", ORG_ADMIN)
    def _edit_ruleset(self, call: Call, number: str) -> Answer:
        self._paid()
        ruleset = self._ruleset_of(number)
        ruleset |= {**call.body, "updated_at": shapes.stamp(self.tick())}
        return Answer(data=shapes.repository_ruleset(self, ruleset))

    def _ruleset_of(self, number: str) -> Json:
        for each in self.organisation.rulesets:
            if str(each["id"]) == number:
                return each
        raise Problem(404, "Not Found")

    def _paid(self) -> None:
        if self.organisation.plan == "free":
            raise Problem(403, "Upgrade to GitHub Team to enable this feature.")

    # What happened

    @route("GET", "/repos/{owner}/{repo}/activity", REPO)
    def _activity(self, call: Call, repository: Repository) -> Answer:
        """Its pages are found by a cursor, not by a number."""
        found = list(reversed(repository.activity))
        for name in ("ref", "activity_type"):
            if name in call.query:
                found = [each for each in found if getattr(each, name) == call.query[name]]
        if "after" in call.query:
            last = int(base64.b64decode(call.query["after"]))
            found = [each for each in found if each.id < last]
        size = min(100, int(call.query.get("per_page", 30)))
        if len(found) > size:
            cursor = base64.b64encode(str(found[size - 1].id).encode()).decode()
            call.headers["Link"] = f'<{self._link(call, after=cursor)}>; rel="next"'
        return Answer(data=[shapes.activity(self, each) for each in found[:size]])

    @route("GET", "/repos/{owner}/{repo}/actions/runs", REPO)
    def _runs(self, call: Call, repository: Repository) -> Answer:
        asked = call.query
        found = [
            run
            for run in sorted(repository.runs, key=lambda run: run.created_at, reverse=True)
            if asked.get("event", run.event) == run.event
            and asked.get("branch", run.head_branch) == run.head_branch
            and asked.get("head_sha", run.head_sha) == run.head_sha
            and asked.get("status") in (None, run.attempts[-1].status, run.attempts[-1].conclusion)
        ]
        return self.page(call, found, lambda run: shapes.workflow_run(self, repository, run), "workflow_runs")

    @route("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", REPO)
    def _run(self, call: Call, repository: Repository, number: str) -> Answer:
        return Answer(data=shapes.workflow_run(self, repository, self._run_of(repository, number)))

    def _run_of(self, repository: Repository, number: str) -> Run:
        for run in repository.runs:
            if str(run.id) == number:
                return run
        raise Problem(404, "Not Found")

    @route("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs", REPO)
    def _jobs(self, call: Call, repository: Repository, number: str, attempt: str) -> Answer:
        run, which = self._run_of(repository, number), int(attempt)
        if not 1 <= which <= len(run.attempts):
            raise Problem(404, "Not Found")
        jobs = run.attempts[which - 1].jobs
        return self.page(call, jobs, lambda job: shapes.job(self, repository, run, which, job), "jobs")

    @route("GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/artifacts", REPO)
    def _artifacts_of_run(self, call: Call, repository: Repository, number: str) -> Answer:
        return self._artifacts_in(call, repository, [self._run_of(repository, number)])

    @route("GET", "/repos/{owner}/{repo}/actions/artifacts", REPO)
    def _artifacts(self, call: Call, repository: Repository) -> Answer:
        return self._artifacts_in(call, repository, repository.runs)

    def _artifacts_in(self, call: Call, repository: Repository, runs: Sequence[Run]) -> Answer:
        found = [
            each for run in runs for each in run.artifacts if call.query.get("name", each.name) == each.name
        ]
        found.sort(key=lambda each: each.id, reverse=True)
        return self.page(call, found, lambda each: shapes.artifact(self, repository, each), "artifacts")

    @route("GET", "/repos/{owner}/{repo}/actions/artifacts/{artifact_id}/{archive_format}", REPO)
    def _zip(self, call: Call, repository: Repository, number: str, form: str) -> Answer:
        for run in repository.runs:
            for each in run.artifacts:
                if str(each.id) == number and form == "zip":
                    if each.expired:
                        raise Problem(410, "Artifact has expired")
                    return self.store(each.content)
        raise Problem(404, "Not Found")

    # Commits

    @route("GET", "/repos/{owner}/{repo}/git/trees/{tree_sha}", REPO)
    def _tree(self, call: Call, repository: Repository, name: str) -> Answer:
        git, sha = repository.git, self._resolved(repository, name)
        entries = git.tree(sha, deep="recursive" in call.query) if git else repository.tree(sha)
        return Answer(data=shapes.git_tree(self, repository, sha, entries))

    @route("GET", "/repos/{owner}/{repo}/tarball/{ref}", REPO)
    def _tarball(self, call: Call, repository: Repository, name: str) -> Answer:
        sha = self._resolved(repository, name)
        if repository.git is None:
            raise Problem(404, "Not Found")
        prefix = f"{repository.owner}-{repository.name}-{sha[:7]}"
        return self.store(repository.git.archive(sha, prefix))

    @route("GET", "/repos/{owner}/{repo}/git/blobs/{file_sha}", REPO)
    def _blob(self, call: Call, repository: Repository, name: str) -> Answer:
        if repository.git is None or repository.git.resolve(name) is None:
            raise Problem(404, "Not Found")
        content = repository.git("cat-file", "blob", name)
        if "raw" in call.accept:
            return Answer(content=content, headers={"Content-Type": "application/vnd.github.raw+json"})
        return Answer(data=shapes.blob(self, repository, name, content))

    def _resolved(self, repository: Repository, name: str) -> str:
        if repository.head() is None and not repository.activity:
            raise Problem(409, "Git Repository is empty.")
        if repository.git:
            sha = repository.git.resolve(name)
        else:
            sha = name if name in repository.light_trees else repository.light_heads.get(name)
        if sha is None:
            raise Problem(404, "Not Found")
        return sha

    @route("POST", "/repos/{owner}/{repo}/statuses/{sha}", ("repo", "repo:status"))
    def _status(self, call: Call, repository: Repository, sha: str) -> Answer:
        state, said = call.text("state"), call.text("description", "")
        if state not in ("error", "failure", "pending", "success"):
            raise Problem(422, "", shapes.validation_error("Validation Failed", "Status", "state", "custom"))
        if len(said) > 140:
            long = "description is too long (maximum is 140 characters)"
            failed = shapes.validation_error("Validation Failed", "Status", "description", "custom", long)
            raise Problem(422, "", failed)
        if not re.fullmatch("[0-9a-f]{40}", sha) or not repository.has(sha):
            raise Problem(422, f"No commit found for SHA: {sha}")
        context = call.text("context", "default")
        made = Status(self.new_id(), sha, state, context, said or None, call.user, self.tick())
        repository.statuses.append(made)
        return Answer(201, shapes.status(self, repository, made))

    # Issues

    @route("GET", "/repos/{owner}/{repo}/issues", REPO)
    def _issues(self, call: Call, repository: Repository) -> Answer:
        state = call.query.get("state", "open")
        creator = call.query.get("creator", "").lower()
        found = [
            issue
            for issue in sorted(repository.issues, key=lambda issue: issue.number)
            if state in ("all", issue.state)
            and (not creator or (issue.user is not None and issue.user.login.lower() == creator))
        ]
        if call.query.get("direction", "desc") == "desc":
            found.reverse()
        return self.page(call, found, lambda issue: shapes.issue(self, repository, issue))

    @route("POST", "/repos/{owner}/{repo}/issues", REPO)
    def _create_issue(self, call: Call, repository: Repository) -> Answer:
        if not repository.has_issues:
            raise Problem(410, "Issues has been disabled in this repository.")
        made = self.add_issue(repository, call.text("title"), call.body.get("body"), user=call.user)
        return Answer(201, shapes.issue(self, repository, made))

    @route("PATCH", "/repos/{owner}/{repo}/issues/{issue_number}", REPO)
    def _edit_issue(self, call: Call, repository: Repository, number: str) -> Answer:
        issue = self._issue_of(repository, number)
        for name in ("title", "body", "state"):
            if name in call.body:
                setattr(issue, name, call.body[name])
        issue.updated_at = self.tick()
        return Answer(data=shapes.issue(self, repository, issue))

    def _issue_of(self, repository: Repository, number: str) -> Issue:
        for issue in repository.issues:
            if str(issue.number) == number:
                return issue
        raise Problem(404, "Not Found")

    # git over HTTP

    def git(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, None, dict[str, str], bytes]:
        """What `git http-backend` answers, where the token may; then what moved is put on record."""
        address = urlsplit(target)
        found = re.fullmatch(r"/([^/]+)/([^/]+?)\.git(/.*)", unquote(address.path))
        token = self._basic(headers)
        if found is None or found[1].lower() != self.organisation.login.lower():
            return 404, None, {}, b"Not Found"
        if token is None:
            return 401, None, {"WWW-Authenticate": 'Basic realm="GitHub"'}, b"Authentication failed"
        name = found[2].lower()
        repository = self.repositories.get(name) or self.former.get(name)
        may = repository and self.permission(token.user, repository)
        if token.scopes is not None and "repo" not in token.scopes:
            may = None
        if repository is None or repository.git is None or may is None:
            return 404, None, {}, b"Repository not found."
        writes = "git-receive-pack" in target
        if writes and (may == "pull" or repository.archived):
            return 403, None, {}, b"Write access to repository not granted."
        with self.lock:
            before = repository.git.heads()
            user = token.user.login
            status, more, content = repository.git.serve(method, found[3], address.query, headers, body, user)
            if writes and method == "POST":
                self._put_on_record(repository, repository.git, before, token.user)
        return status, None, more, content

    def _basic(self, headers: Mapping[str, str]) -> Token | None:
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                value = base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, ValueError):
                return None
        return self.tokens.get(value)

    def _put_on_record(self, repository: Repository, git: Git, before: dict[str, str], user: User) -> None:
        after = git.heads()
        for branch in sorted(before.keys() | after.keys()):
            old, new = before.get(branch, NOWHERE), after.get(branch, NOWHERE)
            if old != new:
                forced = NOWHERE not in (old, new) and not git.contains(new, old)
                self.moved(repository, f"refs/heads/{branch}", old, new, user, self.tick(), force=forced)
