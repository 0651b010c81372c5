"""The house of DESIGN.md, section 3, held to its plan: who may import what, and how large a room may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "runbook_lib"

# One third-party package, one home: module paths inside runbook_lib.
HOMES = {
    "adlfs": {"objectstore"},
    "apprise": {"post"},
    "distributed": {"cluster"},
    "fsspec": {"objectstore"},
    "ipywidgets": {"prompts"},
    "jinja2": {"report", "sandbox.entra_pages"},
    "msal": {"signin"},
    "msal_extensions": {"tokencache"},
    "pandas": {"tables"},
    "papermill": {"engine"},
    "requests": {"graph"},
    "s3fs": {"objectstore"},
    "trestle": {"oscal"},
}

# These rooms may be entered only from those; a room may always use its own modules.
ENTERED_FROM = {
    "batch": {"cli", "cluster", "clustertask", "demo", "overnight", "rehearse", "terminal"},
    "cli": {"__main__"},
    "demo": {"rehearse"},
    "sandbox": {"demo", "rehearse"},
}

# These rooms use nothing else of the library.
USES = {
    "errors": set[str](),
    "model": {"errors"},
    "integration": {"errors", "model"},
    "steps": {"cards", "errors", "exchange", "graph", "integration", "model", "prompts", "records", "spaceiq"},
}

LONGEST_MODULE = 350
LONGEST_FUNCTION = 40


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module of the library by its dotted name inside it, parsed."""
    paths = sorted(LIBRARY.rglob("*.py"))
    return {".".join(path.relative_to(LIBRARY).with_suffix("").parts): ast.parse(path.read_bytes()) for path in paths}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere, functions and TYPE_CHECKING blocks included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(tree: ast.AST) -> set[str]:
    """Return the rooms of the library that a module uses: `steps` for runbook_lib.steps.access.checks.judge."""
    return {name.split(".")[1] for name in imports(tree) if name.startswith("runbook_lib.")}


def room(module: str) -> str:
    """Return the room that a module is in."""
    return module.split(".")[0]


def test_imports_are_seen_wherever_and_however_they_are_written() -> None:
    source = (
        "import os.path\ndef f():\n    from runbook_lib import graph, model\n    import runbook_lib.steps.access.checks"
    )
    assert set(imports(ast.parse(source))) >= {
        "os.path",
        "runbook_lib.clients.graph.client",
        "runbook_lib.steps.access.checks",
    }
    assert rooms(ast.parse(source)) == {"graph", "model", "steps"}


@pytest.mark.parametrize("package", HOMES)
def test_a_third_party_package_has_one_home(package: str) -> None:
    users = {name for name, tree in modules().items() if package in {found.split(".")[0] for found in imports(tree)}}
    assert users == HOMES[package], f"{package} belongs in {HOMES[package]}"


@pytest.mark.parametrize("entered", ENTERED_FROM)
def test_a_room_is_entered_only_from_where_the_plan_says(entered: str) -> None:
    guests = {room(name) for name, tree in modules().items() if entered in rooms(tree)} - {entered}
    assert guests <= ENTERED_FROM[entered]


@pytest.mark.parametrize("user", USES)
def test_a_room_uses_only_what_the_plan_says(user: str) -> None:
    used = {found for name, tree in modules().items() if room(name) == user for found in rooms(tree)} - {user}
    assert used <= USES[user]


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    uses = {name: rooms(tree) - {name} for name, tree in modules().items() if "." not in name and name != "__init__"}
    while leaves := {name for name, used in uses.items() if not used & uses.keys()}:
        uses = {name: used for name, used in uses.items() if name not in leaves}
    assert not uses, "each of these imports, in the end, itself"


def test_a_module_fits_in_a_reader_s_head() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in LIBRARY.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_a_function_fits_on_a_screen() -> None:
    long = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= LONGEST_FUNCTION
    ]
    assert long == []


def test_the_library_never_prints() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []
