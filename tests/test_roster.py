"""`roster.csv`: both formats, as spreadsheets and hands write them, and every slip told with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.errors import UsageError
from grading.roster import Person, read_roster

HEADER = "username,first_name,last_name,email,section,github_id,role\n"
ADA = "ada,Ada,Lovelace,ada@example.org,A,1,student\n"
GRACE = "Grace-H,Grace,Hopper,grace@example.org,B,2,\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "roster.csv"


def told(path: Path, content: str | bytes) -> str:
    """What is said about a roster, without its path: one line."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError) as caught:
        read_roster(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


def test_a_roster_keeps_the_files_order(path: Path) -> None:
    path.write_text(HEADER + GRACE + ADA)

    roster = read_roster(path)

    assert roster.everyone == (
        Person("Grace-H", "Grace", "Hopper", "grace@example.org", "B", 2, "student"),
        Person("ada", "Ada", "Lovelace", "ada@example.org", "A", 1, "student"),
    )
    assert roster.students == roster.everyone


def test_a_login_is_found_in_any_case_and_an_id_too(path: Path) -> None:
    path.write_text(HEADER + GRACE + ADA)

    roster = read_roster(path)

    assert roster.by_login("GRACE-h") == roster.by_id(2) == roster.everyone[0]
    assert roster.by_login("nobody") is None
    assert roster.by_id(3) is None


def test_who_is_no_student_is_kept_apart(path: Path) -> None:
    path.write_text(HEADER + ADA + "prof,P,Rofessor,,,9,Instructor\n")

    roster = read_roster(path)

    assert [person.username for person in roster.students] == ["ada"]
    assert [person.role for person in roster.everyone] == ["student", "instructor"]
    assert roster.by_login("prof") is not None


def test_columns_may_stand_in_any_order_and_be_left_out(path: Path) -> None:
    path.write_text("section,Username\nA,ada\n")

    assert read_roster(path).everyone == (Person("ada", section="A"),)


def test_the_old_classrooms_file_is_read_too(path: Path) -> None:
    path.write_text(
        '"identifier","github_username","github_id","name"\n'
        '"ada@example.org","ada","1","Augusta Ada Lovelace"\n'
        '"4711","grace","","Hopper, Grace"\n'
        '"x","solo","3","Teller"\n'
    )

    assert read_roster(path).everyone == (
        Person("ada", "Augusta Ada", "Lovelace", "ada@example.org", "", 1, identifier="ada@example.org"),
        Person("grace", "Grace", "Hopper", identifier="4711"),
        Person("solo", "", "Teller", github_id=3, identifier="x"),
    )


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_how_a_spreadsheet_saved_it_makes_no_difference(path: Path, mark: str, newline: str) -> None:
    text = mark + HEADER + "\n" + ADA + ",,,,,,\n   \n" + GRACE + "\n\n"
    path.write_bytes(text.replace("\n", newline).encode())

    roster = read_roster(path)

    assert [person.username for person in roster.everyone] == ["ada", "Grace-H"]
    assert roster.everyone[0].role == "student"


def test_names_are_anyones(path: Path) -> None:
    path.write_text(
        HEADER + 'zoe,Zoë 佐江,"O\'Neil, Jr.",,,,\nline,"Two\nlines","""Q""",,,,\n', encoding="utf-8"
    )

    zoe, two_lines = read_roster(path).everyone

    assert (zoe.first_name, zoe.last_name) == ("Zoë 佐江", "O'Neil, Jr.")
    assert (two_lines.first_name, two_lines.last_name) == ("Two\nlines", '"Q"')


def test_a_header_alone_is_a_course_without_students_yet(path: Path) -> None:
    path.write_text(HEADER)

    assert read_roster(path).everyone == ()


def test_reading_writes_nothing(path: Path) -> None:
    path.write_text(HEADER + ADA)
    path.chmod(0o400)
    path.parent.chmod(0o500)

    try:
        read_roster(path)
        assert [found.name for found in path.parent.iterdir()] == ["roster.csv"]
    finally:
        path.parent.chmod(0o700)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + ADA + "ADA,,,,,,\n", "3: the login ADA stands on line 2 already; remove one of the two"),
        (HEADER + ADA + "bea,,,,,1,\n", "3: the github_id 1 stands on line 2 already; remove one of the two"),
        ("username,first name\n", '1: unknown column "first name"; did you mean "first_name"?'),
        ("username,username\n", '1: the column "username" stands here a second time; remove one'),
        (
            "first_name,email\nAda,a@b\n",
            '1: the column "username" is missing; add it, with GitHub logins in it',
        ),
        (
            "identifier,name\nx,Ada\n",
            '1: the column "github_username" is missing; add it, with GitHub logins in it',
        ),
        ("identifier,github_username,email\n", '1: unknown column "email"; '),
        (
            "username;email\nada;x\n",
            "1: the columns are not separated by commas; save the file as CSV with commas",
        ),
        ("\ufeffusername\temail\n", "1: the columns are not separated by commas; "),
        ("", "1: the file is empty; begin with the line username,first_name,"),
        ("\n\n \n", "1: the file is empty; "),
        (
            HEADER + ",Ada,Lovelace,,,,\n",
            "2: no GitHub login; fill it in, or take the line out until it is known",
        ),
        (
            HEADER + "@ada,,,,,,\n",
            "2: '@ada' is no GitHub login; write the login alone, as it stands after github.com/",
        ),
        (HEADER + "https://github.com/ada,,,,,,\n", "2: 'https://github.com/ada' is no GitHub login; "),
        (HEADER + "../ada,,,,,,\n", "2: '../ada' is no GitHub login; "),
        (HEADER + '"ada\nlovelace",,,,,,\n', "2: 'ada\\nlovelace' is no GitHub login; "),
        (HEADER + "ädä,,,,,,\n", "2: 'ädä' is no GitHub login; "),
        (HEADER + "-ada,,,,,,\n", "2: '-ada' is no GitHub login; "),
        (HEADER + f"{'a' * 40},,,,,,\n", f"2: '{'a' * 40}' is no GitHub login; "),
        (
            HEADER + "ada,,,,,1.5E+07,\n",
            "2: github_id is '1.5E+07'; write the account's whole number, or nothing",
        ),
        (HEADER + "ada,,,,,٣,\n", "2: github_id is '٣'; "),
        (HEADER + "ada,,,,,0,\n", "2: github_id is '0'; "),
        (
            HEADER + ADA + "bea,Bea\n",
            "3: 2 cells where the header has 7 columns; count the commas, and quote a cell",
        ),
        (HEADER + "ada,Ada,Lovelace, Countess,,,,\n", "2: 8 cells where the header has 7 columns; "),
        (HEADER + '\n"two\nlines",,,,,,\n', "3: 'two\\nlines' is no GitHub login"),
        (HEADER + ADA + 'bea,"Bea,,,,,\n', "3: not valid CSV: unexpected end of data; mend the quotes there"),
        (HEADER + 'ada,"A"da,,,,,\n', "2: not valid CSV: "),
        (
            HEADER.encode() + b"ada,\n" + b"bea,\xe4\n",
            "3: not UTF-8 text; save the file as CSV UTF-8",
        ),
        (HEADER.encode("utf-16"), "1: not UTF-8 text; save the file as CSV UTF-8"),
    ],
)
def test_a_slip_is_told_with_its_line_and_its_mend(path: Path, content: str | bytes, message: str) -> None:
    assert told(path, content).startswith(message)


def test_a_missing_file_is_told_with_what_belongs_in_it(path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"roster\.csv: no such file; write one line a student, below username,"
    ):
        read_roster(path)


def test_a_directory_is_no_roster(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: .*; check path and permissions"):
        read_roster(tmp_path)
