"""How pages are looked at: what is wrong with one is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Looker

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width"></head><body><main><h1>A page</h1>{}</main></body></html>"""


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("<p>fine</p><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' alt='a dot'>", ""),
        ("<script src='http://127.0.0.1:9/a.js'></script>", "asked for http://127.0.0.1:9/a.js"),
        ("<script src='../a.js'></script>", "a.js"),
        ("<script>throw new Error('boom')</script>", "boom"),
        ("<p style='width: 2000px'>wide</p>", "wider than the screen"),
        ("<p style='color: #eee; background: #fff'>grey</p>", "color-contrast"),
        (
            "<style>@media (prefers-color-scheme: dark) {p {color: #333; background: #222}}</style><p>words</p>",
            "dark",
        ),
    ],
)
def test_what_is_wrong_with_a_page_is_found(look: Looker, tmp_path: Path, planted: str, found: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE.format(planted))

    look(page)

    complaints, look.complaints = "\n".join(look.complaints), []
    assert found in complaints
    assert bool(complaints) == bool(found)


def test_a_page_without_scripts_is_looked_at_too(look: Looker, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        PAGE.format("<noscript>no scripts</noscript><script>document.body.innerHTML = ''</script>")
    )

    looked = look(page, scripts=False)

    assert "no scripts" in looked.inner_text("main")
