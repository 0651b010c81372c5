"""The fast engine: the same notebook as stock papermill makes, or the plain way."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from papermill.engines import NBClientEngine
from papermill.iorw import papermill_io

from runbook_lib.batch import pool
from runbook_lib.batch.engine import fast_validation
from runbook_lib.batch.engine import kernel as engine
from runbook_lib.cli import demo
from runbook_lib.sandbox import server

CHECKOUT = Path(__file__).resolve().parents[2]
RICH = "class Rich:\n    def _repr_mimebundle_(self, **_):\n        return {'text/html': '<b>x</b>', 'text/plain': 'x'}"
TOLD = "class Told(Exception):\n    def _render_traceback_(self):\n        return ['Told: in words', 'Do that.']"
MUTE = "class Mute:\n    def __repr__(self):\n        raise RuntimeError('no repr')"
CELLS = {
    "results and prints in order": "print('one'); display('two'); print('three')\n'four'",
    "both streams": "import sys\nprint('out'); print('err', file=sys.stderr); print('out again')",
    "a table": "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['<x>', None]})",
    "several representations": f"{RICH}\nRich()",
    "nothing to show": "x = 1\nx;",
    "top-level await": "import asyncio\nawait asyncio.sleep(0.01)\n'awaited'",
    "a loop that runs already": "asyncio.get_running_loop().is_running()",
    "tasks between cells": "task = asyncio.ensure_future(asyncio.sleep(0, 'done')); None",
    "a task of an earlier cell": "await task",
    "an update by display id": "h = display('before', display_id='mine'); h.update('after')",
    "clear output": "from IPython.display import clear_output\nprint('gone'); clear_output(); print('stays')",
    "clear output, waiting": "print('gone'); clear_output(wait=True); print('stays')",
    "a picture": "from IPython.display import SVG\nSVG('<svg xmlns=\"http://www.w3.org/2000/svg\"/>')",
    "carriage returns": "print('10%\\r20%\\r30%')",
    "backspaces": "print('abc\\b\\bXY')",
    "a warning": "import warnings\nwarnings.warn('careful', stacklevel=1)",
    "a deprecation": "warnings.warn('old', DeprecationWarning, stacklevel=1)",
    "a log line": "import logging\nlogging.getLogger('x').warning('logged')",
    "results of earlier cells": "[_, Out[1], In[1], len(In) > 2]",
    "a module of its own": "import __main__\n[__name__, __main__.x, hasattr(__main__, 'pytest')]",
    "tuples and keys that JSON has not": "display({'application/json': {1: (2, 3)}}, raw=True)",
    "an exception that explains itself": f"{TOLD}\nraise Told('in words')",
    "an exception with a cause": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('no') from e",
    "no such name": "undefined",
    "an assertion": "assert 1 == 2, 'never'",
    "leaving": "raise SystemExit(0)",
    "a result that cannot be shown": f"{MUTE}\nMute()",
    "an empty cell": "",
    "a comment only": "# nothing",
}
TIMES = r"output_path|duration|start_time|end_time|(iopub|shell)\..*"
VOLATILE = {
    r"out\d\.ipynb": "out.ipynb",
    r"\d{8}T\d{6}Z-[0-9a-f]{4}": "RUN",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00| UTC)?": "TIME",
    r"(\d+ (h|min) )*\d+(\.\d+)? (min|s)\b": "some time",
    r"localhost:\d+": "HOST",
    r" {2,}": "  ",  # how far a column is from the next depends on how long a time reads
    r"\.executing-\w+": ".executing-X",
    r"0x[0-9a-f]{6,}": "0xADDRESS",
    r"ipykernel_\d+[/\\]\d+\.py": "ipykernel_N/M.py",
}


def notebook(*cells: str, **metadata: Any) -> NotebookNode:
    made = [nbformat.v4.new_code_cell(source, id=f"cell-{index}") for index, source in enumerate(cells)]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book: NotebookNode = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec, **metadata})
    return book


def executed(book: NotebookNode, folder: Path, *options: str) -> NotebookNode:
    """Return the notebook that the papermill command leaves behind, whether it ran to its end or not."""
    source, out = folder / "in.ipynb", folder / f"out{len(options)}.ipynb"
    nbformat.write(book, source)
    command = [sys.executable, "-m", "papermill", str(source), str(out), "--no-progress-bar", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert out.exists(), done.stderr
    read: NotebookNode = nbformat.read(out, as_version=4)
    return read


def joined(values: list[Any]) -> list[Any]:
    """Return a cell's outputs with a stream in one piece: a slow kernel sends it in several."""
    made: list[Any] = []
    for one in values:
        if made and isinstance(one, dict) and "text" in one and made[-1].get("name") == one["name"]:
            made[-1] = {**made[-1], "text": made[-1]["text"] + one["text"]}
        else:
            made.append(one)
    return made


def settled(value: Any) -> Any:
    """Return the notebook without what differs between two runs of the same engine: times, durations, paths."""
    if isinstance(value, dict):
        if {"papermill-error-cell-tag", "injected-parameters"} & set(value.get("metadata", {}).get("tags", ())):
            value = {**value, "id": "made by papermill"}
        return {key: "some" if re.fullmatch(TIMES, key) else settled(one) for key, one in value.items()}
    if isinstance(value, list):
        return joined([settled(one) for one in value])
    for pattern, steady in VOLATILE.items() if isinstance(value, str) else ():
        value = re.sub(pattern, steady, value)
    return value


def test_every_feature_comes_out_as_with_stock_papermill(tmp_path: Path) -> None:
    book = notebook(*CELLS.values())
    for cell, name in zip(book.cells, CELLS, strict=True):
        cell.metadata["name"] = name
        cell.metadata["tags"] = ["raises-exception"]
    stock = settled(executed(book, tmp_path))
    ours = settled(executed(book, tmp_path, "--engine", engine.NAME))
    differing = [(was, now) for was, now in zip(stock["cells"], ours["cells"], strict=True) if was != now]
    assert differing == []
    assert ours["metadata"] == stock["metadata"]
    assert sum(bool(cell.get("outputs")) for cell in stock["cells"]) > 20


@pytest.mark.timeout(900)
def test_every_notebook_of_every_sandbox_tenant_comes_out_as_with_stock_papermill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CHECKOUT / "parameters", tmp_path / "parameters")
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(tmp_path / "parameters"))
    keys = list(demo.tenants())
    compared = 0
    with server.serving(tmp_path / ".sandbox"):
        results = []
        for way in ("fast", "plain"):
            monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / way / "outputs"))
            results.append(pool.run(keys, pool.TENANT_STEPS, jobs=2, on_event=lambda _: None))
            monkeypatch.setenv("RUNBOOK_PLAIN", "1")
    for fast, plain in zip(*results, strict=True):
        assert fast.folder is not None
        assert plain.folder is not None
        assert (fast.outcome, fast.steps, fast.error) == (plain.outcome, plain.steps, plain.error)
        for path in sorted((plain.folder / "data").glob("*.ipynb")):
            stock, ours = (settled(nbformat.read(one, 4)) for one in (path, fast.folder / "data" / path.name))
            differing = [(was, now) for was, now in zip(stock["cells"], ours["cells"], strict=True) if was != now]
            assert differing == [], (plain.key, path.name)
            compared += 1
    assert compared == len(keys) * len(pool.TENANT_STEPS)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("%matplotlib inline", "not plain Python"),
        ("!ls", "not plain Python"),
        ("records?", "not plain Python"),
        ("%%bash\necho 1", "not plain Python"),
        ("def broken(:", "not plain Python"),
        ("name = input('who? ')", "input"),
        ("import ipywidgets as widgets", "ipywidgets"),
        ("from ipywidgets import interact", "ipywidgets"),
        ("import matplotlib.pyplot as plt", "matplotlib"),
        ("def f():\n    import subprocess", "subprocess"),
        ("import os\nos.system('ls')", "system"),
        ("from os import fork", "fork"),
        ("exit()", "exit"),
        ("get_ipython().run_line_magic('time', '1')", "get_ipython"),
    ],
)
def test_what_needs_a_kernel_process_goes_the_plain_way(source: str, why: str) -> None:
    assert why in engine.why_plain([nbformat.v4.new_markdown_cell("!ls"), nbformat.v4.new_code_cell(source)])


@pytest.mark.parametrize("path", sorted(CHECKOUT.glob("notebooks/*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_of_ours_goes_the_fast_way(path: Path) -> None:
    assert engine.why_plain(nbformat.read(path, as_version=4).cells) == ""


def test_the_plain_way_is_papermill_s_own_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[str] = []
    stock = classmethod(lambda _, _book, kernel, **options: went.append(f"{kernel} {options}"))
    monkeypatch.setattr(NBClientEngine, "execute_managed_notebook", stock)
    for book, options in ((notebook("!ls"), {}), (notebook("1"), {"execution_timeout": 5})):
        manager = SimpleNamespace(nb=book, save=None, autosave_cell_every=30)
        engine.RunbookEngine.execute_managed_notebook(manager, "python3", **options)
    assert went == ["python3 {}", "python3 {'execution_timeout': 5}"]


@pytest.mark.parametrize(
    ("output", "valid"),
    [
        ({"output_type": "display_data", "data": {"text/plain": "x"}, "metadata": {}}, True),
        ({"output_type": "display_data", "data": {"text/plain": 5}, "metadata": {}}, False),
        ({"output_type": "display_data", "data": {}, "metadata": {}, "more": 1}, False),
        ({"output_type": "execute_result", "data": {}, "metadata": {}, "execution_count": 1}, True),
        ({"output_type": "execute_result", "data": {}, "metadata": {}}, False),
        ({"output_type": "stream", "name": "stdout", "text": "x"}, True),
        ({"output_type": "stream", "text": "x"}, False),
        ({"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x"]}, True),
        ({"output_type": "error", "ename": "E", "evalue": "", "traceback": "x"}, False),
    ],
)
def test_an_output_is_judged_as_nbformat_judges_it(output: dict[str, Any], valid: bool) -> None:
    assert fast_validation.validate is not nbformat.v4.nbbase.validate
    for judge in (nbformat.v4.nbbase.validate, fast_validation.validate):
        with nullcontext() if valid else pytest.raises(nbformat.ValidationError):
            judge(nbformat.from_dict(output), output["output_type"])


@pytest.mark.parametrize(
    ("autosave", "times"), [(30, [102.1, 104.2, 104.2]), (0, [102.1, 104.2, 104.2]), (1, [101.9, 104.0, 104.2])]
)
def test_a_notebook_is_saved_at_its_start_seldom_and_at_its_end(
    monkeypatch: pytest.MonkeyPatch, autosave: int, times: list[float]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    saved: list[float] = []
    book = SimpleNamespace(metadata=SimpleNamespace(papermill={"exception": None}))
    manager = SimpleNamespace(nb=book, end_time=None, autosave_cell_every=autosave, save=lambda: saved.append(clock[0]))
    engine._save_seldom(manager)
    for clock[0] in (100.1, 101.9, 102.1, 102.2, 104.0, 104.2):
        manager.save()
    manager.end_time = "now"
    manager.save()
    assert saved == times


@pytest.mark.parametrize("there", [b"the whole version before", None])
def test_a_save_that_is_cut_short_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bytes | None
) -> None:
    path = tmp_path / "out.ipynb"
    if there:
        path.write_bytes(there)

    def half(content: str, place: str) -> None:
        Path(place).write_text(content[:3])
        if content != "fine":
            raise KeyboardInterrupt

    local = SimpleNamespace(_cwd=str(tmp_path), write=half)
    monkeypatch.setattr(papermill_io, "get_handler", lambda _: local)
    engine._save_in_one_piece.__wrapped__()
    with pytest.raises(KeyboardInterrupt):
        local.write("a newer version", "out.ipynb")
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([there] if there else [])
    local.write("fine", "out.ipynb")
    assert path.read_text() == "fin"
    assert list(tmp_path.iterdir()) == [path]
    with path.open() as reader:
        local.write("fine", "out.ipynb")
        assert reader.read() == "fin"
        assert path.stat().st_ino != os.fstat(reader.fileno()).st_ino  # a new file, not the old one written anew


def test_what_is_no_file_is_written_to_and_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    local = SimpleNamespace(_cwd=None, write=lambda _, path: written.append(path))
    monkeypatch.setattr(papermill_io, "get_handler", lambda _: local)
    engine._save_in_one_piece.__wrapped__()
    local.write("{}", "/dev/null")
    assert written == ["/dev/null"]


AFTER_ANOTHER = """
import os, sys, random, warnings
from pathlib import Path
from runbook_lib.batch.engine import kernel as engine

before = dict(os.environ), list(sys.path), os.getcwd(), sys.stdout, sys.modules["__main__"], list(warnings.filters)
for name in ("first", "second"):
    stopped = engine.execute(Path(name + ".ipynb"), Path(name + ".out.ipynb"), {}, here=True)
    assert stopped is None, stopped
assert before == (dict(os.environ), list(sys.path), os.getcwd(), sys.stdout, sys.modules["__main__"], warnings.filters)
"""


def test_a_notebook_finds_nothing_of_the_one_before_it(tmp_path: Path) -> None:
    spoil = (
        "import os, sys, random, asyncio, warnings, logging\n"
        "secret = 1; os.environ['LEFT'] = 'x'; sys.path.append('/left'); os.chdir('/')\n"
        "warnings.simplefilter('error'); logging.basicConfig(level=10); random.seed(1)\n"
        "task = asyncio.ensure_future(asyncio.sleep(60)); print(random.random())"
    )
    look = (
        "import os, sys, random, asyncio, logging\n"
        "print('secret' in globals(), os.environ.get('LEFT'), '/left' in sys.path, os.getcwd() == '/',"
        " len(asyncio.all_tasks()), len(Out), len(In), logging.getLogger().handlers)\n"
        "random.random()"
    )
    nbformat.write(notebook("import random; random.seed(1)", spoil), tmp_path / "first.ipynb")
    nbformat.write(notebook(look), tmp_path / "second.ipynb")
    done = subprocess.run(
        [sys.executable, "-c", AFTER_ANOTHER], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = nbformat.read(tmp_path / "second.out.ipynb", as_version=4).cells[0].outputs
    assert seen[0].text.split(" ", 4)[:4] == ["False", "None", "False", "False"]
    assert seen[0].text.strip().endswith(" 0 2 []")
    assert float(seen[1].data["text/plain"]) not in (random.Random(1).random(), _second(random.Random(1)))


def _second(numbers: random.Random) -> float:
    numbers.random()
    return numbers.random()
