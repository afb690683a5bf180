"""A course's grades in other people's formats, each read back by the rules of the program that takes it in."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.course import OnGitHub
from grading.errors import UsageError
from grading.export import canvas, classroom, long, moodle, wide
from grading.export.cells import Exported, two_decimals
from grading.gradebook.table import GradeTable, HomeworkGrade, StudentGrade
from grading.roster import Person
from grading.teams import Team, Teams

SUBMITTED = datetime(2026, 10, 5, 1, 30, tzinfo=timezone(timedelta(hours=2)))
DEADLINE = datetime(2026, 10, 4, 23, 59, tzinfo=timezone(timedelta(hours=2)))
GITHUB = OnGitHub(organisation="school")

ADA = Person("ada", "Ada", "Lovelace", "ada@school.edu", "A", 7)
HASH = "c0ffee" + "0" * 34


def graded(homework: str = "cnn", points: int | Fraction = 80, **fields: Any) -> HomeworkGrade:
    """On time and verified, unless told otherwise."""
    return HomeworkGrade(
        **{
            "homework": homework,
            "state": "graded",
            "max_points": Fraction(100),
            "raw": Fraction(points),
            "penalty": Fraction(0),
            "points": Fraction(points),
            "course_points": Fraction(points) / 25,
            "submitted_at": SUBMITTED,
            "deadline": DEADLINE,
            "commit": HASH,
            "repository": f"school/{homework}-ada",
            "attempts": 1,
            **fields,
        }
    )


def without(state: Any, homework: str = "cnn") -> HomeworkGrade:
    return HomeworkGrade(homework=homework, state=state, max_points=Fraction(100))


def student(person: Person, *grades: HomeworkGrade, **fields: Any) -> StudentGrade:
    return StudentGrade(person, grades or (graded(),), **fields)


def table(*students: StudentGrade, unknown: tuple[str, ...] = ()) -> GradeTable:
    homeworks = tuple(grade.homework for grade in students[0].homeworks) if students else ("cnn",)
    return GradeTable("Deep Learning", homeworks, dict.fromkeys(homeworks, Fraction(4)), students, unknown)


def read(exported: Exported, **reader: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported.content.decode("utf-8"), newline=""), **reader))


def cells(exported: Exported) -> list[list[str]]:
    return list(csv.reader(io.StringIO(exported.content.decode("utf-8-sig"), newline="")))


# Names of all kinds

NAMES = [
    ("Zoë", "Müller"),
    ("Zoe\u0308", "Mu\u0308ller"),  # the same, of letters and marks
    ("אדה", "לאבלייס"),
    ("Анна", "Ахматова"),
    ("Sinéad", 'O\'Brien, "Shin"'),
    ("Two\nLines", "Name\r\nof More"),
    ("", "Cher"),
]
FORMULAS = ["=1+1", "+49", "-2", "@sum", "\tx", "\rx", '=HYPERLINK("http://x","y")']


def writers(of: GradeTable, tmp_path: Path) -> dict[str, Exported]:
    """Each format, as a student of Canvas's with the same names is there for each."""
    rows = [
        [f"{one.person.last_name}, {one.person.first_name}", str(i), "", one.person.email, "S"]
        for i, one in enumerate(of.students, 100)
    ]
    return {
        "wide": wide.grades_csv(of),
        "long": long.grades_csv(of),
        "classroom": classroom.grades_csv(of, github=GITHUB),
        "canvas": canvas.grades_csv(of, exported_gradebook(tmp_path, rows)),
        "moodle": moodle.grades_csv(of),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_kind_comes_back_on_one_line(tmp_path: Path, name: tuple[str, str]) -> None:
    first, last = name
    line = {part: re.sub(r"[\r\n]", " ", part) for part in name}
    person = Person("ada", first, last, "ada@school.edu")

    written = writers(table(student(person)), tmp_path)

    assert read(written["wide"])[0]["first_name"] == line[first]
    assert read(written["wide"])[0]["last_name"] == line[last]
    assert read(written["long"])[0]["last_name"] == line[last]
    assert read(written["moodle"])[0]["Last name"] == line[last]
    assert read(written["canvas"])[1]["Student"].startswith(line[last])
    assert all(len(exported.content.splitlines()) <= 3 for exported in written.values())


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_text_is_taken_for_a_formula(tmp_path: Path, formula: str) -> None:
    person = Person(formula, formula, formula, "ada@school.edu", formula, None, identifier=formula)
    grade = graded(commit=formula, repository=formula, feedback=formula)
    of = table(student(person, grade, adjustments=(formula,), grade=formula), unknown=(formula,))

    for name, exported in writers(of, tmp_path).items():
        for row in cells(exported):
            assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))], name
        assert not [note for note in exported.notes if "\r" in note]


@given(st.text(min_size=1), st.text())
def test_any_text_gives_a_table_that_can_be_read(name: str, feedback: str) -> None:
    of = table(student(Person("ada", name, name, "a@b.c"), graded(feedback=feedback)), student(ADA))

    for exported in (wide.grades_csv(of), long.grades_csv(of), moodle.grades_csv(of)):
        assert len({len(row) for row in cells(exported)}) == 1
        assert len(cells(exported)) == 3


def test_a_lone_surrogate_stops_no_file() -> None:
    of = table(student(ADA, graded(feedback="\ud800")))

    assert read(moodle.grades_csv(of))[0]["cnn feedback"] == "\\ud800"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(1, 200), "0.01"),
        (Fraction(200, 3), "66.67"),
        (Fraction(-1, 200), "-0.01"),
        (Fraction(-1, 201), "0.00"),
        (Fraction(-5, 2), "-2.50"),
    ],
)
def test_numbers_are_rounded_once(value: Fraction, text: str) -> None:
    assert two_decimals(value) == text


def test_a_score_for_nobody_is_said_in_every_format(tmp_path: Path) -> None:
    of = table(student(ADA), unknown=("mallory",))

    for exported in writers(of, tmp_path).values():
        assert "mallory: has scores and is not on the roster; left out" in exported.notes


# The course's own tables


def test_the_wide_table_has_a_row_a_student() -> None:
    late = graded(raw=Fraction(200, 3), days_late=2, penalty=Fraction(1, 5), points=Fraction(160, 3))
    ada = student(
        ADA,
        late,
        without("missing", "rnn"),
        components={"homework": Fraction(32, 15), "exam": None},
        total=Fraction(149, 100),
        grade="failed",
        adjustments=("bonus +1", "capped"),
    )

    exported = wide.grades_csv(table(ada))

    assert read(exported) == [
        {
            "username": "ada",
            "first_name": "Ada",
            "last_name": "Lovelace",
            "email": "ada@school.edu",
            "section": "A",
            "github_id": "7",
            "cnn_raw": "66.67",
            "cnn_days_late": "2",
            "cnn_penalty": "0.20",
            "cnn_points": "53.33",
            "rnn_raw": "",
            "rnn_days_late": "",
            "rnn_penalty": "",
            "rnn_points": "",
            "homework": "2.13",
            "exam": "",
            "adjustments": "bonus +1; capped",
            "total": "1.49",
            "grade": "failed",
        }
    ]
    assert list(read(exported)[0])[-5:] == ["homework", "exam", "adjustments", "total", "grade"]


def test_excel_gets_its_mark_and_line_ends() -> None:
    for module in (wide, long):
        content = module.grades_csv(table(student(ADA)), excel=True).content

        assert content.startswith(b"\xef\xbb\xbfusername,")
        assert content.count(b"\r\n") == content.count(b"\n") == 2
        assert b"\r" not in module.grades_csv(table(student(ADA))).content


def test_a_component_named_as_a_column_gets_another_name() -> None:
    ada = student(ADA, components={"total": Fraction(1), "cnn_raw": Fraction(2)}, total=Fraction(3))

    row = read(wide.grades_csv(table(ada)))[0]

    assert (row["total_component"], row["cnn_raw_component"], row["total"]) == ("1.00", "2.00", "3.00")


def test_what_nobody_can_tell_is_empty_and_said() -> None:
    exported = wide.grades_csv(table(student(ADA, without("error"))))

    assert read(exported)[0]["cnn_points"] == ""
    assert exported.notes == ("ada (Ada Lovelace): cnn: not graded, and our fault; the cells are empty",)


def test_a_course_without_students_is_a_header() -> None:
    assert [len(cells(exported)) for exported in (wide.grades_csv(table()), long.grades_csv(table()))] == [
        1,
        1,
    ]


def test_the_long_table_has_a_row_a_homework() -> None:
    ada = student(ADA, graded(verified=False, attempts=3, days_late=1), without("excused", "rnn"))

    rows = read(long.grades_csv(table(ada)))

    assert [(row["username"], row["homework"], row["state"]) for row in rows] == [
        ("ada", "cnn", "graded"),
        ("ada", "rnn", "excused"),
    ]
    assert (rows[0]["commit"], rows[0]["submitted_at"]) == (HASH, "2026-10-04T23:30:00Z")
    assert datetime.fromisoformat(rows[0]["submitted_at"]) == SUBMITTED
    assert (rows[0]["verified"], rows[0]["attempts"], rows[0]["days_late"]) == ("false", "3", "1")
    assert (rows[1]["verified"], rows[1]["attempts"], rows[1]["points"]) == ("", "0", "")


# Old GitHub Classroom


def test_classroom_files_are_as_classroom_wrote_them() -> None:
    content = classroom.grades_csv(table(student(ADA)), github=GITHUB).content

    assert content.decode() == (
        '"assignment_name","assignment_url","starter_code_url","github_username","roster_identifier",'
        '"student_repository_name","student_repository_url","submission_timestamp","points_awarded",'
        '"points_available"\n'
        '"cnn","","https://github.com/school/cnn-starter","ada","ada@school.edu","cnn-ada",'
        '"https://github.com/school/cnn-ada","2026-10-04 23:30:00 UTC","80","100"\n'
    )


def test_a_script_reads_points_and_time_of_a_classroom_file() -> None:
    late = graded(points=Fraction(160, 3), raw=Fraction(200, 3))

    row = read(classroom.grades_csv(table(student(ADA, late))))[0]
    raw = read(classroom.grades_csv(table(student(ADA, late)), raw=True))[0]

    moment = datetime.strptime(row["submission_timestamp"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    assert moment == SUBMITTED
    assert (float(row["points_awarded"]), int(row["points_available"])) == (53.33, 100)
    assert raw["points_awarded"] == "66.67"


def test_classroom_gives_0_to_what_was_never_handed_in_and_nothing_to_what_nobody_can_tell() -> None:
    ada = student(ADA, without("missing"), without("error", "rnn"), without("excused", "gan"))

    exported = classroom.grades_csv(table(ada))

    assert [(row["points_awarded"], row["submission_timestamp"]) for row in read(exported)] == [
        ("0", ""),
        ("", ""),
        ("", ""),
    ]
    assert exported.notes == (
        "ada (Ada Lovelace): rnn: not graded, and our fault; the points are empty",
        "ada (Ada Lovelace): gan: excused; the points are empty",
    )


def test_addresses_that_nobody_knows_are_empty() -> None:
    of = table(student(ADA, graded(repository=None)))

    unknown = read(classroom.grades_csv(of))[0]
    known = read(classroom.grades_csv(of, github=GITHUB, server="https://git.school.edu"))[0]

    addresses = ("starter_code_url", "student_repository_name", "student_repository_url")
    assert [unknown[name] for name in addresses] == ["", "", ""]
    assert [known[name] for name in addresses] == [
        "https://git.school.edu/school/cnn-starter",
        "cnn-ada",
        "https://git.school.edu/school/cnn-ada",
    ]


def test_a_team_is_named_and_has_one_repository() -> None:
    grace = Person("Grace", "Grace", "Hopper", "grace@school.edu")
    teams = Teams((Team("owls", ("ada", "grace"), ("cnn",)),))
    of = table(student(ADA, without("missing")), student(grace, without("missing")), student(Person("eve")))

    rows = read(classroom.grades_csv(of, teams=teams, github=GITHUB))

    assert [row["group_name"] for row in rows] == ["owls", "owls", ""]
    assert [row["student_repository_name"] for row in rows] == ["cnn-owls", "cnn-owls", "cnn-ada"]


def test_one_homework_alone_makes_one_of_classrooms_files() -> None:
    of = table(student(ADA, graded(), graded("rnn")))

    assert [row["assignment_name"] for row in read(classroom.grades_csv(of, homeworks=["rnn"]))] == ["rnn"]


# Canvas

COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", "cnn (31)", "Final Score")


def exported_gradebook(
    tmp_path: Path,
    rows: Iterable[list[str]],
    columns: Iterable[str] = COLUMNS,
    possible: Mapping[str, str] = {},
    delimiter: str = ",",
) -> canvas.Gradebook:
    """As Canvas exports it: a byte order mark, a row of hidden assignments, the points possible."""
    header = list(columns)
    points = [possible.get(name, "100.00" if name.endswith(")") else "") for name in header[1:]]
    hidden = ["", *("Manual Posting" if name.endswith(")") else "" for name in header[1:])]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", delimiter=delimiter).writerows(
        [
            header,
            hidden,
            ["    Points Possible", *points],
            *(row + [""] * (len(header) - len(row)) for row in rows),
        ]
    )
    path = tmp_path / "gradebook.csv"
    path.write_text(text.getvalue(), encoding="utf-8-sig")
    return canvas.read_gradebook(path)


def canvas_takes(
    exported: Exported, students: Mapping[int, str], assignments: Mapping[int, str]
) -> dict[tuple[str, str], str]:
    """What Canvas's import makes of a file, by student and assignment. It must find both without making any."""
    header, *rows = cells(exported)
    assert "Student" in header[0]
    assert "ID" in header[1]
    assert header[2:5] == ["SIS User ID", "SIS Login ID", "Section"]
    columns = {}
    for i, name in enumerate(header[5:], 5):
        assert not re.search("(Current|Final) (Score|Points|Grade)|Override (Score|Grade|Status)", name)
        found = re.fullmatch(r"(.*)\s\((\d+)\)", name)
        assert found
        columns[i] = assignments[int(found[2])]
    assert "Points Possible" in rows[0][0]
    assert all(float(rows[0][i]) > 0 for i in columns)
    taken = {}
    for row in rows[1:]:
        assert len(row) == len(header)
        for i, name in columns.items():
            assert row[i] == "" or row[i] in ("EX", "N/A") or re.fullmatch(r"\d+\.\d\d?", row[i])
            taken[students[int(row[1])], name] = row[i]
    return taken


def test_canvas_takes_the_grades_of_the_students_and_assignments_it_has(tmp_path: Path) -> None:
    bob = Person("bob", "Bob", "Ross", "")
    of = table(student(ADA, graded(points=Fraction(200, 3))), student(bob, without("excused")))
    gradebook = exported_gradebook(
        tmp_path,
        [["Ross, Bob", "12", "", "ross.b", "S1"], ["Lovelace, A.", "11", "", "Ada@School.edu", "S1"]],
    )

    exported = canvas.grades_csv(of, gradebook)

    assert exported.content.decode() == (
        "Student,ID,SIS User ID,SIS Login ID,Section,cnn (31)\n"
        "    Points Possible,,,,,100.00\n"
        '"Ross, Bob",12,,ross.b,S1,EX\n'
        '"Lovelace, A.",11,,Ada@School.edu,S1,66.67\n'
    )
    assert canvas_takes(exported, {11: "ada", 12: "bob"}, {31: "cnn"}) == {
        ("ada", "cnn"): "66.67",
        ("bob", "cnn"): "EX",
    }
    assert exported.notes == ()


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize(
    "columns",
    [
        ["Student", "ID", "SIS Login ID", "Section", "cnn (31)"],
        [
            "Student",
            "ID",
            "SIS User ID",
            "SIS Login ID",
            "Integration ID",
            "Root Account",
            "Section",
            "cnn (31)",
        ],
        ["LastName", "FirstName", "ID", "SIS Login ID", "Section", "Notes", "cnn (31)", "Current Points"],
    ],
)
def test_every_shape_of_canvas_export_can_be_read(tmp_path: Path, columns: list[str], delimiter: str) -> None:
    about = {
        "Student": "Lovelace, Ada",
        "LastName": "Lovelace",
        "FirstName": "Ada",
        "ID": "11",
        "SIS Login ID": "x",
        "Section": "S",
    }
    row = [about.get(name, "") for name in columns]
    gradebook = exported_gradebook(tmp_path, [row], columns, {"cnn (31)": "1.000,00"}, delimiter)

    exported = canvas.grades_csv(table(student(ADA)), gradebook)

    assert cells(exported)[1][5] == "1000.00"
    assert cells(exported)[2] == ["Lovelace, Ada", "11", "", "x", "S", "800.00"]


@pytest.mark.parametrize(
    ("titles", "columns", "message"),
    [
        ({}, ["CNNs (31)"], 'no assignment for cnn; there is "CNNs \\(31\\)"'),
        ({}, [], "no assignment for cnn; there is none"),
        ({}, ["cnn (31)", "CNN (32)"], 'could be any of "cnn \\(31\\)", "CNN \\(32\\)"; say which by its id'),
        ({"cnn": "Networks"}, ["cnn (31)"], "no assignment for cnn \\(Networks\\)"),
        ({"rnn": "Networks"}, ["cnn (31)"], "no homework of this file"),
        ({}, ["cnn"], "there is none"),
        ({}, ["cnn Final Score (31)"], "there is none"),
        ({}, ["cnn (31)", "cnn (31)"], "two columns of the assignment 31"),
    ],
)
def test_a_homework_without_one_assignment_is_refused(
    tmp_path: Path, titles: dict[str, str], columns: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        canvas.grades_csv(
            table(student(ADA)), exported_gradebook(tmp_path, [], [*COLUMNS[:5], *columns]), titles=titles
        )


@pytest.mark.parametrize("title", ["32", "Networks", "networks (32)"])
def test_an_assignment_can_be_named(tmp_path: Path, title: str) -> None:
    columns = [*COLUMNS[:5], "cnn (31)", "Networks (32)"]
    gradebook = exported_gradebook(tmp_path, [["Lovelace, Ada", "11"]], columns)

    exported = canvas.grades_csv(table(student(ADA)), gradebook, titles={"cnn": title})

    assert canvas_takes(exported, {11: "ada"}, {32: "Networks"}) == {("ada", "Networks"): "80.00"}


def test_two_homeworks_for_one_assignment_are_refused(tmp_path: Path) -> None:
    of = table(student(ADA, graded(), graded("rnn")))

    with pytest.raises(UsageError, match='cnn and rnn are both "cnn \\(31\\)"'):
        canvas.grades_csv(of, exported_gradebook(tmp_path, []), titles={"rnn": "31"})


def test_other_points_possible_keep_the_share_and_are_said(tmp_path: Path) -> None:
    gradebook = exported_gradebook(tmp_path, [["Lovelace, Ada", "11"]], possible={"cnn (31)": "4"})

    exported = canvas.grades_csv(table(student(ADA, graded(points=Fraction(200, 3)))), gradebook)

    assert cells(exported)[2][5] == "2.67"
    assert exported.notes == ("cnn: 100 points here and 4 in Canvas; the same share is written",)


@pytest.mark.parametrize("possible", ["", "0.00", "(read only)"])
def test_an_assignment_without_points_is_refused(tmp_path: Path, possible: str) -> None:
    gradebook = exported_gradebook(tmp_path, [], possible={"cnn (31)": possible})

    with pytest.raises(UsageError, match="give the assignment points in Canvas"):
        canvas.grades_csv(table(student(ADA)), gradebook)


def test_who_is_in_one_of_the_two_only_is_said(tmp_path: Path) -> None:
    gradebook = exported_gradebook(tmp_path, [["Gone, Guy", "12"], ["Student, Test", "13"]])

    exported = canvas.grades_csv(table(student(ADA)), gradebook)

    assert len(cells(exported)) == 2
    path = gradebook.path
    mend = "write the roster's email and name as in Canvas, or enter the grades there"
    assert exported.notes == (
        f"ada (Ada Lovelace): in no row of {path}; left out: {mend}",
        f"{path}:4: Gone, Guy (ID 12) is in Canvas and not on the roster; left out",
        f"{path}:5: Student, Test (ID 13) is in Canvas and not on the roster; left out",
    )


def test_two_students_with_one_name_are_told_apart_by_their_address_or_not_at_all(tmp_path: Path) -> None:
    one, two = Person("ann1", "Ann", "Lee", "a1@x"), Person("ann2", "Ann", "Lee", "a2@x")
    of = table(student(one, graded(points=10)), student(two, graded(points=20)))
    names = {11: "one", 12: "two"}

    by_address = canvas.grades_csv(
        of, exported_gradebook(tmp_path, [["Lee, Ann", "11", "", "a1@x"], ["Lee, Ann", "12", "", "a2@x"]])
    )
    by_name = canvas.grades_csv(of, exported_gradebook(tmp_path, [["Lee, Ann", "11"], ["Lee, Ann", "12"]]))
    one_left = canvas.grades_csv(of, exported_gradebook(tmp_path, [["Lee, Ann", "11", "", "a1@x"]]))
    nobody_knows = canvas.grades_csv(of, exported_gradebook(tmp_path, [["Lee, Ann", "11"]]))

    assert canvas_takes(by_address, names, {31: "cnn"}) == {("one", "cnn"): "10.00", ("two", "cnn"): "20.00"}
    assert canvas_takes(by_name, names, {31: "cnn"}) == {}
    assert [note.split(":")[0] for note in by_name.notes] == ["ann1 (Ann Lee)", "ann2 (Ann Lee)"]
    assert canvas_takes(one_left, names, {31: "cnn"}) == {("one", "cnn"): "10.00"}
    assert [note.split(":")[0] for note in one_left.notes] == ["ann2"]
    assert canvas_takes(nobody_knows, names, {31: "cnn"}) == {}
    assert [note.split(":")[0] for note in nobody_knows.notes] == ["ann1", "ann2"]


def test_keys_that_contradict_each_other_are_not_guessed_about(tmp_path: Path) -> None:
    person = Person("ada", "Ada", "Lovelace", identifier="12")
    gradebook = exported_gradebook(tmp_path, [["Lovelace, Ada", "11", "s1"], ["Ross, Bob", "12", "s2"]])

    exported = canvas.grades_csv(table(student(person)), gradebook)

    assert len(cells(exported)) == 2
    assert "line 5 (ID 12) or line 4 (ID 11); left out" in exported.notes[0]


def test_a_github_login_is_nobodys_login_at_the_university(tmp_path: Path) -> None:
    gradebook = exported_gradebook(tmp_path, [["Ross, Bob", "12", "", "ada"]])

    assert len(cells(canvas.grades_csv(table(student(ADA)), gradebook))) == 2


def test_the_sis_id_of_the_roster_finds_a_student_of_another_name(tmp_path: Path) -> None:
    person = Person("ada", "A.", "King", identifier="S-77")
    gradebook = exported_gradebook(tmp_path, [["Lovelace, Ada", "11", "s-77"]])

    exported = canvas.grades_csv(table(student(person)), gradebook)

    assert canvas_takes(exported, {11: "ada"}, {31: "cnn"}) == {("ada", "cnn"): "80.00"}


@pytest.mark.parametrize(("first", "last"), NAMES)
def test_a_name_is_found_in_either_form_of_its_letters(tmp_path: Path, first: str, last: str) -> None:
    sortable = f"{last}, {first}" if first else last
    gradebook = exported_gradebook(tmp_path, [[unicodedata.normalize("NFD", sortable.upper()), "11"]])

    exported = canvas.grades_csv(table(student(Person("ada", first, last))), gradebook)

    assert canvas_takes(exported, {11: "ada"}, {31: "cnn"}) == {("ada", "cnn"): "80.00"}


@pytest.mark.parametrize(
    ("grade", "standing", "cell", "note"),
    [
        (without("missing"), "", "0.00", ""),
        (without("missing"), "-", "0.00", ""),
        (without("missing"), "0.00", "0.00", ""),
        (without("missing"), "77.50", "77.50", "never handed in, and has 77.50 in Canvas; that stays"),
        (without("error"), "77,50", "77.50", "not graded, and our fault; what Canvas has stays: 77.50"),
        (without("error"), "", "", "not graded, and our fault; what Canvas has stays: nothing"),
        (without("error"), "EX", "EX", "not graded, and our fault; what Canvas has stays: EX"),
        (graded(), "N/A", "N/A", "not assigned to them in Canvas, which takes no grade for it"),
        (graded(points=110), "", "110.00", ""),
    ],
)
def test_no_empty_cell_deletes_a_grade_in_canvas(
    tmp_path: Path, grade: HomeworkGrade, standing: str, cell: str, note: str
) -> None:
    gradebook = exported_gradebook(tmp_path, [["Lovelace, Ada", "11", "", "", "", standing]])

    exported = canvas.grades_csv(table(student(ADA, grade)), gradebook)

    assert cells(exported)[2][5] == cell
    assert exported.notes == ((f"ada (Ada Lovelace): cnn: {note}",) if note else ())


def test_a_homework_not_due_yet_can_stay_empty(tmp_path: Path) -> None:
    of = table(student(ADA, without("missing"), graded("rnn")))

    gradebook = exported_gradebook(tmp_path, [["Lovelace, Ada", "11"]], [*COLUMNS, "rnn (32)"])

    assert cells(canvas.grades_csv(of, gradebook, zeros=False))[2][5:] == ["", "80.00"]
    assert read(moodle.grades_csv(of, zeros=False))[0]["cnn"] == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the file is empty"),
        ("username,cnn\nada,1\n", ":1: no gradebook of Canvas's"),
        ("Student,ID,Section,cnn (1)\nLovelace,11,S,\n", "no row Points Possible"),
        ("Student,ID,Section,cnn (1)\nPoints Possible,,,1\nAda,x,S,1\n", ":3: the ID is no number"),
        ("Student,ID,Section,cnn (1)\nPoints Possible,,,1\nAda,1,S\n", ":3: 3 cells below 4 columns"),
        (
            "Student,ID,Section,cnn (1)\nPoints Possible,,,1\nA,1,S,1\nB,1,S,1\n",
            ":4: the ID 1 stands on line 3",
        ),
        ('Student,ID,Section,cnn (1)\n"Points Possible,,,1\n', ":2: not valid CSV"),
    ],
)
def test_a_file_that_is_no_gradebook_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gradebook.csv"
    path.write_text(text)

    with pytest.raises(UsageError, match=re.escape(message)):
        canvas.read_gradebook(path)


def test_a_gradebook_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        canvas.read_gradebook(tmp_path / "nowhere.csv")

    (tmp_path / "latin.csv").write_bytes(b"Student,ID,Section\nM\xfcller,1,S\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        canvas.read_gradebook(tmp_path / "latin.csv")


# Moodle


def moodle_takes(
    exported: Exported, users: Mapping[str, str], column: str = "Email address"
) -> dict[tuple[str, str], tuple[Fraction | None, str]]:
    """What Moodle's import makes of a file: grade and feedback by user and homework. It must find every user."""
    text = io.StringIO(exported.content.decode("utf-8").removeprefix("\ufeff"), newline="")
    taken: dict[tuple[str, str], tuple[Fraction | None, str]] = {}
    for row in csv.DictReader(text):
        user = users[row[column].strip()]  # as it stands, case and all
        for name in [name for name in row if f"{name} feedback" in row]:
            value = row[name].strip()
            grade = Fraction(value) if value not in ("", "-") else None
            assert grade is None or grade <= 100
            assert grade is not None or not row[f"{name} feedback"], "a feedback alone deletes the grade"
            assert (user, name) not in taken
            taken[user, name] = grade, row[f"{name} feedback"]
    return taken


def test_moodle_takes_grades_and_feedback() -> None:
    of = table(student(ADA, graded(points=Fraction(200, 3), feedback='Mind\nthe ε, "please"')))

    exported = moodle.grades_csv(of)

    assert moodle_takes(exported, {"ada@school.edu": "ada"}) == {
        ("ada", "cnn"): (Fraction("66.67"), 'Mind the ε, "please"')
    }
    assert exported.content.startswith(b"Email address,First name,Last name,cnn,cnn feedback\n")


def test_a_feedback_is_never_without_its_grade() -> None:
    grades = [
        HomeworkGrade(state, state, Fraction(100), feedback="well")  # type: ignore[arg-type]
        for state in ("missing", "error", "excused")
    ]

    exported = moodle.grades_csv(table(student(ADA, *grades)))

    taken = moodle_takes(exported, {"ada@school.edu": "ada"})
    assert taken == {
        ("ada", "missing"): (Fraction(0), "well"),
        ("ada", "error"): (None, ""),
        ("ada", "excused"): (None, ""),
    }
    assert exported.notes == (
        "ada (Ada Lovelace): error: not graded, and our fault; the cell is empty, which deletes a grade entered there",
        "ada (Ada Lovelace): excused: excused, for which this format has no word; the cell is empty: no grade",
    )


def test_a_student_without_any_grade_of_the_file_has_no_row() -> None:
    of = table(student(ADA, graded(), without("error", "rnn")))

    exported = moodle.grades_csv(of, homeworks=["rnn"])

    assert read(exported) == []
    assert exported.notes == ("ada (Ada Lovelace): has no grade in this file; left out",)


def test_more_than_everything_is_cut_and_said() -> None:
    exported = moodle.grades_csv(table(student(ADA, graded(points=Fraction(225, 2)))))

    assert moodle_takes(exported, {"ada@school.edu": "ada"})["ada", "cnn"][0] == 100
    assert exported.notes == (
        "ada (Ada Lovelace): cnn: 112.5 of 100 points, cut to 100: Moodle takes no more without a site setting",
    )


def test_more_than_100_points_are_whole_and_moodles_setting_is_named() -> None:
    exported = moodle.grades_csv(table(student(ADA, graded(points=150, max_points=Fraction(200)))))

    assert read(exported)[0]["cnn"] == "150.00"
    assert exported.notes == (
        "cnn: has 200 points; Moodle takes more than 100 only with the site setting Unlimited grades",
    )


@pytest.mark.parametrize(
    ("key", "column", "value"),
    [
        ("email", "Email address", "Ada@School.edu"),
        ("id_number", "ID number", "s77"),
        ("username", "username", "AdaL"),
    ],
)
def test_students_are_found_by_the_key_of_choice_as_it_stands(
    key: moodle.Key, column: str, value: str
) -> None:
    person = Person("AdaL", "Ada", "Lovelace", " Ada@School.edu", identifier="s77")

    exported = moodle.grades_csv(table(student(person)), key=key)

    assert cells(exported)[0][0] == column
    assert moodle_takes(exported, {value: "ada"}, column)["ada", "cnn"][0] == 80


def test_nobody_gets_a_row_whom_moodle_would_not_find_for_certain() -> None:
    of = table(
        student(ADA),
        student(Person("bob", "Bob", "Ross")),
        student(Person("c1", email="c@x")),
        student(Person("c2", email="c@x")),
        student(Person("dan", email="+dan@x")),
    )

    exported = moodle.grades_csv(of)

    assert [row["Email address"] for row in read(exported)] == ["ada@school.edu"]
    assert exported.notes == (
        "bob (Bob Ross): Email address is empty on the roster; left out, enter the grades by hand",
        "c1: Email address c@x is another student's, too; left out, enter the grades by hand",
        "c2: Email address c@x is another student's, too; left out, enter the grades by hand",
        "dan: Email address '+dan@x could be taken for a formula; left out, enter the grades by hand",
    )


def test_a_roster_without_the_key_is_refused() -> None:
    with pytest.raises(UsageError, match="no student can be found by Moodle's ID number"):
        moodle.grades_csv(table(student(ADA)), key="id_number")
