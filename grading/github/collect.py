"""Collecting: asks GitHub for what is new in the students' repositories, keeps it, and derives records and scores.

What was learnt is on the disk before it is used, so a kill costs nothing but the request that was under way. A
repository is asked about only where something can have changed; one repository's trouble stops no other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Any, Literal

from grading.course import Course
from grading.errors import GradingError, UsageError
from grading.github.answers import Artifact, Repository, Run
from grading.github.api import MOST_ARTIFACT_BYTES, GitHub
from grading.github.artifact import read_score
from grading.github.client import PER_PAGE, Gone, NotFound, Refused, TooLarge, Unavailable, silent
from grading.github.evidence import (
    Attempt,
    Evidence,
    artifact_name,
    attempts,
    finished_attempts,
    is_grading,
    read_evidence,
)
from grading.github.store import Entry, Fact, KnownRepository, Record, Store
from grading.github.verify import Owned, Released, reported, verify
from grading.progress import Progress, no_progress
from grading.roster import Roster
from grading.score import Score
from grading.teams import Holder, Teams

SETTLES = timedelta(minutes=10)
"""How long after a push another one may hide behind it, and GitHub's own books may be behind."""
CAN_BE_RUN_AGAIN = timedelta(days=31)
"""GitHub lets a run be started again for 30 days."""
STARTS = timedelta(days=1)
"""How long a run may take to be there after its push, on GitHub's worst day."""
MOST_RUNS = 2000
MOST_ACTIVITIES = 5000
MOST_JOBS = 100
MOST_KEPT_BYTES = 32 * 2**20
"""Of zips of one repository: a score's has some 10 kB."""
MOST_ARTIFACTS = 100
MOST_DOWNLOADS = 5
"""Of artifacts of one name in one run, where an honest run has one an attempt."""
PATIENCE = 3
"""How many repositories in a row GitHub may leave without an answer before no further one is asked about."""
DELETED = "was deleted before it was collected"
LOST = frozenset({404, 409, 410, 422})
"""What a commit that a repository no longer has is answered with."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is now. Pairs are homework and student (or team)."""

    repositories: int
    asked: int
    verified: int
    unverified: int
    missing: int
    changed: int
    """Files of records and scores."""
    not_submitted: tuple[tuple[str, str], ...]
    """With a repository, and nothing handed in."""
    without_repository: tuple[tuple[str, str], ...]
    """Of homeworks for which others have one."""
    mismatches: tuple[str, ...]
    troubles: tuple[str, ...]


def collect(
    api: GitHub,
    course: Course,
    roster: Roster,
    teams: Teams,
    releases: Released,
    store: Store,
    homeworks: Sequence[str],
    *,
    everything: bool = False,
    tell: Callable[[str], None] = silent,
    progress: Progress = no_progress,
) -> Summary:
    """Collect these homeworks. `everything` asks about every repository, whatever is known. `progress` hears which
    of how many repositories of a homework it is at.

    What goes wrong with one repository is told, and is among the summary's troubles. Where GitHub does not answer at
    all, everything that is known is derived first. Raises UsageError and GradingError.
    """
    if course.github is None:
        raise UsageError(f"{course.path}: github: missing; say at least the organisation")
    names = [course.homework(name).name for name in dict.fromkeys(homeworks)]
    with store.writing():
        collection = _Collection(api, course, roster, teams, releases, store, everything, tell)
        listed = {one.id: one for one in api.repositories(course.github.organisation)}
        owned = collection.find(listed, names)
        for name in names:
            ours = [one for one in owned if one.homework == name]
            collection.changed += store.replace_records(name, collection.records(ours, listed, progress))
    if collection.stopped is not None:
        raise collection.stopped
    return collection.summary(owned, names)


@dataclass(frozen=True, slots=True)
class _Need:
    """Something that is not known yet of an attempt."""

    what: Literal["tree", "jobs", "artifacts", "artifact"]
    commit: str = ""
    run: Run | None = None
    number: int = 0
    artifact: Artifact | None = None


@dataclass(slots=True)
class _Collection:
    api: GitHub
    course: Course
    roster: Roster
    teams: Teams
    releases: Released
    store: Store
    everything: bool
    tell: Callable[[str], None]

    asked: int = 0
    changed: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    submitted: set[tuple[str, str]] = field(default_factory=set)
    mismatches: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    unanswered: int = 0
    stopped: GradingError | None = None

    def trouble(self, line: str) -> None:
        self.troubles.append(line)
        self.tell(line)

    # Whose repositories there are

    def find(self, listed: dict[int, Repository], homeworks: Sequence[str]) -> list[Owned]:
        """The repositories of these homeworks, the gone ones too. A name counts only where nothing else is known."""
        self.note_names(listed.values())
        lines: dict[int, list[KnownRepository]] = {}
        for line in self.store.repositories():
            lines.setdefault(line.repository_id, []).append(line)
        known = [owned(of_one, self.roster, self.teams) for of_one in lines.values()]
        known.sort(key=lambda one: not one.assigned)  # what was assigned comes first, as it came
        theirs: dict[tuple[str, str], Owned] = {}
        for one in known:
            self.admit(one, theirs)
        by_name = {repository.name.casefold(): repository for repository in listed.values()}
        for homework in homeworks:
            for holder in self.teams.repositories(self.course, self.roster, homework):
                repository = by_name.get(self.name_of(homework, holder))
                if repository is not None and repository.id not in lines:
                    self.find_by_name(repository, homework, holder, theirs)
        again = [one for one in known if one.assigned and one not in theirs.values()]
        return [one for one in (*theirs.values(), *again) if one.homework in homeworks]

    def admit(self, one: Owned, theirs: dict[tuple[str, str], Owned]) -> bool:
        """The first is theirs, and whatever was assigned besides; another that only has the name is nobody's."""
        other = theirs.setdefault((one.homework, one.student.casefold()), one)
        if other is one or one.assigned:
            return True
        self.trouble(
            f"{one.name}: has the name of {one.student}'s for {one.homework}, who has another "
            f"({other.name}, id {other.repository_id}); left out: remove it, or ask who made it"
        )
        return False

    def note_names(self, listed: Iterable[Repository]) -> None:
        latest = {line.repository_id: line for line in self.store.repositories()}
        for repository in listed:
            line = latest.get(repository.id)
            if line is not None and line.name != repository.full_name:
                renamed = {"at": self.store.clock(), "name": repository.full_name, "event": "renamed"}
                self.store.know(line.model_copy(update=renamed))

    def find_by_name(
        self, repository: Repository, homework: str, holder: Holder, theirs: dict[tuple[str, str], Owned]
    ) -> None:
        person = self.roster.by_login(holder.name) if len(holder.members) == 1 else None
        line = KnownRepository(
            at=self.store.clock(),
            repository_id=repository.id,
            name=repository.full_name,
            homework=homework,
            student=holder.name,
            event="found",
            github_id=None if person is None else person.github_id,
        )
        if self.admit(owned([line], self.roster, self.teams), theirs):
            self.store.know(line)

    def name_of(self, homework: str, holder: Holder) -> str:
        assert self.course.github is not None
        pattern = self.course.github.repository
        return pattern.replace("{homework}", homework).replace("{student}", holder.name).casefold()

    # One repository after the other

    def records(
        self, ours: Sequence[Owned], listed: dict[int, Repository], progress: Progress
    ) -> Iterator[Record]:
        seen: set[tuple[str, str]] = set()
        for number, one in enumerate(ours, 1):
            progress(number, len(ours))
            for record in self.records_of(one, listed.get(one.repository_id)):
                if (record.student, record.commit) in seen:
                    continue  # pushed to the first of their repositories, too
                seen.add((record.student, record.commit))
                self.count(record)
                yield record

    def records_of(self, one: Owned, listed: Repository | None) -> list[Record]:
        """Asks where there may be news; then, whatever came of that, what follows from all that is known."""
        try:
            evidence = read_evidence(self.store.journal(one.homework, one.repository_id))
        except GradingError as error:
            self.trouble(f"{one.name}: its journal cannot be used: {error}")
            return []
        scores: dict[str, Score | str] = {}

        def read(sha256: str) -> Score | str:
            if sha256 not in scores:
                scores[sha256] = self.read(sha256)
            return scores[sha256]

        records = verify(evidence, one, self.course, self.releases, read)
        if listed is None:
            self.trouble(f"{one.name}: is gone from the organisation; what was collected of it stays")
            return records
        asking = _Asking(self, one, listed, evidence, read)
        if self.stopped is not None or not (self.everything or asking.has_reason(records)):
            return records
        self.asked += 1
        try:
            asking.ask()
            self.unanswered = 0
        except GradingError as error:
            self.failed(one, error)
        return verify(evidence, one, self.course, self.releases, read)

    def failed(self, one: Owned, error: GradingError) -> None:
        self.trouble(f"{one.name}: not collected to the end: {error}")
        self.unanswered = self.unanswered + 1 if isinstance(error, Unavailable) else 0
        if self.unanswered >= PATIENCE or (isinstance(error, Refused) and error.status == 401):
            self.stopped = error

    def read(self, sha256: str) -> Score | str:
        try:
            return read_score(self.store.artifact(sha256))
        except GradingError as error:
            self.trouble(str(error))
            return "the zip that was kept of it is gone or damaged"

    # What came of it

    def count(self, record: Record) -> None:
        self.counts[record.status] = self.counts.get(record.status, 0) + 1
        self.submitted.add((record.homework, record.student.casefold()))
        self.submitted |= {(record.homework, member.casefold()) for member in record.members}
        said, central = record.reported_points, record.central_points
        if said is not None and central is not None and said != central:
            self.mismatches.append(
                f"{record.homework}, {record.student}, {record.commit[:7]}: the run reported {float(said):g} points, "
                f"graded here it has {float(central):g}"
            )

    def summary(self, ours: Sequence[Owned], homeworks: Sequence[str]) -> Summary:
        with_one = {(one.homework, one.student.casefold()) for one in ours}
        holders = [
            (homework, holder.name)
            for homework in homeworks
            if any(one.homework == homework for one in ours)
            for holder in self.teams.repositories(self.course, self.roster, homework)
        ]
        waiting = [pair for pair in holders if (pair[0], pair[1].casefold()) not in self.submitted]
        return Summary(
            repositories=len(ours),
            asked=self.asked,
            verified=self.counts.get("verified", 0),
            unverified=self.counts.get("unverified", 0),
            missing=self.counts.get("missing", 0),
            changed=self.changed,
            not_submitted=tuple(pair for pair in waiting if (pair[0], pair[1].casefold()) in with_one),
            without_repository=tuple(
                pair for pair in waiting if (pair[0], pair[1].casefold()) not in with_one
            ),
            mismatches=tuple(self.mismatches),
            troubles=tuple(self.troubles),
        )


def owned(lines: Sequence[KnownRepository], roster: Roster, teams: Teams) -> Owned:
    """Whose a repository is, from all that is known of it. An account's id holds where its login has changed."""
    assigned = [line for line in lines if line.event == "assigned"]
    line = (assigned or lines)[-1]
    of_homework = [team for team in teams.teams if line.homework in team.homeworks]
    team = next((team for team in of_homework if team.name.casefold() == line.student.casefold()), None)
    if team is not None:
        student, members = team.name, team.members
    else:
        ids = [one.github_id for one in lines if one.github_id is not None and one.student == line.student]
        person = (roster.by_id(ids[-1]) if ids else None) or roster.by_login(line.student)
        student = person.username if person is not None else line.student
        members = (student,)
    earlier = dict.fromkeys(one.name for one in lines if one.name != lines[-1].name)
    return Owned(
        homework=line.homework,
        student=student,
        members=members,
        repository_id=line.repository_id,
        names=(*earlier, lines[-1].name),
        assigned=bool(assigned),
    )


# Asking about one repository


@dataclass(frozen=True, slots=True)
class _Asking:
    """What one repository is asked, and what is kept of the answers."""

    collection: _Collection
    owned: Owned
    listed: Repository
    evidence: Evidence
    read: Callable[[str], Score | str]
    unwritten: list[Fact] = field(default_factory=list)

    @property
    def api(self) -> GitHub:
        return self.collection.api

    @property
    def name(self) -> str:
        return self.listed.full_name

    @property
    def graded_on_push(self) -> bool:
        assert self.collection.course.github is not None
        return self.collection.course.github.grade_on_push

    @property
    def pushed_at(self) -> str:
        return self.listed.pushed_at.isoformat() if self.listed.pushed_at is not None else ""

    def has_reason(self, records: Sequence[Record]) -> bool:
        """A push since, an attempt without a score that may still get one, or something left unasked by a kill."""
        if self.has_news():
            return True
        return any(
            self.may_get_a_score(attempt, record) or any(True for _ in self.needs(attempt))
            for attempt, record in zip(attempts(self.evidence), records, strict=True)
        )

    def may_get_a_score(self, attempt: Attempt, record: Record) -> bool:
        """A push that changed nothing to grade has no run, and never gets one."""
        wait = CAN_BE_RUN_AGAIN if attempt.run is not None else STARTS
        waited = self.collection.store.clock() - attempt.at
        unfinished = attempt.run is not None and attempt.run.status != "completed"
        unsettled = record.status == "missing" or (unfinished and record.status == "unverified")
        return self.graded_on_push and unsettled and waited < wait

    def has_news(self) -> bool:
        return self.evidence.asked is None or self.evidence.asked["pushed_at"] != self.pushed_at

    def ask(self) -> None:
        try:
            self.keep([("repository", "", {"name": self.name, "default_branch": self.listed.default_branch})])
            if self.collection.everything or self.has_news():
                self.ask_activity()
            self.ask_runs()
            for attempt in attempts(self.evidence):
                self.flush()
                for need in self.needs(attempt):
                    self.keep(self.answer(need))
            now = self.collection.store.clock()
            if self.listed.pushed_at is None or now - self.listed.pushed_at > SETTLES:
                self.keep([("asked", "", {"pushed_at": self.pushed_at})])
        finally:
            self.flush()

    def keep(self, facts: Sequence[Fact]) -> None:
        """For the next question at once; on the disk with the rest of the attempt."""
        self.unwritten.extend(facts)
        for kind, key, data in facts:
            self.evidence.take(Entry(self.collection.store.clock(), kind, key, data))

    def flush(self) -> None:
        facts, self.unwritten[:] = list(self.unwritten), []
        self.collection.store.append_all(self.owned.homework, self.owned.repository_id, facts)

    # Lists: read from the latest back to what is known, and kept from the earliest on, so that what is known
    # never has a hole

    def ask_activity(self) -> None:
        """Of the branches that count: a push can make thousands of others. What is known ends the reading, but not
        before the end of its page: two pushes within a second may be listed either way."""
        for branch in list(self.evidence.branches):
            new: list[Fact] = []
            met = False
            for number, activity in enumerate(self.api.activity(self.name, f"refs/heads/{branch}"), 1):
                if activity.id in self.evidence.activity:
                    met = True
                else:
                    new.append(("activity", str(activity.id), activity.model_dump(mode="json")))
                if number >= MOST_ACTIVITIES:
                    self.collection.trouble(
                        f"{self.name}: has more than {MOST_ACTIVITIES} pushes; the earliest are left out"
                    )
                    break
                if number % PER_PAGE == 0 and met and not self.collection.everything:
                    break
            self.keep(new[::-1])

    def ask_runs(self) -> None:
        """The first page whole, for runs that went on or were started again; then until one is known."""
        known = set(self.evidence.runs)
        runs: list[Run] = []
        met = False
        for number, run in enumerate(self.api.runs(self.name), 1):
            met = met or run.id in known
            if is_grading(run):
                runs.append(run)
            if number >= MOST_RUNS:
                self.collection.trouble(f"{self.name}: has more than {MOST_RUNS} runs; the rest is left out")
                break
            if number % PER_PAGE == 0 and met and not self.collection.everything:
                break
        self.keep([run_fact(run) for run in reversed(runs)])
        unfinished = {run_id for run_id in known if self.evidence.runs[run_id].status != "completed"}
        for run_id in sorted(unfinished - {run.id for run in runs}):
            one = self.api.run(self.name, run_id)
            self.keep([run_fact(one) if one is not None else ("gone", str(run_id), {"run": run_id})])

    # One attempt

    def needs(self, attempt: Attempt) -> Iterator[_Need]:
        """What is not known of it. Each is to be answered, and kept, before the next is asked for."""
        evidence, run = self.evidence, attempt.run
        young = (
            self.collection.store.clock() - attempt.at < STARTS
        )  # GitHub may show a little later what it could not
        tree = evidence.trees.get(attempt.commit)
        asks_tree = tree is None or (tree.problem and (self.collection.everything or young))
        if asks_tree and (self.graded_on_push or run is not None):
            yield _Need("tree", commit=attempt.commit)
        if run is None:
            return
        finished = finished_attempts(run)
        for number in range(1, finished + 1):
            if self.is_graded(attempt):
                return
            jobs = evidence.jobs.get((run.id, number))
            if jobs is None or (young and not (jobs and all(job.completed_at for job in jobs))):
                yield _Need("jobs", run=run, number=number)
            if number > 1:
                continue
            listed = evidence.listed.get((run.id, finished))
            if listed is None or self.collection.everything or (young and not listed):
                yield _Need("artifacts", run=run, number=finished)
            for artifact in evidence.artifacts_of(run.id):
                fetched = evidence.fetched.get(artifact.id)
                if fetched is None or (young and fetched.problem == DELETED):
                    yield _Need("artifact", artifact=artifact)

    def is_graded(self, attempt: Attempt) -> bool:
        said = reported(attempt, self.evidence, self.owned.homework, self.read)
        return said.score is not None and said.score.state == "graded"

    def answer(self, need: _Need) -> list[Fact]:
        match need:
            case _Need(what="tree"):
                return [self.tree(need.commit)]
            case _Need(what="jobs", run=Run() as run):
                return [self.jobs(run, need.number)]
            case _Need(what="artifacts", run=Run() as run):
                return self.artifacts(run, need.number)
            case _Need(artifact=Artifact() as artifact):
                return [self.artifact(artifact)]
        raise AssertionError(need)

    def tree(self, commit: str) -> Fact:
        sha, problem = None, ""
        try:
            sha = self.api.tree_of(self.name, commit, ".github")
        except Refused as error:
            if error.status not in LOST:
                raise
            problem = "the repository no longer has it"
        return "tree", commit, {"commit": commit, "sha": sha, "problem": problem}

    def jobs(self, run: Run, number: int) -> Fact:
        jobs: list[Any] = []
        try:
            listed = islice(self.api.jobs(self.name, run.id, number), MOST_JOBS)
            jobs = [job.model_dump(mode="json") for job in listed]
        except (NotFound, Gone):
            pass  # the run was deleted since
        return "jobs", f"{run.id}/{number}", {"run": run.id, "attempt": number, "jobs": jobs}

    def artifacts(self, run: Run, number: int) -> list[Fact]:
        """Those with the score's name, and of those beyond any honest number, that they are not looked at."""
        found: list[Artifact] = []
        try:
            named = (
                artifact
                for artifact in self.api.artifacts(self.name, run.id, artifact_name(self.owned.homework))
                if artifact.name == artifact_name(self.owned.homework)
            )
            found = sorted(islice(named, MOST_ARTIFACTS), key=lambda artifact: artifact.id)
        except (NotFound, Gone):
            pass
        listing = [artifact.model_dump(mode="json") for artifact in found]
        too_many = [unfetched(artifact, "is one of too many") for artifact in found[MOST_DOWNLOADS:]]
        data = {"run": run.id, "attempt": number, "artifacts": listing}
        return [*too_many, ("artifacts", f"{run.id}/{number}", data)]

    def artifact(self, artifact: Artifact) -> Fact:
        """The zip, kept before it is spoken of; or why there will never be one."""
        if artifact.expired:
            return unfetched(artifact, "had expired before it was collected")
        if artifact.size_in_bytes > MOST_ARTIFACT_BYTES:
            return unfetched(artifact, f"is larger than {MOST_ARTIFACT_BYTES // 2**20} MiB")
        if self.evidence.bytes_kept() + artifact.size_in_bytes > MOST_KEPT_BYTES:
            return unfetched(artifact, "is left out, since too much was uploaded in this repository")
        try:
            content = self.api.artifact_zip(self.name, artifact.id)
        except Gone:
            return unfetched(artifact, "had expired before it was collected")
        except NotFound:
            return unfetched(artifact, DELETED)
        except TooLarge:
            return unfetched(artifact, f"is larger than {MOST_ARTIFACT_BYTES // 2**20} MiB")
        sha256 = self.collection.store.keep_artifact(content)
        return "artifact", str(artifact.id), {"id": artifact.id, "sha256": sha256, "problem": ""}


def run_fact(run: Run) -> Fact:
    return "run", str(run.id), run.model_dump(mode="json")


def unfetched(artifact: Artifact, problem: str) -> Fact:
    return "artifact", str(artifact.id), {"id": artifact.id, "sha256": None, "problem": problem}
