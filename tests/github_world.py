"""What GitHub holds for one organisation: plain objects that tests build and change, and real git repositories.

`GitHubServer` (github_server) serves it. A light repository has no git behind it: its commits are names made up the
same way every time, so that thousands of repositories cost milliseconds.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from github_git import Content, Git

NOWHERE = "0" * 40
GRADE = ".github/workflows/grade.yml"
OWNERS_SCOPES = ("admin:org", "repo", "workflow")


@dataclass(eq=False)
class User:
    login: str
    id: int
    name: str | None = None


@dataclass(eq=False)
class Token:
    """`scopes` is None for a fine-grained token, which answers without the header of scopes."""

    value: str
    user: User
    scopes: tuple[str, ...] | None


@dataclass(eq=False)
class Organisation:
    login: str
    id: int
    plan: str = "team"
    default_repository_permission: str = "none"
    members_can_create_repositories: bool = False
    members: dict[str, str] = field(default_factory=dict)  # login in lower case: admin or member
    pending: dict[str, str] = field(default_factory=dict)
    rulesets: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[str, datetime] = field(default_factory=dict)


@dataclass(eq=False)
class Activity:
    id: int
    before: str
    after: str
    ref: str
    timestamp: datetime
    activity_type: str
    actor: User | None


@dataclass(eq=False)
class Job:
    id: int
    name: str
    created_at: datetime
    started_at: datetime
    completed_at: datetime | None
    status: str = "completed"
    conclusion: str | None = "success"


@dataclass(eq=False)
class Artifact:
    id: int
    name: str
    content: bytes
    created_at: datetime
    run: Run
    expired: bool = False
    digest: str | None = None

    def __post_init__(self) -> None:
        self.digest = self.digest or f"sha256:{hashlib.sha256(self.content).hexdigest()}"


@dataclass(eq=False)
class Attempt:
    started_at: datetime
    updated_at: datetime
    status: str
    conclusion: str | None
    jobs: list[Job]


@dataclass(eq=False)
class Run:
    id: int
    number: int
    event: str
    head_sha: str
    head_branch: str | None
    path: str
    created_at: datetime
    actor: User
    referenced: list[dict[str, str]] | None
    attempts: list[Attempt] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)


@dataclass(eq=False)
class Issue:
    id: int
    number: int
    title: str
    body: str | None
    user: User | None
    created_at: datetime
    updated_at: datetime
    state: str = "open"
    pull_request: bool = False


@dataclass(eq=False)
class Status:
    id: int
    sha: str
    state: str
    context: str
    description: str | None
    creator: User
    created_at: datetime


@dataclass(eq=False)
class Invitation:
    id: int
    invitee: User
    inviter: User
    permission: str
    created_at: datetime


@dataclass(eq=False)
class Repository:
    id: int
    name: str
    owner: str
    created_at: datetime
    pushed_at: datetime
    updated_at: datetime
    git: Git | None
    private: bool = True
    description: str | None = None
    is_template: bool = False
    template: Repository | None = None
    default_branch: str = "main"
    archived: bool = False
    has_issues: bool = True
    access_level: str = "none"
    collaborators: dict[str, str] = field(default_factory=dict)  # login in lower case: pull, push or admin
    invitations: list[Invitation] = field(default_factory=list)
    activity: list[Activity] = field(default_factory=list)  # the oldest first
    runs: list[Run] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    light_heads: dict[str, str] = field(default_factory=dict)
    light_trees: dict[str, dict[str, str]] = field(default_factory=dict)  # commit: {folder: tree}

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    def head(self, branch: str | None = None) -> str | None:
        branch = branch or self.default_branch
        return self.git.heads().get(branch) if self.git else self.light_heads.get(branch)

    def has(self, sha: str) -> bool:
        return self.git.has(sha) if self.git else sha in self.light_trees

    def tree(self, sha: str) -> list[dict[str, Any]]:
        """The entries at the root of a commit or tree."""
        if self.git:
            return self.git.tree(sha)
        folders = self.light_trees[sha]
        return [{"path": path, "mode": "040000", "type": "tree", "sha": folders[path]} for path in folders]


@dataclass
class World:
    """One organisation, `organisation`, owned by `owner`, whose token is `token`.

    `now` is GitHub's clock: it moves by a second with each thing that happens, and to `at` where a test says when.
    """

    directory: Path
    light: bool = False
    now: datetime = datetime(2026, 9, 7, 8, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.api = self.web = "http://localhost"
        self._ids = itertools.count(1001)
        self.users: dict[str, User] = {}
        self.tokens: dict[str, Token] = {}
        self.repositories: dict[str, Repository] = {}  # by name in lower case
        self.former: dict[str, Repository] = {}  # what they were called
        self.by_id: dict[int, Repository] = {}
        self.organisation = Organisation("dl-course", self.new_id())
        self.owner = self.add_user("teacher", role="admin")
        self.token = self.add_token(self.owner, OWNERS_SCOPES)

    def new_id(self) -> int:
        return next(self._ids)

    def tick(self, at: datetime | None = None) -> datetime:
        if at is None:
            self.now += timedelta(seconds=1)
            return self.now
        self.now = max(self.now, at)
        return at

    # People

    def add_user(self, login: str, *, role: str | None = None, id: int | None = None) -> User:  # noqa: A002
        """An account; `role` is admin or member of the organisation, None for neither."""
        user = User(login, id or self.new_id())
        self.users[login.lower()] = user
        if role:
            self.organisation.members[login.lower()] = role
        return user

    def add_token(self, user: User | str, scopes: Iterable[str] | None = OWNERS_SCOPES) -> str:
        """A token of a user's; `scopes=None` for a fine-grained one."""
        of = self.user(user)
        value = f"ghp_{hashlib.sha256(f'{of.id} {len(self.tokens)}'.encode()).hexdigest()[:36]}"
        self.tokens[value] = Token(value, of, None if scopes is None else tuple(scopes))
        return value

    def user(self, user: User | str) -> User:
        return user if isinstance(user, User) else self.users[user.lower()]

    def rename_user(self, user: User | str, login: str) -> None:
        """An account is called otherwise; its id and its rights stay."""
        of = self.user(user)
        old, new = of.login.lower(), login.lower()
        self.users[new] = self.users.pop(old)
        for holders in (self.organisation.members, *(each.collaborators for each in self.by_id.values())):
            if old in holders:
                holders[new] = holders.pop(old)
        of.login = login

    # Repositories

    def add_repository(
        self,
        name: str,
        files: Mapping[str, Content] | None = None,
        *,
        at: datetime | None = None,
        light: bool | None = None,
        template: Repository | str | None = None,
        collaborators: Mapping[str, str] | None = None,
        trees: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> Repository:
        """A repository of the organisation's: empty, with `files` in a first commit, or a template's copy.

        `fields` are Repository's (private, is_template, …); `trees` gives folders' trees in a light one.
        """
        moment = self.tick(at)
        source = self.repository(template) if template is not None else None
        is_light = self.light if light is None else light
        number = self.new_id()
        git = (
            None if is_light else Git.create(self.directory / f"{number}.git", source.git if source else None)
        )
        made = Repository(
            number, name, self.organisation.login, moment, moment, moment, git, template=source, **fields
        )
        made.collaborators.update({login.lower(): how for login, how in (collaborators or {}).items()})
        self.repositories[name.lower()] = self.by_id[number] = made
        self.former.pop(name.lower(), None)
        if source is not None and source.head() is not None:
            head = str(source.head())
            if made.git:
                commit = made.git.copy_commit(head, self.owner.login, moment)
            else:
                commit = self._light_commit(made, source.light_trees[head])
            self.push(made, commit=commit, actor=self.owner, at=moment)
        elif files or (is_light and trees):
            self.push(made, files, actor=self.owner, at=moment, message="Initial commit", trees=trees)
        return made

    def repository(self, repository: Repository | str) -> Repository:
        """By name, with or without the organisation's before it."""
        if isinstance(repository, Repository):
            return repository
        return self.repositories[repository.rpartition("/")[2].lower()]

    def rename(self, repository: Repository | str, name: str) -> None:
        """The old name redirects from now on."""
        of = self.repository(repository)
        self.former[of.name.lower()] = self.repositories.pop(of.name.lower())
        of.name, of.updated_at = name, self.tick()
        self.repositories[name.lower()] = of

    def delete(self, repository: Repository | str) -> None:
        of = self.repository(repository)
        del self.repositories[of.name.lower()], self.by_id[of.id]

    def invite(
        self,
        repository: Repository | str,
        login: str,
        permission: str = "push",
        *,
        by: User | None = None,
        at: datetime | None = None,
    ) -> Invitation | None:
        """Give access: at once to members and those who have some already, by an invitation to others."""
        of, key = self.repository(repository), login.lower()
        if key in self.organisation.members or key in of.collaborators:
            of.collaborators[key] = permission
            return None
        for waiting in of.invitations:
            if waiting.invitee is self.users[key]:
                waiting.permission = permission
                return waiting
        sent = Invitation(self.new_id(), self.users[key], by or self.owner, permission, self.tick(at))
        of.invitations.append(sent)
        return sent

    def accept(self, repository: Repository | str, login: str) -> None:
        """The invited student clicks the link."""
        of = self.repository(repository)
        (sent,) = (waiting for waiting in of.invitations if waiting.invitee.login.lower() == login.lower())
        of.invitations.remove(sent)
        of.collaborators[login.lower()] = sent.permission

    # Pushes

    def commit(
        self,
        repository: Repository | str,
        files: Mapping[str, Content] | None = None,
        *,
        actor: User | str,
        parent: str | None = None,
        date: datetime | None = None,
        message: str = "Work",
        trees: Mapping[str, str] | None = None,
    ) -> str:
        """A commit that no branch has yet: `files` over those of `parent`. `date` is as the student's clock says."""
        of = self.repository(repository)
        if of.git:
            return of.git.commit(files or {}, parent, self.user(actor).login, date or self.now, message)
        return self._light_commit(of, {**(of.light_trees[parent] if parent else {}), **(trees or {})})

    def push(
        self,
        repository: Repository | str,
        files: Mapping[str, Content] | None = None,
        *,
        actor: User | str,
        at: datetime | None = None,
        branch: str | None = None,
        commit: str | None = None,
        parent: str | None = None,
        force: bool = False,
        date: datetime | None = None,
        message: str = "Work",
        trees: Mapping[str, str] | None = None,
    ) -> str:
        """Move a branch, as `git push` does, and return the commit it is at now.

        It goes to `commit`, else to a new one with `files` over those of `parent` (the branch's head if left out).
        """
        of, by = self.repository(repository), self.user(actor)
        branch = branch or of.default_branch
        head = of.head(branch)
        moment = self.tick(at)
        if commit is None:
            commit = self.commit(
                of,
                files,
                actor=by,
                parent=parent or head,
                date=date or moment,
                message=message,
                trees=trees,
            )
            forward = head is None or parent in (None, head)
        else:
            forward = head is None or (of.git.contains(commit, head) if of.git else not force)
        if not forward and not force:
            raise ValueError("not a fast-forward: say force=True")
        if of.git:
            of.git.set_head(branch, commit)
        else:
            of.light_heads[branch] = commit
        self.moved(of, f"refs/heads/{branch}", head or NOWHERE, commit, by, moment, force=not forward)
        return commit

    def moved(
        self,
        repository: Repository,
        ref: str,
        before: str,
        after: str,
        actor: User,
        at: datetime,
        *,
        force: bool = False,
    ) -> None:
        """Record what GitHub's activity list says of a change of a ref."""
        if before == NOWHERE:
            kind = "branch_creation"
        elif after == NOWHERE:
            kind = "branch_deletion"
        else:
            kind = "force_push" if force else "push"
        repository.activity.append(Activity(self.new_id(), before, after, ref, at, kind, actor))
        repository.pushed_at = repository.updated_at = at

    def _light_commit(self, repository: Repository, trees: Mapping[str, str]) -> str:
        made = f"{repository.id} {len(repository.light_trees)}"
        sha = hashlib.sha1(made.encode(), usedforsecurity=False).hexdigest()
        repository.light_trees[sha] = dict(trees)
        return sha

    # Runs

    def run(
        self,
        repository: Repository | str,
        head_sha: str,
        *,
        at: datetime | None = None,
        finished: datetime | None = None,
        conclusion: str | None = "success",
        event: str = "push",
        branch: str | None = None,
        path: str = GRADE,
        actor: User | str | None = None,
        bundle: str | None = None,
        referenced: list[dict[str, str]] | None = None,
        job: str = "grade / Grade",
        artifacts: Mapping[str, bytes | Mapping[str, bytes | str]] | None = None,
        number: int | None = None,
    ) -> Run:
        """A workflow run with one job, which ended at `finished` (50 s after its start if left out).

        `conclusion=None`: it still goes on. `bundle`: the commit of the bundle's grade.yml that it called;
        `referenced` says that in full instead. `artifacts`: name → zip, or the files to zip.
        """
        of = self.repository(repository)
        start = self.tick(at or of.pushed_at)
        if bundle is not None:
            called = f"{of.owner}/bundle/{GRADE}@{bundle}"
            referenced = [{"path": called, "sha": bundle, "ref": "refs/heads/main"}]
        latest = max((run.number for run in of.runs), default=0)
        made = Run(
            self.new_id(),
            number or latest + 1,
            event,
            head_sha,
            branch or of.default_branch,
            path,
            start,
            self.user(actor or self.owner),
            referenced,
        )
        of.runs.append(made)
        self.attempt(made, start, finished, conclusion, job=job, artifacts=artifacts)
        return made

    def rerun(
        self,
        run: Run,
        *,
        at: datetime | None = None,
        finished: datetime | None = None,
        conclusion: str | None = "success",
        job: str = "grade / Grade",
        artifacts: Mapping[str, bytes | Mapping[str, bytes | str]] | None = None,
    ) -> None:
        """One more attempt of a run: its number grows, and only `created_at` stays."""
        self.attempt(run, self.tick(at), finished, conclusion, job=job, artifacts=artifacts)

    def attempt(
        self,
        run: Run,
        start: datetime,
        finished: datetime | None,
        conclusion: str | None,
        *,
        job: str,
        artifacts: Mapping[str, bytes | Mapping[str, bytes | str]] | None,
    ) -> None:
        end = None if conclusion is None else finished or start + timedelta(seconds=50)
        status = "in_progress" if end is None else "completed"
        begun = min(start + timedelta(seconds=5), end or datetime.max.replace(tzinfo=UTC))
        jobs = [Job(self.new_id(), job, start, begun, end, status, conclusion)]
        run.attempts.append(Attempt(start, end or begun, status, conclusion, jobs))
        for name, content in (artifacts or {}).items():
            self.upload(run, name, content, at=end)

    def upload(
        self,
        run: Run,
        name: str,
        content: bytes | Mapping[str, bytes | str],
        *,
        at: datetime | None = None,
        **fields: Any,
    ) -> Artifact:
        """An artifact of a run, a second before `at` (the end of the last attempt, if left out)."""
        moment = self.tick(at or run.attempts[-1].updated_at) - timedelta(seconds=1)
        packed = content if isinstance(content, bytes) else zipped(content)
        run.artifacts.append(Artifact(self.new_id(), name, packed, moment, run, **fields))
        return run.artifacts[-1]

    def delete_run(self, repository: Repository | str, run: Run) -> None:
        self.repository(repository).runs.remove(run)

    # Issues

    def add_issue(
        self,
        repository: Repository | str,
        title: str,
        body: str | None = None,
        *,
        user: User | str | None = None,
        at: datetime | None = None,
        **fields: Any,
    ) -> Issue:
        of, moment = self.repository(repository), self.tick(at)
        by = self.user(user or self.owner)
        made = Issue(self.new_id(), len(of.issues) + 1, title, body, by, moment, moment, **fields)
        of.issues.append(made)
        return made


def zipped(files: Mapping[str, bytes | str]) -> bytes:
    """A zip of files, the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()
