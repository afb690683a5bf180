"""What GitHub answers, cut down to the fields that are read here. A field that is missing or of another type is an
error where it is read, never a guess later.

The shapes are those of GitHub's own OpenAPI description of its REST API, version 2022-11-28.
"""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Moment = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Answer(BaseModel):
    """Frozen; fields that are not named are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Account(Answer):
    """A user or an organisation. `id` stays when `login` is changed."""

    login: str
    id: int


class Plan(Answer):
    name: str


class Organisation(Account):
    """`plan` is told to owners only."""

    plan: Plan | None = None
    default_repository_permission: str | None = None
    members_can_create_repositories: bool | None = None


class RepositoryName(Answer):
    full_name: str


class Repository(Answer):
    """A repository; listings leave out `template_repository`."""

    id: int
    name: str
    full_name: str
    private: bool
    html_url: str
    clone_url: str = ""
    default_branch: str = "main"
    created_at: Moment | None = None
    pushed_at: Moment | None = None
    archived: bool = False
    is_template: bool = False
    template_repository: RepositoryName | None = None


class Activity(Answer):
    """One change of a ref. `timestamp` is GitHub's own clock; `actor` is who pushed, None for a deleted account."""

    id: int
    before: Sha
    after: Sha
    ref: str
    timestamp: Moment
    activity_type: str  # push, force_push, branch_creation, branch_deletion, pr_merge, merge_queue_merge
    actor: Account | None


class TreeEntry(Answer):
    """A file, link or folder at a commit. `size`: the bytes of a file."""

    path: str
    mode: str
    type: str
    sha: Sha
    size: int | None = None


class Tree(Answer):
    tree: tuple[TreeEntry, ...]
    truncated: bool


class ReferencedWorkflow(Answer):
    """A reusable workflow that a run called: `path` is OWNER/REPO/.github/workflows/FILE@REF."""

    path: str
    sha: str
    ref: str | None = None


class Run(Answer):
    """A workflow run, as of its latest attempt. `created_at` stays over re-runs, `updated_at` does not."""

    id: int
    run_number: int
    run_attempt: int = 1
    event: str
    status: str | None
    conclusion: str | None
    head_sha: Sha
    head_branch: str | None
    path: str
    created_at: Moment
    referenced_workflows: tuple[ReferencedWorkflow, ...] | None = None
    actor: Account | None = None


class Job(Answer):
    """A job of one attempt. A job of a called workflow is named `caller / called`."""

    id: int
    run_id: int
    run_attempt: int = 1
    name: str
    head_sha: Sha
    status: str
    conclusion: str | None
    started_at: Moment | None = None
    completed_at: Moment | None = None


class ArtifactRun(Answer):
    id: int | None = None
    head_sha: str | None = None
    head_branch: str | None = None
    repository_id: int | None = None


class Artifact(Answer):
    """`digest` is `sha256:` and the SHA-256 of the zip, as GitHub computed it on upload."""

    id: int
    name: str
    size_in_bytes: int
    expired: bool
    created_at: Moment | None
    digest: str | None = None
    workflow_run: ArtifactRun | None = None


class Issue(Answer):
    number: int
    title: str
    body: str | None = None
    state: str
    user: Account | None = None
    html_url: str = ""
    pull_request: dict[str, object] | None = None


class Invitation(Answer):
    id: int
    invitee: Account | None


class Membership(Answer):
    state: Literal["active", "pending"]
    role: str


class Ruleset(Answer):
    id: int
    name: str
    target: str | None = None
    enforcement: str
