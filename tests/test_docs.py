"""Tables in the documentation equal the code; RUNBOOK_UPDATE_DOCS=1 writes them anew."""

from __future__ import annotations

import ast
import importlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
import yaml

from runbook_lib import steps, vendors
from runbook_lib.checks import CHECKS, Check
from runbook_lib.cli import main
from runbook_lib.model import Status
from runbook_lib.runs.folder import STEPS
from runbook_lib.sandbox.graph import routes as sandbox_graph
from runbook_lib.sandbox.world import world as scenarios

UPDATE = "RUNBOOK_UPDATE_DOCS" in os.environ
CHECKOUT = Path(__file__).resolve().parents[1]
steps.load()


def permissions() -> Iterator[tuple[str, ...]]:
    yield "question", "application", "delegated", "why", "calls"
    for call in vendors.calls().values():
        path = f"`{call.path.partition('?')[0]}`"
        yield f"[{call.name}]({call.page})", call.application or "–", call.delegated or "–", call.why, path


def rooms() -> Iterator[tuple[str, ...]]:
    yield "room", "its one job"
    for path in sorted((CHECKOUT / "runbook_lib").rglob("*/__init__.py")):
        job = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        yield f"`{path.parent.relative_to(CHECKOUT / 'runbook_lib').as_posix()}/`", job


def checks() -> Iterator[tuple[str, ...]]:
    yield "check", "what it proves", "step", "what it rests on"
    notebooks = {step.partition("_")[2]: step for step in STEPS} | {"ews": "00_preflight"}
    for one in sorted(CHECKS.values(), key=lambda one: (notebooks.get(one.step, "06_access"), one.id)):
        needed = sorted({_rests_on(look) for look in one.looks}) or ["the tenant file"]
        yield f"`{one.id}`", one.title, notebooks.get(one.step, "06_access"), ", ".join(needed)


def _rests_on(look: str) -> str:
    calls = vendors.calls()
    source = {"exchange": "the answer of the Exchange script", "space": "SpaceIQ"}
    return calls[look].application if look in calls else source.get(look.partition(" ")[0].rstrip("s"), look)


def exit_codes() -> Iterator[tuple[str, ...]]:
    yield "outcome", "exit code", "meaning"
    for status in Status:
        yield f"{status.symbol} {status.value}", str(status.exit_code), MEANING[status]


MEANING = {
    Status.FAIL: "we looked; it is not as documented",
    Status.UNKNOWN: "we could not look; the finding says which permission or licence would let us",
    Status.PENDING: "waiting for a person, or for a slow effect inside its budget",
    Status.ACCEPTED: "an exception with reason, approver and expiry stands against it",
    Status.NOT_APPLICABLE: "the question does not arise",
    Status.PASS: "we looked; it is as documented",
}


def commands() -> Iterator[tuple[str, ...]]:
    yield "command", "does"
    group = typer.main.get_command(main.app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        yield f"`runbook {name}`", command.help.partition("\n\n")[0].replace("\n", " ")


def notebooks() -> Iterator[tuple[str, ...]]:
    yield "notebook", "what it is"
    for step, title in STEPS.items():
        yield f"[{step}](notebooks/{step}.ipynb)", title


def routes() -> Iterator[tuple[str, ...]]:
    importlib.import_module("runbook_lib.sandbox.graph.app")  # the routes register themselves
    for line in sandbox_graph.routes_table().splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if set("".join(cells)) != {"-"}:
            yield cells


def tenants() -> Iterator[tuple[str, ...]]:
    yield "tenant", "what it shows"
    for path in sorted(Path(scenarios.__file__ or "").parent.glob("scenarios/*.yaml")):
        story = yaml.safe_load(path.read_text(encoding="utf-8"))["story"]
        yield path.stem, " ".join(story.split())


@pytest.mark.parametrize(
    ("document", "name", "rows"),
    [
        ("CONTRIBUTING.md", "rooms", rooms),
        ("docs/sandbox.md", "routes", routes),
        ("docs/sandbox.md", "tenants", tenants),
        ("docs/permissions.md", "permissions", permissions),
        ("docs/checks.md", "checks", checks),
        ("README.md", "exit codes", exit_codes),
        ("README.md", "commands", commands),
        ("README.md", "notebooks", notebooks),
    ],
)
def test_a_table_in_the_documentation_equals_the_code(
    document: str, name: str, rows: Callable[[], Iterator[tuple[str, ...]]]
) -> None:
    path = CHECKOUT / document
    text = path.read_text(encoding="utf-8")
    header, *body = rows()
    lines = [header, ("---",) * len(header), *body]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    found = re.search(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", text, re.DOTALL)
    assert found, f"{document} has no place for the table of {name}"
    if UPDATE:
        path.write_text(text[: found.start()] + found[1] + table + found[2] + text[found.end() :], encoding="utf-8")
    else:
        assert text[found.start() : found.end()] == found[1] + table + found[2]


@pytest.mark.parametrize("one", CHECKS.values(), ids=list(CHECKS))
def test_a_check_has_words_for_title_and_remedy_and_links_to_the_web(one: Check) -> None:
    assert one.title
    assert one.remedy.endswith(".")
    assert one.link.startswith("https://") or not one.link
