"""The few of GitHub's REST endpoints that a course needs, one method each, typed.

No policy here, and no HTTP: how a request is repeated, paced and cached is `client`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from grading.errors import GradingError
from grading.github.answers import (
    Account,
    Activity,
    Answer,
    Artifact,
    Invitation,
    Issue,
    Job,
    Membership,
    Organisation,
    Repository,
    Ruleset,
    Run,
    Tree,
)
from grading.github.client import Client, NotFound

Shape = TypeVar("Shape", bound=Answer)

MOST_ARTIFACT_BYTES = 2**20
RAW = "application/vnd.github.raw+json"


class GitHub:
    """What each method asks stands in its path; `repository` is always OWNER/NAME. All raise what Client raises."""

    def __init__(self, client: Client) -> None:
        self.client = client

    # Who is asking, and where

    def me(self) -> tuple[Account, frozenset[str] | None]:
        """Whose token it is and its scopes; None for a fine-grained token, which has permissions instead."""
        answer = self.client.get("/user")
        scopes = answer.headers.get("x-oauth-scopes")
        named = None if scopes is None else frozenset(scopes.replace(" ", "").split(",")) - {""}
        return read(Account, answer.data), named

    def user(self, login: str) -> Account:
        return read(Account, self.client.get(f"/users/{login}").data)

    def organisation(self, name: str) -> Organisation:
        return read(Organisation, self.client.get(f"/orgs/{name}").data)

    def membership(self, organisation: str, login: str) -> Membership | None:
        try:
            return read(Membership, self.client.get(f"/orgs/{organisation}/memberships/{login}").data)
        except NotFound:
            return None

    def outside_collaborators(self, organisation: str) -> Iterator[Account]:
        return self._pages(Account, f"/orgs/{organisation}/outside_collaborators")

    def members(self, organisation: str) -> Iterator[Account]:
        return self._pages(Account, f"/orgs/{organisation}/members")

    # Repositories

    def repositories(self, organisation: str) -> Iterator[Repository]:
        """All of an organisation's, by name: a page changes only when a repository on it does."""
        return self._pages(
            Repository,
            f"/orgs/{organisation}/repos",
            {"sort": "full_name", "direction": "asc", "type": "all"},
        )

    def repository(self, repository: str) -> Repository | None:
        try:
            return read(Repository, self.client.get(f"/repos/{repository}").data)
        except NotFound:
            return None

    def create_repository(self, organisation: str, name: str, description: str) -> Repository:
        """An empty private one."""
        body = {"name": name, "description": description, "private": True, "has_wiki": False}
        return read(Repository, self.client.send("POST", f"/orgs/{organisation}/repos", body).data)

    def edit_repository(self, repository: str, changes: Mapping[str, Any]) -> Repository:
        return read(Repository, self.client.send("PATCH", f"/repos/{repository}", changes).data)

    def generate(self, template: str, owner: str, name: str, description: str) -> Repository:
        """A private copy of a template's files, with a history of its own."""
        body = {"owner": owner, "name": name, "description": description, "private": True}
        return read(Repository, self.client.send("POST", f"/repos/{template}/generate", body).data)

    def set_access_of_workflows(self, repository: str, level: str) -> None:
        """Who may call a private repository's reusable workflows: `none`, `user` or `organization`."""
        self.client.send("PUT", f"/repos/{repository}/actions/permissions/access", {"access_level": level})

    def access_of_workflows(self, repository: str) -> str | None:
        try:
            data = self.client.get(f"/repos/{repository}/actions/permissions/access").data
        except NotFound:
            return None
        return data.get("access_level") if isinstance(data, dict) else None

    def has_organisation_secret(self, organisation: str, name: str) -> bool:
        try:
            self.client.get(f"/orgs/{organisation}/actions/secrets/{name}")
        except NotFound:
            return False
        return True

    # People of a repository

    def add_collaborator(self, repository: str, login: str, permission: str = "push") -> bool:
        """Whether an invitation was sent, rather than access given at once."""
        answer = self.client.send(
            "PUT", f"/repos/{repository}/collaborators/{login}", {"permission": permission}
        )
        return answer.status == 201

    def collaborators(self, repository: str) -> Iterator[Account]:
        return self._pages(Account, f"/repos/{repository}/collaborators", {"affiliation": "direct"})

    def invitations(self, repository: str) -> Iterator[Invitation]:
        return self._pages(Invitation, f"/repos/{repository}/invitations")

    # Rulesets

    def rulesets(self, organisation: str) -> Iterator[Ruleset]:
        return self._pages(Ruleset, f"/orgs/{organisation}/rulesets")

    def create_ruleset(self, organisation: str, ruleset: Mapping[str, Any]) -> Ruleset:
        return read(Ruleset, self.client.send("POST", f"/orgs/{organisation}/rulesets", ruleset).data)

    def edit_ruleset(self, organisation: str, number: int, ruleset: Mapping[str, Any]) -> Ruleset:
        return read(Ruleset, self.client.send("PUT", f"/orgs/{organisation}/rulesets/{number}", ruleset).data)

    # What happened in a repository

    def activity(self, repository: str, ref: str) -> Iterator[Activity]:
        """Every push and change of a ref (refs/heads/…), the latest first."""
        return self._pages(Activity, f"/repos/{repository}/activity", {"ref": ref})

    def runs(self, repository: str, **filters: str) -> Iterator[Run]:
        return self._pages(Run, f"/repos/{repository}/actions/runs", filters, key="workflow_runs")

    def run(self, repository: str, run: int) -> Run | None:
        try:
            return read(Run, self.client.get(f"/repos/{repository}/actions/runs/{run}").data)
        except NotFound:
            return None

    def jobs(self, repository: str, run: int, attempt: int) -> Iterator[Job]:
        path = f"/repos/{repository}/actions/runs/{run}/attempts/{attempt}/jobs"
        return self._pages(Job, path, key="jobs")

    def artifacts(self, repository: str, run: int, name: str) -> Iterator[Artifact]:
        """Those of a run, of all its attempts, with this name."""
        path = f"/repos/{repository}/actions/runs/{run}/artifacts"
        return self._pages(Artifact, path, {"name": name}, key="artifacts")

    def artifacts_named(self, repository: str, name: str) -> Iterator[Artifact]:
        return self._pages(
            Artifact, f"/repos/{repository}/actions/artifacts", {"name": name}, key="artifacts"
        )

    def artifact_zip(self, repository: str, artifact: int) -> bytes:
        return self.client.download(
            f"/repos/{repository}/actions/artifacts/{artifact}/zip", MOST_ARTIFACT_BYTES
        )

    def files(self, repository: str, commit: str) -> Tree:
        """Everything at a commit, however deep. GitHub leaves the rest out beyond 100,000 entries (`truncated`)."""
        path = f"/repos/{repository}/git/trees/{commit}"
        return read(Tree, self.client.get(path, {"recursive": "1"}).data)

    def blob(self, repository: str, blob: str, most_bytes: int) -> bytes:
        """A file's bytes, as git keeps them."""
        return self.client.download(f"/repos/{repository}/git/blobs/{blob}", most_bytes, accept=RAW)

    def tree_of(self, repository: str, commit: str, folder: str) -> str | None:
        """The SHA-1 of the git tree of a folder at the root, at a commit; None where there is no such folder."""
        data = self.client.get(f"/repos/{repository}/git/trees/{commit}").data
        for entry in data.get("tree", []) if isinstance(data, dict) else []:
            if isinstance(entry, dict) and entry.get("path") == folder and entry.get("type") == "tree":
                return str(entry.get("sha"))
        return None

    # What is said to students

    def set_status(self, repository: str, commit: str, state: str, context: str, description: str) -> None:
        """`state`: success, failure, error or pending. The same status set twice shows once."""
        body = {"state": state, "context": context, "description": description}
        self.client.send("POST", f"/repos/{repository}/statuses/{commit}", body, repeatable=True)

    def issues(self, repository: str) -> Iterator[Issue]:
        """The oldest first. GitHub lists pull requests among them; they are left out here."""
        how = {"state": "all", "sort": "created", "direction": "asc"}
        found = self._pages(Issue, f"/repos/{repository}/issues", how)
        return (issue for issue in found if issue.pull_request is None)

    def create_issue(self, repository: str, title: str, body: str) -> Issue:
        return read(
            Issue,
            self.client.send("POST", f"/repos/{repository}/issues", {"title": title, "body": body}).data,
        )

    def edit_issue(self, repository: str, number: int, changes: Mapping[str, Any]) -> Issue:
        return read(
            Issue,
            self.client.send("PATCH", f"/repos/{repository}/issues/{number}", changes, repeatable=True).data,
        )

    def _pages(
        self,
        shape: type[Shape],
        path: str,
        parameters: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> Iterator[Shape]:
        for page in self.client.pages(path, parameters or {}, key=key):
            for item in page:
                yield read(shape, item)


def read(shape: type[Shape], data: object) -> Shape:
    """GitHub's answer as a record. Raises GradingError where it has another shape than GitHub documents."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise GradingError(
            f"GitHub's answer is no {shape.__name__.lower()} ({where}: {first['msg']}); "
            "try again, and report it if it stays so"
        ) from error
