"""GitHub's JSON, one function a schema of its OpenAPI description: every required field, with plausible content."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

from github_world import (
    Activity,
    Artifact,
    Attempt,
    Invitation,
    Issue,
    Job,
    Repository,
    Run,
    Status,
    User,
    World,
)

Json = dict[str, Any]

_OF_USER = {
    "followers_url": "followers",
    "following_url": "following{/other_user}",
    "gists_url": "gists{/gist_id}",
    "starred_url": "starred{/owner}{/repo}",
    "subscriptions_url": "subscriptions",
    "organizations_url": "orgs",
    "repos_url": "repos",
    "events_url": "events{/privacy}",
    "received_events_url": "received_events",
}
_OF_REPOSITORY = {
    "archive_url": "{archive_format}{/ref}",
    "assignees_url": "assignees{/user}",
    "blobs_url": "git/blobs{/sha}",
    "branches_url": "branches{/branch}",
    "collaborators_url": "collaborators{/collaborator}",
    "comments_url": "comments{/number}",
    "commits_url": "commits{/sha}",
    "compare_url": "compare/{base}...{head}",
    "contents_url": "contents/{+path}",
    "contributors_url": "contributors",
    "deployments_url": "deployments",
    "downloads_url": "downloads",
    "events_url": "events",
    "forks_url": "forks",
    "git_commits_url": "git/commits{/sha}",
    "git_refs_url": "git/refs{/sha}",
    "git_tags_url": "git/tags{/sha}",
    "hooks_url": "hooks",
    "issue_comment_url": "issues/comments{/number}",
    "issue_events_url": "issues/events{/number}",
    "issues_url": "issues{/number}",
    "keys_url": "keys{/key_id}",
    "labels_url": "labels{/name}",
    "languages_url": "languages",
    "merges_url": "merges",
    "milestones_url": "milestones{/number}",
    "notifications_url": "notifications{?since,all,participating}",
    "pulls_url": "pulls{/number}",
    "releases_url": "releases{/id}",
    "stargazers_url": "stargazers",
    "statuses_url": "statuses/{sha}",
    "subscribers_url": "subscribers",
    "subscription_url": "subscription",
    "tags_url": "tags",
    "teams_url": "teams",
    "trees_url": "git/trees{/sha}",
}
_ROLES = {
    "pull": "read",
    "push": "write",
    "admin": "admin",
    "triage": "triage",
    "maintain": "maintain",
}


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def node_id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}{number}".encode()).decode()


# Accounts


def simple_user(world: World, user: User) -> Json:
    return _account(world, user.login, user.id, "User")


def _account(world: World, login: str, number: int, kind: str) -> Json:
    url = f"{world.api}/users/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": node_id(kind, number),
        "avatar_url": f"{world.web}/avatars/u/{number}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{world.web}/{login}",
        **{key: f"{url}/{end}" for key, end in _OF_USER.items()},
        "type": kind,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_user(world: World, user: User) -> Json:
    return {
        **simple_user(world, user),
        "name": user.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "twitter_username": None,
        "public_repos": 2,
        "public_gists": 0,
        "followers": 1,
        "following": 0,
        "created_at": "2020-01-14T04:33:35Z",
        "updated_at": "2026-01-14T04:33:35Z",
    }


def private_user(world: World, user: User) -> Json:
    return {
        **public_user(world, user),
        "user_view_type": "private",
        "private_gists": 0,
        "total_private_repos": 3,
        "owned_private_repos": 3,
        "disk_usage": 10,
        "collaborators": 0,
        "two_factor_authentication": True,
        "plan": {"name": "free", "space": 976562499, "collaborators": 0, "private_repos": 10000},
    }


def organization_simple(world: World) -> Json:
    login, number = world.organisation.login, world.organisation.id
    url = f"{world.api}/orgs/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": node_id("Organization", number),
        "url": url,
        "repos_url": f"{url}/repos",
        "events_url": f"{url}/events",
        "hooks_url": f"{url}/hooks",
        "issues_url": f"{url}/issues",
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"{world.web}/avatars/u/{number}?v=4",
        "description": "A course",
    }


def organization(world: World, *, for_owner: bool) -> Json:
    """What `GET /orgs/{org}` answers; its schema is not in the subset."""
    of = world.organisation
    common = {
        **organization_simple(world),
        "type": "Organization",
        "html_url": f"{world.web}/{of.login}",
        "public_repos": sum(not each.private for each in world.by_id.values()),
        "created_at": "2025-08-01T10:00:00Z",
    }
    if not for_owner:
        return common
    return common | {
        "plan": {"name": of.plan, "space": 976562499, "private_repos": 999999, "filled_seats": 2, "seats": 4},
        "default_repository_permission": of.default_repository_permission,
        "members_can_create_repositories": of.members_can_create_repositories,
    }


def org_membership(world: World, user: User, role: str, state: str) -> Json:
    url = f"{world.api}/orgs/{world.organisation.login}"
    return {
        "url": f"{url}/memberships/{user.login}",
        "state": state,
        "role": role,
        "organization_url": url,
        "user": simple_user(world, user),
        "organization": organization_simple(world),
    }


def collaborator(world: World, user: User, permission: str) -> Json:
    return {
        **simple_user(world, user),
        "permissions": permissions(permission),
        "role_name": _ROLES[permission],
    }


# Repositories


def permissions(highest: str) -> dict[str, bool]:
    order = ["pull", "triage", "push", "maintain", "admin"]
    return {name: order.index(name) <= order.index(highest) for name in reversed(order)}


def minimal_repository(world: World, repository: Repository, permission: str = "admin") -> Json:
    of, url = repository, f"{world.api}/repos/{repository.full_name}"
    page = f"{world.web}/{of.full_name}"
    return {
        "id": of.id,
        "node_id": node_id("Repository", of.id),
        "name": of.name,
        "full_name": of.full_name,
        "private": of.private,
        "owner": _account(world, of.owner, world.organisation.id, "Organization"),
        "html_url": page,
        "description": of.description,
        "fork": False,
        "url": url,
        **{key: f"{url}/{end}" for key, end in _OF_REPOSITORY.items()},
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "pushed_at": stamp(of.pushed_at),
        "git_url": page.replace("http:", "git:") + ".git",
        "ssh_url": f"git@github.com:{of.full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "homepage": None,
        "size": 0 if not of.activity else 12,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": "Jupyter Notebook",
        "has_issues": of.has_issues,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": False,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "mirror_url": None,
        "archived": of.archived,
        "disabled": False,
        "open_issues_count": sum(issue.state == "open" for issue in of.issues),
        "license": None,
        "allow_forking": False,
        "is_template": of.is_template,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private" if of.private else "public",
        "forks": 0,
        "open_issues": sum(issue.state == "open" for issue in of.issues),
        "watchers": 0,
        "default_branch": of.default_branch,
        "permissions": permissions(permission),
    }


def full_repository(world: World, repository: Repository, permission: str = "admin") -> Json:
    more: Json = {"network_count": 0, "subscribers_count": 1, "temp_clone_token": ""}
    if repository.template is not None:
        more["template_repository"] = minimal_repository(world, repository.template, permission)
    return {
        **minimal_repository(world, repository, permission),
        "organization": _account(world, repository.owner, world.organisation.id, "Organization"),
        **more,
    }


def repository_invitation(world: World, repository: Repository, sent: Invitation) -> Json:
    return {
        "id": sent.id,
        "node_id": node_id("RepositoryInvitation", sent.id),
        "repository": minimal_repository(world, repository),
        "invitee": simple_user(world, sent.invitee),
        "inviter": simple_user(world, sent.inviter),
        "permissions": _ROLES[sent.permission],
        "created_at": stamp(sent.created_at),
        "expired": False,
        "url": f"{world.api}/user/repository_invitations/{sent.id}",
        "html_url": f"{world.web}/{repository.full_name}/invitations",
    }


def repository_ruleset(world: World, ruleset: Json, *, whole: bool = True) -> Json:
    """Lists leave out conditions and rules."""
    login = world.organisation.login
    link = f"{world.api}/orgs/{login}/rulesets/{ruleset['id']}"
    page = f"{world.web}/organizations/{login}/settings/rules/{ruleset['id']}"
    more = {key: ruleset.get(key, []) for key in ("bypass_actors", "rules")} if whole else {}
    return {
        "id": ruleset["id"],
        "name": ruleset["name"],
        "target": ruleset.get("target", "branch"),
        "source_type": "Organization",
        "source": login,
        "enforcement": ruleset["enforcement"],
        "node_id": node_id("RepositoryRuleset", ruleset["id"]),
        "_links": {"self": {"href": link}, "html": {"href": page}},
        "created_at": ruleset["created_at"],
        "updated_at": ruleset["updated_at"],
        **more,
        **({"conditions": ruleset.get("conditions")} if whole else {}),
    }


def activity(world: World, entry: Activity) -> Json:
    return {
        "id": entry.id,
        "node_id": node_id("PushActivity", entry.id),
        "before": entry.before,
        "after": entry.after,
        "ref": entry.ref,
        "timestamp": stamp(entry.timestamp),
        "activity_type": entry.activity_type,
        "actor": None if entry.actor is None else simple_user(world, entry.actor),
    }


def git_tree(world: World, repository: Repository, sha: str, entries: list[Json]) -> Json:
    url = f"{world.api}/repos/{repository.full_name}/git"
    kinds = {"tree": "trees", "blob": "blobs", "commit": "commits"}
    listed = [entry | {"url": f"{url}/{kinds[entry['type']]}/{entry['sha']}"} for entry in entries]
    return {"sha": sha, "url": f"{url}/trees/{sha}", "tree": listed, "truncated": False}


def blob(world: World, repository: Repository, sha: str, content: bytes) -> Json:
    url = f"{world.api}/repos/{repository.full_name}/git/blobs/{sha}"
    encoded = base64.b64encode(content).decode()
    return {
        "sha": sha,
        "url": url,
        "node_id": sha,
        "size": len(content),
        "content": encoded,
        "encoding": "base64",
    }


# Actions


def workflow_run(world: World, repository: Repository, run: Run, number: int | None = None) -> Json:
    """A run as of an attempt, the latest if `number` is left out."""
    number = number or len(run.attempts)
    attempt: Attempt = run.attempts[number - 1]
    url = f"{world.api}/repos/{repository.full_name}/actions/runs/{run.id}"
    base = minimal_repository(world, repository)
    before = f"{url}/attempts/{number - 1}" if number > 1 else None
    page = f"{world.web}/{repository.full_name}/actions/runs/{run.id}"
    author = {"name": run.actor.login, "email": f"{run.actor.login}@example.org"}
    return {
        "id": run.id,
        "name": "Grade",
        "node_id": node_id("WorkflowRun", run.id),
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "path": run.path,
        "display_title": "Work",
        "run_number": run.number,
        "event": run.event,
        "status": attempt.status,
        "conclusion": attempt.conclusion,
        "workflow_id": repository.id + 1_000_000,
        "check_suite_id": run.id + 1_000_000,
        "check_suite_node_id": node_id("CheckSuite", run.id),
        "url": url,
        "html_url": page,
        "pull_requests": [],
        "created_at": stamp(run.created_at),
        "updated_at": stamp(attempt.updated_at),
        "actor": simple_user(world, run.actor),
        "run_attempt": number,
        "referenced_workflows": run.referenced or [],
        "run_started_at": stamp(attempt.started_at),
        "triggering_actor": simple_user(world, run.actor),
        "jobs_url": f"{url}/jobs",
        "logs_url": f"{url}/logs",
        "check_suite_url": f"{world.api}/repos/{repository.full_name}/check-suites/{run.id + 1_000_000}",
        "artifacts_url": f"{url}/artifacts",
        "cancel_url": f"{url}/cancel",
        "rerun_url": f"{url}/rerun",
        "previous_attempt_url": before,
        "workflow_url": f"{world.api}/repos/{repository.full_name}/actions/workflows/{repository.id + 1_000_000}",
        "head_commit": {
            "id": run.head_sha,
            "tree_id": run.head_sha[::-1],
            "message": "Work",
            "timestamp": stamp(run.created_at),
            "author": author,
            "committer": author,
        },
        "repository": base,
        "head_repository": base,
    }


def job(world: World, repository: Repository, run: Run, number: int, of: Job) -> Json:
    url = f"{world.api}/repos/{repository.full_name}"
    done = None if of.completed_at is None else stamp(of.completed_at)
    step = {
        "name": "Set up job",
        "status": of.status,
        "conclusion": of.conclusion,
        "number": 1,
        "started_at": stamp(of.started_at),
        "completed_at": done,
    }
    return {
        "id": of.id,
        "run_id": run.id,
        "workflow_name": "Grade",
        "head_branch": run.head_branch,
        "run_url": f"{url}/actions/runs/{run.id}",
        "run_attempt": number,
        "node_id": node_id("CheckRun", of.id),
        "head_sha": run.head_sha,
        "url": f"{url}/actions/jobs/{of.id}",
        "html_url": f"{world.web}/{repository.full_name}/actions/runs/{run.id}/job/{of.id}",
        "status": of.status,
        "conclusion": of.conclusion,
        "created_at": stamp(of.created_at),
        "started_at": stamp(of.started_at),
        "completed_at": done,
        "name": of.name,
        "steps": [step],
        "check_run_url": f"{url}/check-runs/{of.id}",
        "labels": ["ubuntu-24.04"],
        "runner_id": 7,
        "runner_name": "GitHub Actions 7",
        "runner_group_id": 0,
        "runner_group_name": "GitHub Actions",
    }


def artifact(world: World, repository: Repository, of: Artifact) -> Json:
    url = f"{world.api}/repos/{repository.full_name}/actions/artifacts/{of.id}"
    return {
        "id": of.id,
        "node_id": node_id("Artifact", of.id),
        "name": of.name,
        "size_in_bytes": len(of.content),
        "url": url,
        "archive_download_url": f"{url}/zip",
        "expired": of.expired,
        "digest": of.digest,
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
        "expires_at": stamp(of.created_at + timedelta(days=90)),
        "workflow_run": {
            "id": of.run.id,
            "repository_id": repository.id,
            "head_repository_id": repository.id,
            "head_branch": of.run.head_branch,
            "head_sha": of.run.head_sha,
        },
    }


# What is said


def issue(world: World, repository: Repository, of: Issue) -> Json:
    base = f"{world.api}/repos/{repository.full_name}"
    url = f"{base}/issues/{of.number}"
    page = f"{world.web}/{repository.full_name}"
    pull = {
        "url": f"{base}/pulls/{of.number}",
        "html_url": f"{page}/pull/{of.number}",
        "diff_url": f"{page}/pull/{of.number}.diff",
        "patch_url": f"{page}/pull/{of.number}.patch",
    }
    return {
        "id": of.id,
        "node_id": node_id("Issue", of.id),
        "url": url,
        "repository_url": base,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": f"{page}/issues/{of.number}",
        "number": of.number,
        "state": of.state,
        "state_reason": None if of.state == "open" else "completed",
        "title": of.title,
        "body": of.body,
        "user": None if of.user is None else simple_user(world, of.user),
        "labels": [],
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "locked": False,
        "active_lock_reason": None,
        "comments": 0,
        "closed_at": None if of.state == "open" else stamp(of.updated_at),
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.updated_at),
        "author_association": "MEMBER",
        **({"pull_request": pull} if of.pull_request else {}),
    }


def status(world: World, repository: Repository, of: Status) -> Json:
    return {
        "url": f"{world.api}/repos/{repository.full_name}/statuses/{of.sha}",
        "avatar_url": f"{world.web}/avatars/u/{of.creator.id}?v=4",
        "id": of.id,
        "node_id": node_id("StatusContext", of.id),
        "state": of.state,
        "description": of.description,
        "target_url": None,
        "context": of.context,
        "created_at": stamp(of.created_at),
        "updated_at": stamp(of.created_at),
        "creator": simple_user(world, of.creator),
    }


# Refusals


def basic_error(message: str, status: int) -> Json:
    return {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}


def validation_error(message: str, resource: str, field: str, code: str, said: str | None = None) -> Json:
    error = {"resource": resource, "field": field, "code": code} | ({"message": said} if said else {})
    return basic_error(message, 422) | {"errors": [error]}
