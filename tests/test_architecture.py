"""The house of DESIGN.md, section 3, held to its plan: which room may import which, and how large one may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "runbook_lib"

# From the top down: a room imports what stands below it, nothing above. Rooms of one line are neighbours.
FLOORS = (
    {"cli"},
    {"batch"},
    {"setup"},
    {"report"},
    {"steps"},
    {"notebook"},
    {"evidence"},
    {"clients"},
    {"runs"},
    {"settings"},
    {"checks"},
    {"display"},
    {"vendors"},
    {"forms"},
    {"model"},
    {"errors"},
)

# One third-party package, one home: a folder, or a module, inside runbook_lib.
HOMES = {
    "apprise": {"report.post"},
    "azure": {"evidence.archive.azure_blob"},
    "boto3": {"evidence.archive.s3"},
    "distributed": {"batch.cluster.driver"},
    "graphql": {"sandbox.spaceiq.graphql"},
    "ipywidgets": {"notebook.prompts"},
    "jinja2": {"report.page", "sandbox.entra.flows.pages"},
    "msal": {"clients.entra.sign_in"},
    "msal_extensions": {"clients.entra.token_cache"},
    "pandas": {"display.frames"},
    "papermill": {"batch.engine.kernel"},
    "pydantic": {"forms"},
    "pydantic_core": {"forms"},
    "requests": {"clients.http"},
    "rfc3161_client": {"evidence.timestamp"},
    "trestle": {"report.oscal.results"},
}

LONGEST_FUNCTION = 34
MOST_FILES = 12
WIDE = {"cli": "one command, one file"}
"""Folders that may hold more, and why."""


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


def room(name: str) -> str:
    """Return the room of a dotted name: `steps` for runbook_lib.steps.access.checks."""
    return name.removeprefix("runbook_lib.").split(".")[0]


def rooms(tree: ast.AST) -> set[str]:
    """Return the rooms of the library that a module uses."""
    return {room(name) for name in imports(tree) if name.startswith("runbook_lib.")}


def below(name: str) -> set[str]:
    """Return the rooms that stand below a room."""
    floor = next(index for index, found in enumerate(FLOORS) if name in found)
    return set().union(*FLOORS[floor + 1 :])


def test_imports_are_seen_wherever_and_however_they_are_written() -> None:
    source = "import os.path\ndef f():\n    from runbook_lib import vendors, model\n    import runbook_lib.steps.access"
    assert set(imports(ast.parse(source))) >= {"os.path", "runbook_lib.vendors", "runbook_lib.steps.access"}
    assert rooms(ast.parse(source)) == {"vendors", "model", "steps"}


def test_every_room_has_its_floor() -> None:
    there = {room(name) for name in modules()} - {"__init__", "__main__", "sandbox"}
    assert there == set().union(*FLOORS)


@pytest.mark.parametrize("name", [name for name in modules() if room(name) not in ("__init__", "__main__", "sandbox")])
def test_a_module_imports_its_own_room_and_what_stands_below(name: str) -> None:
    used = rooms(modules()[name]) - {room(name)}
    if room(name) == "cli" and name in ("cli.demo", "cli.sandbox"):  # which start the rehearsal cloud
        used -= {"sandbox"}
    assert used <= below(room(name))


@pytest.mark.parametrize("name", [name for name in modules() if room(name) == "sandbox"])
def test_the_sandbox_imports_nothing_of_the_library(name: str) -> None:
    assert rooms(modules()[name]) <= {"sandbox"}


def test_a_folder_holds_what_a_reader_can_keep_in_mind() -> None:
    count: dict[str, int] = {}
    for name in modules():
        if not name.endswith("__init__"):
            folder = name.rpartition(".")[0]
            count[folder] = count.get(folder, 0) + 1
    assert {folder: files for folder, files in count.items() if files > MOST_FILES and folder not in WIDE} == {}


def test_a_folder_says_its_one_job_in_its_first_line() -> None:
    silent = [name for name, tree in modules().items() if name.endswith("__init__") and not ast.get_docstring(tree)]
    assert silent == []


@pytest.mark.parametrize("package", HOMES)
def test_a_third_party_package_has_one_home(package: str) -> None:
    users = {name for name, tree in modules().items() if package in {found.split(".")[0] for found in imports(tree)}}
    assert users == HOMES[package], f"{package} belongs in {HOMES[package]}"


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count what a function does: its lines without the parameters, which may be a command's options, and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_a_function_fits_on_a_screen() -> None:
    long = {
        f"{name}:{node.lineno} {node.name}": body_lines(node)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) >= LONGEST_FUNCTION
    }
    assert long == {}


def test_the_library_never_prints() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []
