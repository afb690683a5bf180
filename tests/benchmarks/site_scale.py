"""How the dashboard grows: 1,000 students, 7 homeworks and 20 attempts at each, from a gradebook.

Nothing is asserted of seconds, which belong to the machine; a page that is missing, or larger than promised, ends the
run. The aim is a minute for everybody. The files are written to memory (/dev/shm) where there is such a place.

    python -P tests/benchmarks/site_scale.py [--parts 10,3,1]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from grading.report.site import INDEX, homework_page, student_page
from grading.report.site import STUDENTS as SEARCH

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gradebook_scale import HOMEWORKS, STUDENTS, alone, name_of, write_course

LARGEST = 5_000_000  # bytes of a page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default="10,3,1", metavar="N,…", help="one in N students; 1 is everybody")
    options = parser.parse_args()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    table = Table("students", title="The dashboard of a course", title_justify="left")
    for name in (
        "attempts",
        "seconds",
        "of processor",
        "peak, MiB",
        "pages",
        "site, MiB",
        "largest page, KiB",
    ):
        table.add_column(name, justify="right")
    for part in map(int, options.parts.split(",")):
        with tempfile.TemporaryDirectory(prefix="site-", dir=memory) as place:
            table.add_row(*measure(Path(place), STUDENTS // part))
    Console(width=120).print(table)
    return 0


def measure(place: Path, students: int) -> tuple[str, ...]:
    files = write_course(place, students)
    alone(place, ("ingest", "scores", "--database", "gradebook.db"))
    command = ("report", "gradebook.db", "--out", "site", "--homeworks", "homeworks")
    _, seconds, processor, mebibytes = alone(place, command)
    site = place / "site"
    pages = {path.relative_to(site).as_posix(): path.stat().st_size for path in site.rglob("*.html")}
    expected = {INDEX, SEARCH, *map(homework_page, HOMEWORKS)}
    expected |= {student_page(name_of(number)) for number in range(students)}
    largest = max(pages.values())
    if pages.keys() != expected or largest > LARGEST:
        raise SystemExit(f"{len(pages)} pages instead of {len(expected)}, the largest of {largest} bytes")
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    return (
        f"{students:,}",
        f"{files:,}",
        f"{seconds:.1f}",
        f"{processor:.1f}",
        f"{mebibytes:.0f}",
        f"{len(pages):,}",
        f"{size / 2**20:.1f}",
        f"{largest / 2**10:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())
