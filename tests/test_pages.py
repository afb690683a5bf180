"""What every page has: text that stays text, parts that are drawn right, a policy that lets no other script run."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from jinja2 import UndefinedError

from grading.report.pages import environment, inert

if TYPE_CHECKING:
    from browser import Looker

PAGE = """\
{% extends "base.html.j2" %}
{% import "parts.html.j2" as parts %}
{% block title %}A page{% endblock %}
{% block header %}<h1>A page</h1>{% endblock %}
{% block main %}
BODY
{% endblock %}
"""


def made(body: str, **values: Any) -> str:
    return environment().from_string(PAGE.replace("BODY", body)).render(values)


def part(template: str, **values: Any) -> str:
    imported = '{% import "parts.html.j2" as parts %}' + template
    return environment().from_string(imported).render(values).strip()


# Text


def test_what_a_page_is_handed_is_text_even_where_its_template_forgets() -> None:
    written = part("{{ words }}", words="<b>\x1b[1;31mred\x1b[0m</b>\x1b \x00\x9f\u202e\ud800\nA\tB")

    assert written == "&lt;b&gt;red&lt;/b&gt;\ufffd \ufffd\ufffd\ufffd\ufffd\nA\tB"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("two\nlines\r\n\tand\u2028more", "two lines   and more"),
        ("\x1b[38;5;196mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link", "\ufffd]8;;http://x\ufffdlink"),
        ("नमस्ते \u200d \u200c שלום 👩\u200d💻 a\u0301", "नमस्ते \u200d \u200c שלום 👩\u200d💻 a\u0301"),
    ],
)
def test_on_one_line_words_keep_their_letters_and_nothing_else(words: str, shown: str) -> None:
    assert inert(words) == shown


def test_a_value_that_is_missing_is_an_error_and_never_an_empty_place() -> None:
    with pytest.raises(UndefinedError):
        made("{{ student }}")


def test_points_and_moments_are_written_as_everywhere() -> None:
    when, zone = datetime(2026, 10, 4, 21, 59, tzinfo=UTC), ZoneInfo("Europe/Berlin")

    written = part(
        "{{ half | points }} {{ eighth | points }} {{ ten | points }} {{ none | points }}",
        half=Fraction(25, 2),
        eighth=Fraction(1, 8),  # rounded up, as in every export
        ten=Fraction(10),
    )
    assert written == "12.5 0.13 10 –"
    assert (
        part("{{ when | moment(zone) }} {{ none | moment(zone) }}", when=when, zone=zone) == "4 Oct 23:59 –"
    )


# Parts


@pytest.mark.parametrize(
    ("points", "most", "width"),
    [(0, 10, "0.0%"), (Fraction(5, 2), 10, "25.0%"), (10, 10, "100.0%"), (12, 10, "100.0%"), (-3, 10, "0.0%"),
     (None, 10, "0.0%"), (0, 0, "0.0%")],
)  # fmt: skip
def test_a_bar_is_as_long_as_the_points_are_many(points: Fraction | None, most: int, width: str) -> None:
    drawn = part("{{ parts.bar(points, most) }}", points=points, most=most)

    assert f'style="inline-size: {width}"' in drawn
    assert ('class="full"' in drawn) == (width == "100.0%")
    assert ("unknown" in drawn) == (points is None)


EVERYTHING = """\
<h2>Badges</h2>
<p>{% for kind in ["good", "bad", "warn", "quiet"] %}{{ parts.badge(kind, "a " ~ kind ~ " sign") }} {% endfor %}</p>
<div class="card"><p>{{ parts.person(name) }} in a card: <a href="#there">a link</a>, <span class="quiet">quiet</span>,
<code>code</code>, {% for kind in ["good", "bad", "warn"] %}{{ parts.badge(kind, kind) }} {% endfor %}</p>
{{ parts.bar(3, 4) }}</div>
<h2 id="there">A wide table</h2>
{% call parts.table("A table of <numbers>", ["name"] + 20 * [("points of it", "number")]) %}
<tr><th scope="row">{{ parts.person(name) }}</th>
{% for i in range(20) %}<td class="number">{{ i * 1000 }}</td>{% endfor %}</tr>
{% endcall %}
<pre>{{ name }}</pre>
"""


def test_everything_there_is_reads_well_in_every_size_and_scheme(look: Looker, tmp_path: Path) -> None:
    path = tmp_path / "everything.html"
    path.write_text(made(EVERYTHING, name="x" * 300 + " <script> שלום"))

    page = look(path)

    assert page.locator("bdi").first.text_content() == "x" * 300 + " <script> שלום"
    assert page.get_by_role("region", name="A table of <numbers>").get_attribute("tabindex") == "0"
    assert [badge.inner_text() for badge in page.locator(".badge").all()[:3]] == [
        "✓ a good sign",
        "✗ a bad sign",
        "! a warn sign",
    ]


# The policy


def test_only_the_pages_own_script_runs(look: Looker, tmp_path: Path) -> None:
    path = tmp_path / "scripts.html"
    own = "document.querySelector('h1').textContent = 'own'; // <, & and \"quotes\""
    forgotten = "<p id=x onclick=\"document.title = 'run'\">here{{ words | safe }}</p>"
    path.write_text(made(forgotten, script=own, words="<script>document.title = 'run'</script>"))

    page = look.open(path)
    page.locator("#x").click()

    assert page.locator("h1").inner_text() == "own"
    assert page.title() == "A page"
    refused, look.complaints = look.complaints, []
    assert len(refused) == 2
    assert all("Content Security Policy" in complaint for complaint in refused)


def test_without_a_script_of_its_own_a_page_runs_none_and_asks_for_nothing(
    look: Looker, tmp_path: Path
) -> None:
    path = tmp_path / "none.html"
    path.write_text(
        made(
            "{{ words | safe }}",
            words="<script>document.title = 'run'</script><img src='secret.png' alt=''>"
            "<link rel=stylesheet href=secret.css><iframe src=secret.html title=x></iframe><base href='http://x/'>",
        )
    )

    page = look.open(path)

    assert page.title() == "A page"
    assert page.locator("script").count() == 1
    refused, look.complaints = look.complaints, []
    assert len(refused) == 5
    assert all("Content Security Policy" in complaint for complaint in refused)
