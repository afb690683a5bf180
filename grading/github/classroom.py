"""The students' repositories: each holder's made from the template once, and how far everyone is with it.

What was done is noted in the store at once, so that a run killed anywhere is simply run again. A repository that was
not made from the course's template is told, and not touched.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Literal

from grading.course import Course
from grading.errors import GradingError, UsageError
from grading.github.answers import Account, Repository
from grading.github.api import GitHub
from grading.github.client import NotFound, Refused, Uncertain, silent
from grading.github.organisation import no_organisation, repository_name, template_problem
from grading.github.store import Entry, KnownRepository, Record, Status, Store
from grading.progress import Progress, no_progress
from grading.release import settings_of, template_name
from grading.roster import Roster
from grading.score import counting_attempt
from grading.teams import Holder, Teams

Tell = Callable[[str], None]
"""How many of how many are done."""

MEMBER = "member"
"""Kind of the journal's line that somebody was given access: the key is the login."""
COPYING = timedelta(minutes=1)
"""A push this soon after a repository was made is the template's copy."""
INVITATION_LASTS = timedelta(days=7)
LONGEST_NAME = 100
MOST_TRIES = 3


# Handed out


@dataclass(slots=True, frozen=True)
class Summary:
    """What was done, or in a dry run would be: repositories made and taken over, people given access, and holders
    who had everything before. `problems` were told already."""

    created: int
    taken_over: int
    added: int
    ready: int
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return 2 if self.problems else 0


def assign(
    api: GitHub,
    course: Course,
    homeworks: Sequence[str],
    roster: Roster,
    teams: Teams,
    store: Store,
    *,
    again: Collection[str] = (),
    dry_run: bool = False,
    tell: Tell = silent,
    progress: Progress = no_progress,
) -> Summary:
    """Make each holder's repository from the template, and let the members push.

    What the store knows is not asked again, except for the holders named in `again`: a repository of theirs that was
    deleted is made anew, and they are invited again. What stands in one holder's way is told, and the others go on.
    Raises UsageError and Unavailable where nobody can go on; what was done is kept.
    """
    work = [
        (homework, holder)
        for homework in homeworks
        for holder in teams.repositories(course, roster, homework)
    ]
    names = {holder.name.casefold() for _, holder in work}
    for name in again:
        if name.casefold() not in names:
            raise UsageError(f'--again {name}: no student or team of these homeworks is called "{name}"')
    with nullcontext() if dry_run else store.writing():
        handing_out = _HandingOut(api, course, roster, store, again, dry_run, tell)
        for done, (homework, holder) in enumerate(work):
            progress(done, len(work))
            try:
                handing_out.to(homework, holder)
            except GradingError:
                tell(
                    f"stopped after {done} of {len(work)}: what is done is kept, and running it again goes on"
                )
                raise
    progress(len(work), len(work))
    return handing_out.summary()


class _HandingOut:
    """One run of assign: what it knows, so that nothing is asked twice, and what it did."""

    def __init__(
        self,
        api: GitHub,
        course: Course,
        roster: Roster,
        store: Store,
        again: Iterable[str],
        dry_run: bool,
        tell: Tell,
    ) -> None:
        self.api, self.course, self.roster, self.store = api, course, roster, store
        self.settings = settings_of(course)
        self.again, self.dry_run, self.tell = _folded(again), dry_run, tell
        self.known = _Known(line for line in store.repositories() if line.event == "assigned")
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._repositories: dict[str, Repository] | None = None
        self._has_template: dict[str, bool] = {}
        self._accounts: dict[str, Account | None] = {}
        self._names = {self.settings.bundle.casefold(): "the bundle"}
        for homework in course.homeworks:
            name = template_name(self.settings, homework.name)
            self._names[name.casefold()] = f"the template of {homework.name}"

    def summary(self) -> Summary:
        created, taken_over, added, ready = (
            self.counts[key] for key in ("created", "taken over", "added", "ready")
        )
        return Summary(created, taken_over, added, ready, tuple(self.problems))

    def to(self, homework: str, holder: Holder) -> None:
        name = repository_name(self.settings, homework, holder.name)
        if not self._may_be_called(name, homework, holder):
            return
        theirs = None if holder.name.casefold() in self.again else self._theirs(homework, holder)
        waiting = list(holder.members) if theirs is None else self._without_access(theirs, holder)
        if theirs is not None and not waiting:
            self.counts["ready"] += 1
            return
        joining = [account for account in map(self._account, waiting) if account is not None]
        if not joining:
            return
        if theirs is not None:
            self._add_to(theirs, joining)
            return
        existing = self._listed().get(name.casefold()) or self._make(name, homework, holder, joining)
        if existing is not None:
            self._take_over(existing, homework, holder, joining)

    # Who and which

    def _may_be_called(self, name: str, homework: str, holder: Holder) -> bool:
        mine = f"{holder.name}'s repository for {homework}"
        other = self._names.setdefault(name.casefold(), mine)
        if other != mine:
            self._problem(
                f"{name}: is the name of {other}, and would be of {mine}; change github.repository in "
                f"{self.course.path}"
            )
        elif len(name) > LONGEST_NAME:
            self._problem(
                f"{name}: longer than {LONGEST_NAME} characters; shorten github.repository in {self.course.path}"
            )
        else:
            return True
        return False

    def _theirs(self, homework: str, holder: Holder) -> KnownRepository | None:
        """The holder's repository as the store has it; under an earlier login too, where the account is the same."""
        theirs = self.known.of(homework, holder.name)
        person = self.roster.by_login(holder.name) if len(holder.members) == 1 else None
        if theirs is not None or person is None or person.github_id is None:
            return theirs
        earlier = self.known.of_account(homework, person.github_id)
        if earlier is None or self.roster.by_login(earlier.student) is not None:
            return None
        self.tell(f"{earlier.name}: {earlier.student} is called {holder.name} now")
        return self._know(earlier.repository_id, earlier.name, homework, holder)

    def _without_access(self, theirs: KnownRepository, holder: Holder) -> list[str]:
        entries = list(_given_access(self.store, theirs.homework, theirs.repository_id))
        logins, ids = {entry.key for entry in entries}, {entry.data["github_id"] for entry in entries}
        waiting = []
        for login in holder.members:
            person = self.roster.by_login(login)
            if login.casefold() not in logins and (person is None or person.github_id not in ids):
                waiting.append(login)
        return waiting

    def _account(self, login: str) -> Account | None:
        """The account of a login, if it is there and is the one that the roster means."""
        if login not in self._accounts:
            person = self.roster.by_login(login)
            account = None
            try:
                account = self.api.user(login)
            except NotFound:
                self._problem(
                    f"{self.roster.path}: GitHub has no account {login}; ask the student for the login"
                )
            if account is not None and person is not None and person.github_id not in (None, account.id):
                self._problem(
                    f"{self.roster.path}: {login} is the account {account.id} now, not {person.github_id}; "
                    "ask the student for the login"
                )
                account = None
            self._accounts[login] = account
        return self._accounts[login]

    # The repository

    def _listed(self) -> Mapping[str, Repository]:
        """All of the organisation's by name, asked for once."""
        if self._repositories is None:
            self._repositories = {one.name.casefold(): one for one in _listing(self.api, self.course)}
        return self._repositories

    def _make(
        self, name: str, homework: str, holder: Holder, joining: Sequence[Account]
    ) -> Repository | None:
        """Make it and let the members in, or give the one that turns out to be there already."""
        if not self._template_is_there(homework):
            return None
        full_name = f"{self.settings.organisation}/{name}"
        self.counts["created"] += 1
        if self.dry_run:
            self._would(f"make {full_name} for", joining)
            return None
        made, new = self._generated(full_name, homework)
        if not new:
            self.counts["created"] -= 1
            return made
        self._let_in(self._know(made.id, made.full_name, homework, holder), joining)
        return None

    def _template_is_there(self, homework: str) -> bool:
        if homework not in self._has_template:
            name = self._template(homework)
            problem = template_problem(self.api.repository(name), name, homework)
            if problem:
                self._problem(problem)
            self._has_template[homework] = not problem
        return self._has_template[homework]

    def _template(self, homework: str) -> str:
        return f"{self.settings.organisation}/{template_name(self.settings, homework)}"

    def _generated(self, full_name: str, homework: str) -> tuple[Repository, bool]:
        """The repository and whether it is new, for certain; one that is there may be of a request whose answer was
        lost."""
        owner, _, name = full_name.partition("/")
        tries = 1
        while True:
            try:
                about = f"{self.course.name}: {homework}"
                return self.api.generate(self._template(homework), owner, name, about), True
            except (Uncertain, Refused) as error:
                if isinstance(error, Refused) and error.status != 422:
                    raise
                there = self.api.repository(full_name)
                if there is not None:
                    return there, False
                if isinstance(error, Refused) or tries == MOST_TRIES:
                    raise
                tries += 1

    def _take_over(
        self, existing: Repository, homework: str, holder: Holder, joining: Sequence[Account]
    ) -> None:
        obstacle = self._obstacle(existing, homework, holder)
        if obstacle:
            self._problem(f"{existing.full_name}: {obstacle}, and run it again")
            return
        self.counts["taken over"] += 1
        if self.dry_run:
            self._would(f"take over {existing.full_name}, and add", joining)
            return
        theirs = self._know(existing.id, existing.full_name, homework, holder)
        self._let_in(theirs, self._not_invited(theirs, joining))

    def _obstacle(self, existing: Repository, homework: str, holder: Holder) -> str:
        """Why a repository that is there already is not the holder's, or cannot be used; empty if it can."""
        owner = self.known.owner(existing.id)
        if owner is not None and (owner.homework, owner.student.casefold()) != (
            homework,
            holder.name.casefold(),
        ):
            return f"is {owner.student}'s for {owner.homework}; rename it"
        full = self.api.repository(existing.full_name)
        source = None if full is None else full.template_repository
        if (
            full is None
            or source is None
            or source.full_name.casefold() != self._template(homework).casefold()
        ):
            return f"exists already, and was not made from {self._template(homework)}; rename or delete it"
        if full.archived:
            return "is archived; unarchive it"
        if not full.private:
            return "is public; make it private"
        members = _folded(holder.members)
        for account in self.api.collaborators(full.full_name):
            person = self.roster.by_id(account.id) or self.roster.by_login(account.login)
            if person in self.roster.students and person.username.casefold() not in members:
                return (
                    f"would be {holder.name}'s, and {account.login} has access; take that away, or rename it"
                )
        return ""

    # Its people

    def _add_to(self, theirs: KnownRepository, joining: Sequence[Account]) -> None:
        """To a repository of an earlier run, which may have been killed before it noted whom it let in."""
        there = self.api.repository(theirs.name)
        if there is None or there.id != theirs.repository_id:
            self._problem(
                f"{theirs.name}: is not there any more; to make it anew, add --again {theirs.student}"
            )
        elif self.dry_run:
            self._would(f"add to {there.full_name}", joining)
        else:
            theirs = theirs.model_copy(update={"name": there.full_name})
            self._let_in(theirs, self._not_invited(theirs, joining))

    def _not_invited(self, theirs: KnownRepository, joining: Sequence[Account]) -> Sequence[Account]:
        """Without those whom a killed run invited and could not note, unless they shall be invited again."""
        if theirs.student.casefold() in self.again:
            return joining
        pending = {sent.invitee.id for sent in self.api.invitations(theirs.name) if sent.invitee is not None}
        for account in joining:
            if account.id in pending:
                self._note(theirs, account, invited=True)
        return [account for account in joining if account.id not in pending]

    def _let_in(self, theirs: KnownRepository, joining: Iterable[Account]) -> None:
        for account in joining:
            try:
                invited = self.api.add_collaborator(theirs.name, account.login)
            except Refused as error:
                if error.status not in (403, 404, 422):
                    raise
                self._problem(f"{theirs.name}: {account.login} cannot be added: {error}")
                continue
            self.counts["added"] += 1
            self._note(theirs, account, invited=invited)

    # What is kept and said

    def _know(self, repository_id: int, name: str, homework: str, holder: Holder) -> KnownRepository:
        github_id = None
        if len(holder.members) == 1:
            person, account = self.roster.by_login(holder.name), self._accounts.get(holder.members[0])
            github_id = (
                account.id if account is not None else person.github_id if person is not None else None
            )
        line = KnownRepository(
            at=datetime.now(UTC),
            repository_id=repository_id,
            name=name,
            homework=homework,
            student=holder.name,
            event="assigned",
            github_id=github_id,
        )
        if not self.dry_run:
            self.store.know(line)
        self.known.add(line)
        return line

    def _note(self, theirs: KnownRepository, account: Account, *, invited: bool) -> None:
        data = {"github_id": account.id, "invited": invited}
        self.store.append(theirs.homework, theirs.repository_id, MEMBER, account.login.casefold(), data)

    def _would(self, what: str, joining: Sequence[Account]) -> None:
        self.tell(f"would {what} {', '.join(account.login for account in joining)}")
        self.counts["added"] += len(joining)

    def _problem(self, line: str) -> None:
        self.problems.append(line)
        self.tell(line)


class _Known:
    """Whose repositories are, after lines of the store: of each repository the last line holds."""

    def __init__(self, lines: Iterable[KnownRepository]) -> None:
        self._by_id: dict[int, KnownRepository] = {}
        self._by_holder: dict[tuple[str, str], KnownRepository] = {}
        for line in lines:
            self.add(line)

    def add(self, line: KnownRepository) -> None:
        earlier = self._by_id.get(line.repository_id)
        if earlier is not None and self._by_holder.get(_holder_of(earlier)) == earlier:
            del self._by_holder[_holder_of(earlier)]
        self._by_id[line.repository_id] = self._by_holder[_holder_of(line)] = line

    def owner(self, repository_id: int) -> KnownRepository | None:
        return self._by_id.get(repository_id)

    def of(self, homework: str, holder: str) -> KnownRepository | None:
        return self._by_holder.get((homework, holder.casefold()))

    def of_account(self, homework: str, github_id: int) -> KnownRepository | None:
        for line in self._by_holder.values():
            if (line.homework, line.github_id) == (homework, github_id):
                return line
        return None


def _holder_of(line: KnownRepository) -> tuple[str, str]:
    return line.homework, line.student.casefold()


def _given_access(store: Store, homework: str, repository_id: int) -> Iterator[Entry]:
    return (entry for entry in store.journal(homework, repository_id) if entry.kind == MEMBER)


def _listing(api: GitHub, course: Course) -> list[Repository]:
    try:
        return list(api.repositories(settings_of(course).organisation))
    except NotFound as error:
        raise no_organisation(course, error) from error


def _folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


# How far everyone is


@dataclass(slots=True, frozen=True)
class Row:
    """How far a holder is with a homework.

    `accepted`: whether somebody of theirs is in; None where GitHub would tell only if asked for this repository alone,
    which a push settles. `invited_at`: the last invitation, if nobody is known to be in; it holds for
    INVITATION_LASTS. `pushed_at`: the last push after the template's copy. `status` and `points` (after the penalty)
    are those of the attempt that counts; without one, `status` is the latest attempt's.
    """

    homework: str
    holder: Holder
    repository: str | None
    accepted: bool | None
    invited_at: datetime | None
    pushed_at: datetime | None
    status: Status | None
    points: Fraction | None


def status(
    api: GitHub, course: Course, homeworks: Sequence[str], roster: Roster, teams: Teams, store: Store
) -> list[Row]:
    """How far everyone is, from one listing of the organisation's repositories and from the store.

    Its people are listed too while somebody is not known to have accepted any invitation. Raises UsageError and
    Unavailable.
    """
    lines = store.repositories()
    known = _Known(lines)
    places = _places(api, course, homeworks, roster, teams, known)
    said = {line.repository_id for line in lines if line.event == "accepted"}
    several = _with_several(course, roster, teams, known)
    accepted = _accepted(api, course, store, places, said, several)
    graded = _graded(store.records(), course.counts)
    rows = []
    for place, inside in zip(places, accepted, strict=True):
        there = place.repository
        state, points = graded.get((place.homework, place.holder.name.casefold()), (None, None))
        invited = [] if inside or there is None else _given_access(store, place.homework, there.id)
        rows.append(
            Row(
                homework=place.homework,
                holder=place.holder,
                repository=None if there is None else there.full_name,
                accepted=inside,
                invited_at=max((entry.at for entry in invited), default=None),
                pushed_at=place.pushed_at,
                status=state,
                points=points,
            )
        )
    return rows


@dataclass(slots=True, frozen=True)
class _Place:
    """What a holder has for a homework, as the listing shows it."""

    homework: str
    holder: Holder
    repository: Repository | None

    @property
    def pushed_at(self) -> datetime | None:
        there = self.repository
        if there is None or there.pushed_at is None or there.created_at is None:
            return None
        return there.pushed_at if there.pushed_at - there.created_at > COPYING else None


def _places(
    api: GitHub, course: Course, homeworks: Sequence[str], roster: Roster, teams: Teams, known: _Known
) -> list[_Place]:
    listing = _listing(api, course)
    by_id = {repository.id: repository for repository in listing}
    by_name = {repository.name.casefold(): repository for repository in listing}
    places = []
    for homework in homeworks:
        for holder in teams.repositories(course, roster, homework):
            theirs = known.of(homework, holder.name)
            name = repository_name(settings_of(course), homework, holder.name).casefold()
            there = by_name.get(name) if theirs is None else by_id.get(theirs.repository_id)
            places.append(_Place(homework, holder, there))
    return places


def _with_several(course: Course, roster: Roster, teams: Teams, known: _Known) -> frozenset[str]:
    """The logins with more than one repository: that they are in says nothing of each."""
    count: Counter[str] = Counter()
    for homework in course.homeworks:
        for holder in teams.repositories(course, roster, homework.name):
            if known.of(homework.name, holder.name) is not None:
                count.update(_folded(holder.members))
    return frozenset(login for login, repositories in count.items() if repositories > 1)


def _accepted(
    api: GitHub,
    course: Course,
    store: Store,
    places: Sequence[_Place],
    said: Collection[int],
    several: frozenset[str],
) -> list[bool | None]:
    """For each place, Row's `accepted`. `said`: the ids of repositories that the store knows to be accepted."""
    inside: set[str] = set()
    found: list[bool | None] = []
    for place in places:
        there = place.repository
        accepted = there is not None and (
            place.pushed_at is not None
            or there.id in said
            or any(not entry.data["invited"] for entry in _given_access(store, place.homework, there.id))
        )
        found.append(accepted)
        if accepted and len(place.holder.members) == 1:
            inside |= _folded(place.holder.members)
    waiting = [
        (number, place, place.repository)
        for number, place in enumerate(places)
        if place.repository is not None and not found[number]
    ]
    if not all(_folded(place.holder.members) <= inside for _, place, _ in waiting):
        organisation = settings_of(course).organisation
        for people in (api.outside_collaborators(organisation), api.members(organisation)):
            inside |= {account.login.casefold() for account in people}
    for number, place, there in waiting:
        members = _folded(place.holder.members)
        if not members & inside:
            continue
        if len(members) > 1 or members & several:
            found[number] = None
            continue
        found[number] = True
        line = KnownRepository(
            at=datetime.now(UTC),
            repository_id=there.id,
            name=there.full_name,
            homework=place.homework,
            student=place.holder.name,
            event="accepted",
        )
        with suppress(UsageError):  # another process writes there; it is seen again next time
            store.know(line)
    return found


def _graded(
    records: Iterable[Record], counts: Literal["best", "last"]
) -> dict[tuple[str, str], tuple[Status, Fraction | None]]:
    """By homework and holder: status and points of the attempt that counts, else the status of the latest."""
    of: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        of[record.homework, record.student.casefold()].append(record)
    found: dict[tuple[str, str], tuple[Status, Fraction | None]] = {}
    for key, own in of.items():
        scores = [record.score for record in own if record.status == "verified" and record.score is not None]
        counting = counting_attempt(scores, counts)
        if counting is not None:
            found[key] = "verified", counting.final_points
        else:
            latest = max(own, key=lambda record: record.submitted_at or datetime.min.replace(tzinfo=UTC))
            found[key] = latest.status, None
    return found


def show_status(rows: Iterable[Row], course: Course) -> None:
    """Print a table for each homework: who holds a repository, whether anybody is in, the last push, the points."""
    from rich.console import Console
    from rich.table import Table

    from grading.report.terminal import plain
    from grading.report.words import number

    console = Console()
    of: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of[row.homework].append(row)
    for homework, own in of.items():
        table = Table(box=None, pad_edge=False)
        for heading in ("who", "accepted", "last push", "status", "points"):
            table.add_column(heading, justify="right" if heading == "points" else "left")
        for row in own:
            members = f" ({', '.join(row.holder.members)})" if len(row.holder.members) > 1 else ""
            pushed = f"{row.pushed_at.astimezone(course.zone):%Y-%m-%d %H:%M}" if row.pushed_at else ""
            points = "" if row.points is None else number(row.points)
            table.add_row(
                plain(f"{row.holder.name}{members}"),
                in_words(row, datetime.now(UTC)),
                pushed,
                row.status or "",
                points,
            )
        counts = {
            "repositories": sum(row.repository is not None for row in own),
            "accepted": sum(row.accepted is True for row in own),
            "pushed": sum(row.pushed_at is not None for row in own),
            "graded": sum(row.points is not None for row in own),
        }
        console.print(plain(f"{homework}: " + ", ".join(f"{count} {what}" for what, count in counts.items())))
        console.print(table, "")


def in_words(row: Row, now: datetime) -> str:
    """Whether anybody is in."""
    if row.repository is None:
        return "no repository"
    if row.accepted is not False:
        return "not known" if row.accepted is None else "yes"
    if row.invited_at is None:
        return "not invited"
    return (
        "no"
        if now - row.invited_at < INVITATION_LASTS
        else "no, and the invitation has expired: assign --again"
    )
