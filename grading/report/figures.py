"""Figures of a course, as Plotly's JSON: from distributions and attempts, for the pages that show them.

Nothing is counted here. Colours are names of the page's own, which `site.js` looks up, so that a figure is light or
dark with its page; what a colour says, a pattern or a shape says too. No word of a student's stands in a figure:
Plotly takes some of HTML for markup.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any

import plotly.io
from markupsafe import Markup

from grading.report.item_analysis import TaskItem
from grading.report.standing import Bar, Day, Spread, Work

MAIN, SECOND, MARK = "var(--link)", "var(--warn)", "var(--bad)"
HATCHED = {"shape": "/", "fillmode": "overlay", "fgcolor": "var(--ground)", "size": 7, "solidity": 0.3}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "triangle-down", "hexagon")
COLOURS = ("var(--link)", "var(--warn)", "var(--good)", "var(--bad)", "var(--quiet)")
DAY = 86_400_000  # milliseconds
ROW = 46  # pixels of a task's bars
TITLE = 24  # letters in a line beside an axis

Title = Callable[[str], str]


def counts(bars: Sequence[Bar], across: str, up: str = "students") -> Markup:
    """A bar for each label."""
    labels = [_text(bar.label) for bar in bars]
    values = [bar.count for bar in bars]
    return _json(
        [
            {
                "type": "bar",
                "x": labels,
                "y": values,
                "text": [str(value) if value else "" for value in values],
                "textposition": "outside",
                "cliponaxis": False,
                "marker": {"color": MAIN},
                "hovertemplate": f"%{{x}}: %{{y}} {up}<extra></extra>",
            }
        ],
        {
            "xaxis": {"type": "category", "title": {"text": across}},
            "yaxis": {"title": {"text": up}, "rangemode": "tozero", **_whole_numbers(values)},
            "margin": {"t": 24},
        },
    )


def over_time(days: Sequence[Day], deadlines: Iterable[tuple[str, datetime]], zone: tzinfo) -> Markup:
    """Attempts a day, late ones on top of the others, and a line where something was due."""
    noons = [f"{day.day.isoformat()}T12:00:00" for day in days]
    kinds: list[tuple[str, list[int], dict[str, Any]]] = [
        ("in time", [day.in_time for day in days], {"color": MAIN})
    ]
    if any(day.late for day in days):
        kinds.append(("late", [day.late for day in days], {"color": SECOND, "pattern": HATCHED}))
    due = [(_text(label), f"{moment.astimezone(zone):%Y-%m-%dT%H:%M:%S}") for label, moment in deadlines]
    return _json(
        [
            {
                "type": "bar",
                "name": name,
                "x": noons,
                "y": values,
                "width": DAY * 22 // 24,
                "marker": marker,
                "hovertemplate": f"%{{x|%-d %b}}: %{{y}} {name}<extra></extra>",
            }
            for name, values, marker in kinds
        ],
        {
            "barmode": "stack",
            "showlegend": len(kinds) > 1,
            "xaxis": {"type": "date", "tickformat": "%-d %b", **_every_day(days)},
            "yaxis": {
                "title": {"text": "attempts"},
                "rangemode": "tozero",
                **_whole_numbers([day.in_time + day.late for day in days]),
            },
            "shapes": [
                {
                    "type": "line",
                    "x0": when,
                    "x1": when,
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "line": {"color": MARK, "width": 2, "dash": "dash"},
                }
                for _, when in due
            ],
            "annotations": [
                {
                    "x": when,
                    "yref": "paper",
                    "y": 1,
                    "yanchor": "bottom",
                    "text": label,
                    "showarrow": False,
                    "textangle": -30 if len(due) > 1 else 0,
                    "font": {"size": 11},
                }
                for label, when in due
            ],
            "margin": {"t": 64 if len(due) > 1 else 28},
        },
    )


def spreads(rows: Sequence[tuple[str, Spread]]) -> Markup:
    """A box for each homework: quartiles, median, mean, and from the least to the most, in per cent."""
    names = [_text(name) for name, _ in rows]
    return _json(
        [
            {
                "type": "box",
                "x": names,
                "q1": [_percent(one.lower) for _, one in rows],
                "median": [_percent(one.median) for _, one in rows],
                "q3": [_percent(one.upper) for _, one in rows],
                "lowerfence": [_percent(one.least) for _, one in rows],
                "upperfence": [_percent(one.most) for _, one in rows],
                "mean": [_percent(one.mean) for _, one in rows],
                "boxmean": True,
                "marker": {"color": MAIN},
                "line": {"width": 2},
            }
        ],
        {
            "xaxis": {"type": "category"},
            "yaxis": {"title": {"text": "per cent of the points"}, "rangemode": "tozero"},
        },
    )


def tasks(items: Sequence[TaskItem], title: Title) -> Markup:
    """For each task the mean share of its points, and the share of submissions with all of them."""
    places = list(range(len(items)))  # and not the titles: two tasks may have one
    labels = ["<br>".join(textwrap.wrap(_text(title(item.id)), TITLE)) for item in items]
    kinds: list[tuple[str, list[float], dict[str, Any]]] = [
        ("mean points", [_percent(item.difficulty) for item in items], {"color": MAIN}),
        ("all points", [_percent(item.full_rate) for item in items], {"color": SECOND, "pattern": HATCHED}),
    ]
    return _json(
        [
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "y": places,
                "x": values,
                "marker": marker,
                "hovertemplate": f"{name}: %{{x:.0f}}%<extra></extra>",
            }
            for name, values, marker in kinds
        ],
        {
            "barmode": "group",
            "showlegend": True,
            "height": 90 + ROW * len(items),
            "xaxis": {"range": [0, 100], "ticksuffix": "%"},
            "yaxis": {
                "autorange": "reversed",
                "tickvals": places,
                "ticktext": labels,
                "automargin": True,
                "showgrid": False,
                "zeroline": False,
            },
        },
    )


def attempts(works: Iterable[Work], title: Title, zone: tzinfo) -> Markup:
    """A student's attempts: points by time, a shape for each homework, the one that counts larger."""
    traces: list[dict[str, Any]] = []
    for i, work in enumerate(works):
        shown = [
            one for one in work.tried if one.score.submitted_at is not None and one.score.points is not None
        ]
        if not shown:
            continue
        colour = COLOURS[i % len(COLOURS)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": _text(title(work.grade.homework)),
                "x": [
                    f"{one.score.submitted_at.astimezone(zone):%Y-%m-%dT%H:%M:%S}"
                    for one in shown
                    if one.score.submitted_at is not None
                ],
                "y": [_percent((one.score.points or 0) / one.score.max_points) for one in shown],
                "marker": {
                    "symbol": SYMBOLS[i % len(SYMBOLS)],
                    "size": [14 if one.counts else 8 for one in shown],
                    "color": colour,
                },
                "line": {"color": colour, "width": 1, "dash": ("solid", "dot", "dash", "dashdot")[i % 4]},
                "hovertemplate": "%{x|%-d %b %H:%M}: %{y:.1f}%<extra>%{fullData.name}</extra>",
            }
        )
    return _json(
        traces,
        {
            "showlegend": True,
            "xaxis": {
                "type": "date",
                "tickformatstops": [
                    {"dtickrange": [None, DAY - 1], "value": "%H:%M\n%-d %b"},
                    {"dtickrange": [DAY, None], "value": "%-d %b"},
                ],
            },
            "yaxis": {"title": {"text": "per cent"}, "range": [-5, 108]},
        },
    )


def _json(traces: Sequence[dict[str, Any]], layout: dict[str, Any]) -> Markup:
    """Fit to stand within a <script>: what could end it there is written as an escape.

    Unchecked, since Plotly takes ten times as long for that; tests check one of each kind.
    """
    common: dict[str, Any] = {
        "template": {},
        "height": 280,
        "margin": {"l": 52, "r": 12, "b": 44, "t": 12},
        "bargap": 0.12,
        "dragmode": False,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "traceorder": "normal",
        },
    }
    for key, value in layout.items():
        both = isinstance(value, dict) and isinstance(common.get(key), dict)
        common[key] = {**common[key], **value} if both else value
    text = str(plotly.io.to_json({"data": traces, "layout": common}, validate=False))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _every_day(days: Sequence[Day]) -> dict[str, Any]:
    """A few are all named, each once."""
    few = bool(days) and days[-1].day - days[0].day < timedelta(days=7)
    return {"dtick": DAY, "ticklabelmode": "period"} if few else {}


def _whole_numbers(values: Sequence[int]) -> dict[str, int]:
    """A few are counted one by one, so that no axis speaks of half a student."""
    return {"dtick": 1} if max(values, default=0) < 6 else {}


def _percent(share: Fraction) -> float:
    return round(100 * float(share), 1)


def _text(words: str) -> str:
    """Words that Plotly shows as they are."""
    return html.escape(words, quote=False)
