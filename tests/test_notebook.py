"""Reading notebooks: every kind of file that students push gives cells, or a NotebookError that says how to mend it."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grading.errors import NotebookError, UsageError
from grading.notebook import (
    Cell,
    Notebook,
    find_notebook,
    parse_notebook,
    parse_percent,
    percent_cells,
    read_notebook,
    read_percent,
    skip_unchanged,
)


def code(source: Any, **fields: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "source": source,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    } | fields


def ipynb(*cells: Any, **fields: Any) -> bytes:
    return json.dumps(
        {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | fields
    ).encode()


def sources(data: bytes) -> list[str]:
    return [cell.source for cell in parse_notebook(data).cells]


# Ordinary and broken notebooks


def test_code_cells_are_numbered_among_themselves() -> None:
    text = {"cell_type": "markdown", "source": "# Title", "metadata": {}}

    notebook = parse_notebook(ipynb(text, code("a"), text, code("b", id="b-1", metadata={"tags": ["demo"]})))

    assert notebook.cells == (Cell(1, "a"), Cell(2, "b", frozenset({"demo"}), "b-1"))


def test_what_jupyter_writes_is_read() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("x = 1\ny = 2"), nbformat.v4.new_raw_cell("raw")]
    )

    assert sources(nbformat.writes(notebook).encode()) == ["x = 1\ny = 2"]


@pytest.mark.parametrize(
    ("cell", "source"),
    [
        (code(["a\n", "b"]), "a\nb"),
        (code([]), ""),
        (code(None), ""),
        (code(["a\n", None, 3, ["x"], "b"]), "a\nb"),
        (code(7), ""),
        (code({"a": "b"}), ""),
        ({"cell_type": "code"}, ""),
        (code("a\r\nb\rc"), "a\nb\nc"),
        (code("a", metadata=None, outputs=None, id=None), "a"),
        (code("a", metadata=["tags"], id=3), "a"),
        (code("a", metadata={"tags": None}), "a"),
        (code("a", metadata={"tags": [1, None, {}]}), "a"),
        (code("%%time\n!ls\n?x"), "%%time\n!ls\n?x"),
        (code("<<<<<<< HEAD\na\n=======\nb\n>>>>>>> b"), "<<<<<<< HEAD\na\n=======\nb\n>>>>>>> b"),
    ],
)
def test_whatever_a_cell_lacks_is_read_as_empty(cell: dict[str, Any], source: str) -> None:
    assert sources(ipynb(cell)) == [source]


def test_other_things_among_the_cells_are_left_out() -> None:
    others = [
        None,
        1,
        "code",
        ["code"],
        {},
        {"cell_type": None},
        {"cell_type": ["code"]},
        {"cell_type": "markdown"},
    ]

    assert sources(ipynb(*others, code("a"))) == ["a"]


def test_duplicate_ids_and_a_kernel_of_another_language_do_not_matter() -> None:
    data = ipynb(
        code("a", id="x"), code("b", id="x"), metadata={"kernelspec": {"name": "ir", "language": "R"}}
    )

    assert sources(data) == ["a", "b"]


def test_ids_that_colab_moved_are_found() -> None:
    cell = code("a", metadata={"id": "relu-code", "colab": {"base_uri": "x"}})

    assert parse_notebook(ipynb(cell, nbformat_minor=0)).cells[0].id == "relu-code"


def test_format_3_is_read() -> None:
    old = {
        "cell_type": "code",
        "input": ["a\n", "b"],
        "language": "python",
        "outputs": [],
        "prompt_number": 1,
    }
    sheets = [
        {"cells": [old, {"cell_type": "heading", "source": "x"}]},
        None,
        {"cells": None},
        {"cells": [old]},
    ]

    data = json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": sheets}).encode()

    assert sources(data) == ["a\nb", "a\nb"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_any_unicode_encoding_is_read(encoding: str) -> None:
    text = json.dumps({"cells": [code("x = 'Привет, 世界'")]}, ensure_ascii=False)

    assert sources(text.encode(encoding)) == ["x = 'Привет, 世界'"]


def test_bytes_that_are_no_utf8_cost_only_themselves() -> None:
    data = ipynb(code("# COMMENT\nx = 1")).replace(b"COMMENT", "Привет".encode("cp1251"))

    (source,) = sources(data)

    assert source.splitlines()[1] == "x = 1"


def test_numbers_that_json_does_not_have_are_read() -> None:
    data = ipynb(code("a", outputs=[float("nan"), float("inf")])).replace(
        b'"nbformat": 4', b'"nbformat": ' + b"4" * 9999
    )

    assert sources(data) == ["a"]


def test_lone_surrogates_do_no_harm() -> None:
    notebook = parse_notebook(
        ipynb(code("x = '\ud800'", id="\udfff", metadata={"tags": ["\ud800"]}), code("y"))
    )

    assert notebook.cells[1].source == "y"
    assert notebook.cells[0].source == "x = '\ufffd'"
    assert len(notebook.digest) == 64
    assert repr(notebook).encode()


def test_a_pair_of_surrogates_in_two_escapes_is_one_character() -> None:
    assert sources(b'{"cells": [{"cell_type": "code", "source": ["\\ud83d", "\\ude00"]}]}') == ["😀"]


# Files that are no notebooks

NOT_NOTEBOOKS = {
    "empty": (b"", "empty"),
    "blank": (b" \n\t ", "empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "empty"),
    "cut off": (ipynb(code("a"))[:50], r"not valid JSON \(line 1, column"),
    "missing comma": (b'{"cells": []\n"metadata": {}}', r"not valid JSON \(line 2"),
    "binary": (bytes(range(256)), "not valid JSON"),
    "zeros": (bytes(1000), "not"),
    "python": (b"# %%\nprint(1)\n", "not valid JSON"),
    "web page": (b"\n<!DOCTYPE html><html></html>", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS"),
    "conflict": (
        b'{\n "cells": [\n<<<<<<< HEAD\n  {}\n=======\n  {}\n>>>>>>> main\n ]\n}',
        "line 3 has the marker of an unfinished merge",
    ),
    "list": (b"[]", "it has no cells"),
    "string": (b'"cells"', "it has no cells"),
    "no cells": (b'{"nbformat": 4}', "it has no cells"),
    "cells are null": (b'{"cells": null}', "it has no cells"),
    "cells are an object": (b'{"cells": {"a": 1}, "worksheets": 3}', "it has no cells"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "deep and closed": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "too many cells": (ipynb(*[{"cell_type": "code"}] * 5001), "5001 code cells"),
    "too many values": (b'{"cells": [' + b"{}," * 2_000_000 + b"{}]}", "clear the outputs"),
}


@pytest.mark.parametrize(("data", "says"), NOT_NOTEBOOKS.values(), ids=NOT_NOTEBOOKS.keys())
def test_a_file_that_is_no_notebook_is_refused_in_plain_words(data: bytes, says: str) -> None:
    with pytest.raises(NotebookError, match=says) as error:
        parse_notebook(data)

    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for text in (
        data,
        b'{"cells": [' + data + b"]}",
        b'{"cells": [{"cell_type": "code", "source": "' + data + b'"}]}',
    ):
        try:
            notebook = parse_notebook(text)
        except NotebookError:
            continue
        assert notebook.digest


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(st.characters(codec=None, max_codepoint=0x10FFFF), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cells", "cell_type", "source", "metadata", "tags", "id"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(
    VALUES,
    st.lists(
        st.fixed_dictionaries({"cell_type": st.just("code")}, optional={"source": VALUES, "id": VALUES})
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_json_breaks_the_reader(value: Any, cells: list[Any]) -> None:
    for document in (value, {"cells": [*cells, value]}, {"worksheets": [value, {"cells": cells}]}):
        try:
            notebook = parse_notebook(json.dumps(document).encode())
        except NotebookError:
            continue
        assert notebook.digest


@pytest.mark.parametrize(
    "output",
    [
        "0, 1, [2], {3}, " * 1_300_000,
        "\\" * 10_000_000,
        '"' * 7_000_000,
        "line\n" * 4_000_000,
    ],
    ids=["printed list", "backslashes", "quotes", "lines"],
)
def test_twenty_megabytes_of_output_are_read(output: str) -> None:
    data = ipynb(code("a", outputs=[{"output_type": "stream", "name": "stdout", "text": output}]))
    start = time.perf_counter()

    assert sources(data) == ["a"]

    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b'\\"' * 20_000_000 + b"[{," * 2_000_000 + b"\\",
        b"[{," * 2_000_000 + b'"' * 20_000_001,
        b'{"cells": [' + b'{"a":0},' * 1_490_000 + b"0]}",
    ],
    ids=["string without end", "quotes", "as many values as are allowed"],
)
def test_hostile_json_takes_bounded_time_and_memory(data: bytes) -> None:
    tracemalloc.start()
    start = time.perf_counter()

    with pytest.raises(NotebookError) if b"cells" not in data else nullcontext():
        parse_notebook(data)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600 * 2**20
    assert time.perf_counter() - start < 30


# Digest


def test_only_the_code_counts_for_the_digest() -> None:
    plain = parse_notebook(ipynb(code("a\nb"), code("c")))
    run = parse_notebook(
        ipynb(
            {"cell_type": "markdown", "source": "text"},
            code(
                ["a\r\n", "b"], outputs=[{"text": "1"}], execution_count=7, metadata={"tags": ["x"]}, id="one"
            ),
            code("c"),
            metadata={"kernelspec": {}},
        )
    )

    assert run.digest == plain.digest


@pytest.mark.parametrize("other", [["c", "a"], ["ac"], ["a", "c", ""], ["", "a", "c"], ["a", "c "], []])
def test_other_code_has_another_digest(other: list[str]) -> None:
    assert (
        parse_notebook(ipynb(*map(code, other))).digest != parse_notebook(ipynb(code("a"), code("c"))).digest
    )


# Files


def test_a_file_is_read_and_named_in_the_error(tmp_path: Path) -> None:
    good, bad = tmp_path / "Домашка 1.ipynb", tmp_path / "b\n::error::.ipynb"
    good.write_bytes(ipynb(code("a")))
    bad.write_bytes(b"{")

    assert read_notebook(good).cells == (Cell(1, "a"),)
    with pytest.raises(NotebookError, match=r"^b\?::error::\.ipynb: not a notebook"):
        read_notebook(bad)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.ipynb").write_bytes(ipynb(code("a")))
    (tmp_path / "link.ipynb").symlink_to("real.ipynb")

    with pytest.raises(NotebookError, match="is a link"):
        read_notebook(tmp_path / "link.ipynb")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ipynb")

    with pytest.raises(NotebookError, match="not an ordinary file"):
        read_notebook(tmp_path / "pipe.ipynb")


def test_a_device_is_not_read() -> None:
    with pytest.raises(NotebookError, match="not an ordinary file"):
        read_notebook(Path("/dev/zero"))


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.ipynb"
    with path.open("wb") as file:
        file.truncate(2**40)

    with pytest.raises(NotebookError, match="larger than 50 MB: clear its outputs"):
        read_notebook(path)


def test_a_path_that_leads_to_no_file_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.ipynb: cannot be opened"):
        read_notebook(tmp_path / "gone.ipynb")
    with pytest.raises(UsageError, match="is a directory"):
        read_notebook(tmp_path)


# Cells left as they were

STARTER = parse_notebook(
    ipynb(
        code("import torch", id="imports"),
        code("def relu(x):\n    raise NotImplementedError", id="relu-code"),
        code("assert relu(1) == 1\n", metadata={"tags": ["check"]}, id="relu-check"),
        code("plot(relu)", metadata={"tags": ["demo"]}, id="relu-demo"),
        code("same", metadata={"tags": ["demo"]}),
        code("same"),
    )
)


def test_demo_and_check_cells_of_the_starter_are_skipped_wherever_they_stand() -> None:
    notebook = parse_notebook(
        ipynb(code("plot(relu)"), code("mine"), code("assert relu(1) == 1  \r\n\r\n"), code("import torch"))
    )

    assert skip_unchanged(notebook, STARTER) == {1, 3}


def test_an_edited_cell_runs_whatever_its_tags_and_id_say() -> None:
    edited = code("plot(relu); cheat()", metadata={"tags": ["demo", "check"]}, id="relu-demo")

    assert skip_unchanged(parse_notebook(ipynb(edited)), STARTER) == set()


def test_a_text_that_the_starter_also_runs_is_not_skipped() -> None:
    assert skip_unchanged(parse_notebook(ipynb(code("same"), code(""))), STARTER) == set()


# Which notebook of a repository


def submission(*, ids: bool = True) -> bytes:
    cells = [
        code("import torch", id="imports"),
        code("def relu(x): return x * (x > 0)", id="relu-code"),
        code("assert relu(1) == 1", id="relu-check"),
    ]
    return ipynb(*cells if ids else [{key: cell[key] for key in ("cell_type", "source")} for cell in cells])


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_the_homeworks_name_at_the_root_comes_first(tmp_path: Path) -> None:
    write(tmp_path / "copy.ipynb", submission())
    expected = write(tmp_path / "zoo.ipynb", b"not even JSON")

    assert find_notebook(tmp_path, "zoo.ipynb", STARTER) == expected


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("name", ["Zoo (1).ipynb", "дз/зоопарк.IPYNB", "a/b/c/zoo.ipynb"])
def test_a_renamed_notebook_is_known_by_its_cells(tmp_path: Path, name: str, ids: bool) -> None:
    expected = write(tmp_path / name, submission(ids=ids))
    write(tmp_path / "other.ipynb", ipynb(code("import torch"), code("unrelated")))
    write(tmp_path / "broken.ipynb", b"{")
    write(tmp_path / ".ipynb_checkpoints" / "zoo-checkpoint.ipynb", submission())
    write(tmp_path / ".git" / "zoo.ipynb", submission())

    assert find_notebook(tmp_path, "zoo.ipynb", STARTER) == expected


def test_equal_copies_count_as_one(tmp_path: Path) -> None:
    write(tmp_path / "backup" / "mine.ipynb", submission())
    expected = write(tmp_path / "mine.ipynb", submission(ids=False))

    assert find_notebook(tmp_path, "zoo.ipynb", STARTER) == expected


def test_two_different_candidates_are_not_chosen_between(tmp_path: Path) -> None:
    write(tmp_path / "one.ipynb", submission())
    write(tmp_path / "two.ipynb", submission().replace(b"x > 0", b"x > 1"))

    with pytest.raises(
        NotebookError, match=r"2 notebooks that could be meant \(one.ipynb, two.ipynb\): name your"
    ):
        find_notebook(tmp_path, "zoo.ipynb", STARTER)


def test_a_single_broken_notebook_is_returned_so_that_reading_it_says_why(tmp_path: Path) -> None:
    expected = write(tmp_path / "renamed.ipynb", b'{"cells": [\n<<<<<<< HEAD\n')

    assert find_notebook(tmp_path, "zoo.ipynb", STARTER) == expected


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match=r"no zoo\.ipynb, nor any other notebook"):
        find_notebook(tmp_path, "zoo.ipynb", STARTER)

    write(tmp_path / "other.ipynb", ipynb(code("import torch")))
    with pytest.raises(
        NotebookError, match=r"no other notebook was made from the homework's \(other\.ipynb\)"
    ):
        find_notebook(tmp_path, "zoo.ipynb", STARTER)


def test_links_are_never_followed(tmp_path: Path) -> None:
    outside, repo = tmp_path / "outside", tmp_path / "repo"
    write(outside / "zoo.ipynb", submission())
    repo.mkdir()
    (repo / "folder").symlink_to(outside)
    (repo / "mine.ipynb").symlink_to(outside / "zoo.ipynb")
    (repo / "loop").symlink_to(".")

    with pytest.raises(NotebookError, match="nor any other notebook"):
        find_notebook(repo, "zoo.ipynb", STARTER)

    (repo / "zoo.ipynb").symlink_to(outside / "zoo.ipynb")
    with pytest.raises(NotebookError, match=r"zoo\.ipynb is a link"):
        find_notebook(repo, "zoo.ipynb", STARTER)


def test_a_huge_or_deep_tree_is_not_walked_to_its_end(tmp_path: Path) -> None:
    write(tmp_path / "deep" / Path(*["d"] * 100) / "mine.ipynb", submission())
    with pytest.raises(NotebookError, match="nor any other notebook"):
        find_notebook(tmp_path, "zoo.ipynb", STARTER)

    for index in range(21):
        write(tmp_path / f"{index}.ipynb", b"{}")
    with pytest.raises(NotebookError, match="21 other notebooks, too many"):
        find_notebook(tmp_path, "zoo.ipynb", STARTER)

    for index in range(20_001):
        os.mknod(tmp_path / f"file{index}")
    with pytest.raises(NotebookError, match="more than 20000 files"):
        find_notebook(tmp_path, "zoo.ipynb", STARTER)


def test_a_repository_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        find_notebook(tmp_path / "gone", "zoo.ipynb", STARTER)


# Percent format


def test_percent_cells_have_a_kind_a_title_tags_and_a_line() -> None:
    cells = percent_cells(
        "# ---\n# jupyter: {}\n# ---\n\n"
        "# %% [markdown]\n# # Title\n#\n# text\n\n"
        '# %% [sigmoid] gradient is NaN tags=["check", "x"]\n# says: stable\nx = 1\n\n\n'
        "# %%\n# %timeit x\n    # !kept\n"
        '# %% [md]\n"""\nquoted\n"""\n'
        "# %% [raw]\n# %%not a cell\n"
    )

    assert [(cell.kind, cell.title, cell.tags, cell.source, cell.line) for cell in cells] == [
        ("markdown", "", (), "# Title\n\ntext", 6),
        ("code", "[sigmoid] gradient is NaN", ("check", "x"), "# says: stable\nx = 1", 11),
        ("code", "", (), "%timeit x\n    # !kept", 16),
        ("markdown", "", (), "quoted", 19),
        ("raw", "", (), "%%not a cell", 23),
    ]


def test_only_code_cells_of_a_source_are_numbered(tmp_path: Path) -> None:
    text = '"""Prelude."""\n\n# %% [markdown]\n# text\n\n# %% tags=["demo"]\nx = 1\n'
    path = tmp_path / "source.py"
    path.write_text(text)

    assert read_percent(path) == parse_percent(text)
    assert read_percent(path) == Notebook((Cell(1, '"""Prelude."""'), Cell(2, "x = 1", frozenset({"demo"}))))


def test_a_source_that_cannot_be_read_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n")

    with pytest.raises(UsageError, match=r"latin\.py: cannot be read \(not UTF-8\)"):
        read_percent(tmp_path / "latin.py")
    with pytest.raises(UsageError, match=r"gone\.py: cannot be read"):
        read_percent(tmp_path / "gone.py")


def test_an_empty_percent_file_has_no_cells():
    assert percent_cells("") == ()
    assert percent_cells("\n\n") == ()
