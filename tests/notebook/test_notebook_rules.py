"""Every notebook keeps the house rules, and each rule is seen to catch what it forbids."""

import ast
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from runbook_lib import vendors
from runbook_lib.runs.folder import STEPS

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HEADINGS = ["Before you start", "Do", "Look", "Judge", "Confirm", "Record"]
FORMS = {"ask", "attest"}
CONFIRMATIONS = {
    "00_preflight": ["change-approved", "access-limited"],
    "01_disconnect": ["disconnected"],
    "02_connect": ["activated"],
    "03_activate": ["private-window"],
    "04_credentials": ["signed-in-as-admin"],
    "05_permissions": ["accepted-twice"],
    "06_access": ["access-reviewed"],
    "07_sync": ["booking-tested"],
}
STATEMENTS = (ast.Assign, ast.AnnAssign, ast.Expr, ast.ImportFrom)
BRANCHES = (ast.IfExp, ast.Lambda, ast.comprehension)

LOOK = re.compile(r"\b(tables|report)\.(?!read\b|write|newest)\w+\(")
GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

Faults = Iterator[str]
Rule = Callable[[NotebookNode, str], Faults]


def notebook(step: str) -> NotebookNode:
    nb: NotebookNode = nbformat.read(NOTEBOOKS / f"{step}.ipynb", nbformat.NO_CONVERT)
    return nb


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def prose(nb: NotebookNode) -> str:
    return "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def statements(cell: NotebookNode) -> list[ast.stmt]:
    """Return the cell's Python; magics and shell lines are a SyntaxError, as is anything that is not Python."""
    module: ast.Module = ast.parse(cell.source)
    return module.body


def calls(nb: NotebookNode, name: str) -> list[ast.Call]:
    nodes = [node for cell in code_cells(nb) for one in statements(cell) for node in ast.walk(one)]
    return [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


def awaited(cell: NotebookNode) -> str:
    """Return NAME when the whole cell is `await NAME`, else nothing."""
    found = re.fullmatch(r"await (\w+)", cell.source) if cell.cell_type == "code" else None
    return found[1] if found else ""


def name(assignment: ast.Assign) -> str:
    return ast.unparse(assignment.targets[0])


def recorded(nb: NotebookNode) -> set[str]:
    """Return what the notebook hands to finish."""
    return {ast.unparse(part) for call in calls(nb, "finish") for part in call.args}


def form(cell: NotebookNode) -> str:
    """Return NAME when the cell makes the form NAME with ask or attest, and shows it."""
    if cell.cell_type != "code":
        return ""
    made = [one for one in statements(cell) if isinstance(one, ast.Assign)]
    return next((name(one) for one in made if ast.unparse(one.value).partition("(")[0] in FORMS), "")


def shows_a_look(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and LOOK.search(cell.source) is not None


# The rules. Each takes the notebook and its step, and yields what is wrong.


def is_a_valid_stable_notebook(nb: NotebookNode, step: str) -> Faults:
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error.message}"
    if (nb.nbformat, nb.nbformat_minor) != (4, 5) or nb.metadata.kernelspec.name != "python3":
        yield "wants nbformat 4.5 and the kernel python3"
    ids = [cell.id for cell in nb.cells if not re.fullmatch(r"[a-z-]{2,24}", cell.id)]
    yield from (f"cell id {ident} is not short and readable" for ident in ids)


def begins_with_title_and_parameters(nb: NotebookNode, step: str) -> Faults:
    first, second = nb.cells[:2]
    if first.cell_type != "markdown" or first.source.splitlines()[0] != f"# {STEPS[step]}":
        yield f"the first line is not '# {STEPS[step]}'"
    if len(re.findall(r"^# ", prose(nb), re.MULTILINE)) != 1:
        yield "there is not exactly one title"
    key = "*" if step == "09_portfolio" else "contoso"
    help_text = "  # [^=\n]+"  # papermill cannot read help with = in it
    wanted = rf'tenant: str = "{re.escape(key)}"{help_text}\nrun_id: str = ""{help_text}'
    if second.cell_type != "code" or not re.fullmatch(wanted, second.source):
        yield "the second cell is not the parameters tenant and run_id with their help"
    tags = [cell.metadata.get("tags", []) for cell in nb.cells]
    if tags != [[], ["parameters"], *([] for _ in nb.cells[2:])]:
        yield "the one tag is parameters, on the second cell"


def has_headings_in_order(nb: NotebookNode, step: str) -> Faults:
    found = re.findall(r"^## (.+)$", prose(nb), re.MULTILINE)
    if found != [heading for heading in HEADINGS if heading in found] or {"Before you start", "Record"} - set(found):
        yield f"headings {found} are not in the order {HEADINGS}"


def says_in_prose_what_comes(nb: NotebookNode, step: str) -> Faults:
    if not 10 <= len(nb.cells) <= 40:
        yield f"{len(nb.cells)} cells"
    for before, cell in pairwise(nb.cells):
        answers = awaited(cell) and awaited(cell) == form(before)
        if cell.cell_type == "code" and before.cell_type == "code" and not answers:
            yield f"no prose before {cell.id}"
        if cell.cell_type == "code" and before.source.splitlines()[-1].startswith("#"):
            yield f"nothing but a heading before {cell.id}"
    for cell, after in pairwise(nb.cells):
        if shows_a_look(cell) and not after.source.startswith("**Expect:** "):
            yield f"no Expect after {cell.id}"


def keeps_cells_small_and_plain(nb: NotebookNode, step: str) -> Faults:
    for cell in code_cells(nb):
        try:
            body = statements(cell)
        except SyntaxError:
            yield f"{cell.id} is not plain Python"
            continue
        if len(cell.source.splitlines()) > 8:
            yield f"{cell.id} has more than 8 lines"
        if not isinstance(body[-1], ast.Expr) and cell is not nb.cells[1]:
            yield f"{cell.id} shows nothing"
        for one in body:
            if not isinstance(one, STATEMENTS) or any(isinstance(node, BRANCHES) for node in ast.walk(one)):
                yield f"{cell.id} does more than name and show values"
            if isinstance(one, ast.ImportFrom) and (one.module or "").split(".")[0] != "runbook_lib":
                yield f"{cell.id} imports something else than runbook_lib"


def carries_no_output(nb: NotebookNode, step: str) -> Faults:
    yield from (f"{cell.id} was run and saved" for cell in code_cells(nb) if cell.outputs or cell.execution_count)


def waits_for_every_form_and_records_it(nb: NotebookNode, step: str) -> Faults:
    for cell, after in pairwise(nb.cells):
        if form(cell) and awaited(after) != form(cell):
            yield f"{cell.id} is not awaited in the next cell"
        if form(cell) and form(cell) not in recorded(nb):
            yield f"{cell.id} does not reach the record"
        if awaited(after) and awaited(after) != form(cell):
            yield f"{after.id} awaits something else than the form before it"
    lone = [cell.id for cell in code_cells(nb) if "await " in cell.source and not awaited(cell)]
    yield from (f"{ident} awaits and does something else" for ident in lone)


def starts_and_finishes_its_own_step(nb: NotebookNode, step: str) -> Faults:
    if [ast.unparse(call) for call in calls(nb, "start")] != [f"start('{step}', tenant, run_id)"]:
        yield "does not start its own step once"
    if len(calls(nb, "finish")) != 1 or not nb.cells[-1].source.startswith("finish(run"):
        yield "does not finish in its last cell"
    assigned = {name(one) for cell in code_cells(nb) for one in statements(cell) if isinstance(one, ast.Assign)}
    lost = {"raw", "findings"} & assigned - recorded(nb)
    yield from (f"{one} does not reach the record" for one in sorted(lost))


def asks_for_its_own_confirmation(nb: NotebookNode, step: str) -> Faults:
    keys = [ast.literal_eval(call.args[1]) for call in calls(nb, "attest")]
    if keys != CONFIRMATIONS.get(step, []):
        yield f"asks to confirm {keys}"


def names_facts_as_the_library_does(nb: NotebookNode, step: str) -> Faults:
    words, known = prose(nb), {one.name for one in vendors.permissions()}
    strangers = set(GUID.findall(words)) - set(vendors.facts()["cronofy"]["apps"])
    yield from (f"{guid} is no application of Cronofy's" for guid in strangers)
    wrong = set(re.findall(r"`([A-Z]\w+\.Read\w*(?:\.All)?)`", words)) - known - {"Places.Read.All"}
    yield from (f"{one} is no permission of Cronofy's" for one in sorted(wrong))
    for cell in nb.cells:
        if "Places.Read.All" in cell.source and "### Where the how-to is wrong" not in cell.source:
            yield f"{cell.id} repeats the how-to's misspelling without correcting it"
    yield from (f"{link} is not https" for link in re.findall(r"\]\((?!https://)[^)]*\)", words))


RULES: tuple[Rule, ...] = (
    is_a_valid_stable_notebook,
    begins_with_title_and_parameters,
    has_headings_in_order,
    says_in_prose_what_comes,
    keeps_cells_small_and_plain,
    carries_no_output,
    waits_for_every_form_and_records_it,
    starts_and_finishes_its_own_step,
    asks_for_its_own_confirmation,
    names_facts_as_the_library_does,
)


def test_there_is_one_notebook_for_each_step() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(STEPS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("step", STEPS)
def test_a_notebook(step: str, rule: Rule) -> None:
    assert list(rule(notebook(step), step)) == []


@pytest.mark.parametrize("step", ["00_preflight", "02_connect", "04_credentials", "05_permissions", "06_access"])
def test_a_mistake_of_the_how_to_is_corrected_where_it_would_be_followed(step: str) -> None:
    assert "### Where the how-to is wrong" in prose(notebook(step))


NOT_PLAIN = (
    "import os | from pandas import concat | %matplotlib inline | !whoami | if run: pass | 1 if run else 2"
    " | match run:\n  case _: pass | for one in findings: pass | [one for one in findings] | while run: pass"
    " | try: pass\nexcept Exception: pass | with run: pass | def f(): pass | class C: pass | del run | lambda: run"
    " | \n\n\n\n\n\n\n\n"
)


@pytest.mark.parametrize("lines", NOT_PLAIN.split(" | "))
def test_a_cell_that_is_not_small_and_plain_is_caught(lines: str) -> None:
    nb = notebook("06_access")
    nb.cells[-1].source = f"{lines}\nfinish(run, raw, findings, scopes, review)"
    assert len(list(keeps_cells_small_and_plain(nb, "06_access"))) == 1


def test_a_cell_that_shows_nothing_is_caught() -> None:
    nb = notebook("06_access")
    nb.cells[-1].source = "end = finish(run, raw, findings, scopes, review)"
    assert list(keeps_cells_small_and_plain(nb, "06_access")) == ["record-finish shows nothing"]


# Each rule against a notebook that breaks it: cell, what stands there, what is put in its place (nothing: no cell).
BREACHES: list[tuple[Rule, str, str, str | None]] = [
    (begins_with_title_and_parameters, "title", "# Step 6.", "# Step 7."),
    (begins_with_title_and_parameters, "before", "## Before you start", "## Before you start\n\n# Another title"),
    (begins_with_title_and_parameters, "parameters", '"contoso"', '"fabrikam"'),
    (begins_with_title_and_parameters, "parameters", "which run", "run_id=which run"),
    (has_headings_in_order, "look", "## Look", "## Record"),
    (has_headings_in_order, "look", "## Look", "## Look around"),
    (has_headings_in_order, "record", "## Record", ""),
    (says_in_prose_what_comes, "look-ask", "", None),
    (says_in_prose_what_comes, "judge-to-do", "**Expect:**", "Wait for:"),
    (says_in_prose_what_comes, "look-ask", "\n", "\n# "),
    (waits_for_every_form_and_records_it, "confirm-answer", "await review", "review"),
    (waits_for_every_form_and_records_it, "confirm-answer", "await review", "await run"),
    (waits_for_every_form_and_records_it, "confirm-answer", "await review", "await review\nreview"),
    (waits_for_every_form_and_records_it, "confirm-form", "review", "checked"),
    (waits_for_every_form_and_records_it, "record-finish", ", review", ""),
    (starts_and_finishes_its_own_step, "before-run", "06_access", "07_sync"),
    (starts_and_finishes_its_own_step, "record-finish", ", raw", ""),
    (starts_and_finishes_its_own_step, "record-finish", ", findings", ""),
    (starts_and_finishes_its_own_step, "record-finish", "finish(run", "tables.to_do(run"),
    (asks_for_its_own_confirmation, "confirm-form", "access-reviewed", "reviewed"),
    (names_facts_as_the_library_does, "do", "10bb7e5b", "10bb7e5c"),
    (names_facts_as_the_library_does, "before", "`Place.Read.All`", "`Places.ReadAll`"),
    (names_facts_as_the_library_does, "look", "## Look", "## Look\n\nFor Places.Read.All:"),
    (names_facts_as_the_library_does, "title", "https://", "http://"),
]


@pytest.mark.parametrize(("rule", "ident", "old", "new"), BREACHES)
def test_a_breach_is_caught(rule: Rule, ident: str, old: str, new: str | None) -> None:
    nb = notebook("06_access")
    (cell,) = (cell for cell in nb.cells if cell.id == ident)
    assert old in cell.source
    if new is None:
        nb.cells.remove(cell)
    else:
        cell.source = cell.source.replace(old, new)
    assert list(rule(nb, "06_access"))


def test_an_executed_or_retagged_or_foreign_notebook_is_caught() -> None:
    nb = notebook("06_access")
    nb.cells[-1].execution_count = 7
    nb.cells[-1].metadata["tags"] = ["skip-execution"]
    nb.cells[-1].id = "Cell_7"
    nb.metadata.kernelspec.name = "ir"
    rules = carries_no_output, begins_with_title_and_parameters, is_a_valid_stable_notebook
    assert [len(list(rule(nb, "06_access"))) for rule in rules] == [1, 1, 2]
