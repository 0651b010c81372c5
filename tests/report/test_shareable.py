"""A copy to give away: no person in it, and every file tied to the sealed original by its hash."""

from __future__ import annotations

import csv
import html
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from typer.testing import CliRunner

from runbook_lib.cli import main
from runbook_lib.display import frames
from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, seal, verify
from runbook_lib.model import Confirmation, Finding, Look, Status
from runbook_lib.report import page as report_page
from runbook_lib.report.share import copy as shareable
from runbook_lib.report.share import redaction
from tests.fake_runs import NOW, SAID, add, new_run, passing, rooms, two_steps

PATTI = {"userPrincipalName": "patti.o'fern@contoso.example", "displayName": "Patti O'Fern", "id": "1"}
ROOM = {"userPrincipalName": "room1@contoso.example", "displayName": "Room 1", "id": "2"}
PEOPLE = ("Dana Admin", "dana", "Kim Chief", "Patti", "O&#39;Fern", "O'Fern", "patti", "dana@contoso.example")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A sealed run in which people occur in records, tables, raw answers and on the page."""
    folder = new_run(tmp_path / "outputs")
    saw = "granted by Patti O'Fern (patti.o'fern@contoso.example) for Room 1"
    add(folder, "01_disconnect", confirmations=(SAID, Confirmation("later", "words", by="dana@contoso.example")))
    raw = {"users": Look("users", NOW, (PATTI, ROOM), 2)}
    add(folder, "06_access", Finding("x", "y", Status.FAIL, saw), raw=raw, frames=(rooms(3),))
    add(folder, "07_sync", passing())
    report_page.write(folder, report_page.read(folder))
    return seal.seal(folder, clock=lambda: NOW)


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    """The copy of it."""
    return shareable.write(sealed, tmp_path / "give" / sealed.name)


def redacted(copy: Path) -> dict[str, list[str]]:
    """Return what REDACTED.csv says of each path: original hash, hash here, count."""
    with (copy / "REDACTED.csv").open(newline="") as file:
        return {path: rest for path, *rest in list(csv.reader(file))[1:]}


def test_no_person_is_left_and_rooms_stay(sealed: Path, copy: Path) -> None:
    texts = {path: path.read_text() for path in (copy / "data").rglob("*") if path.is_file()}
    assert {path.name for path in texts} >= {
        "01_disconnect.json",
        "06_access.json",
        "report.html",
        "06_access.rooms.csv",
    }
    assert not [(name, path.name) for name in PEOPLE for path, text in texts.items() if name in text]
    assert all(name in "".join(path.read_text() for path in sealed.rglob("*.*")) for name in PEOPLE)
    assert "room1@contoso.example" in texts[copy / "data/tables/06_access.rooms.csv"]
    found = json.loads(texts[copy / "data/06_access.json"])["findings"][0]["saw"]
    assert found.startswith("granted by person-")
    assert found.endswith("@contoso.example) for Room 1")


def test_a_person_is_the_same_person_everywhere(copy: Path) -> None:
    record = json.loads((copy / "data/01_disconnect.json").read_text())
    assert record["confirmations"][0]["by"] in record["people"]["executed"]
    assert record["confirmations"][0]["by"] in (copy / "data/report.html").read_text()


def test_notebooks_and_raw_answers_are_left_out_and_listed_with_their_hash(sealed: Path, copy: Path) -> None:
    original, _ = bagit.read_manifest(sealed / "manifest-sha256.txt")
    lines = redacted(copy)
    assert lines.keys() == original.keys()
    assert {path: its[0] for path, its in lines.items()} == original
    out = {path for path, its in lines.items() if its[1] == "left out"}
    assert out == {path for path in original if path.endswith((".ipynb", ".raw.json"))}
    assert not [path for path in out if (copy / path).exists()]


def test_every_file_is_tied_to_the_original_by_hashes_that_stock_tools_check(sealed: Path, copy: Path) -> None:
    for path, (original, here, count) in redacted(copy).items():
        assert here == "left out" or bagit.sha256(copy / path) == here
        assert (original == here) is (count == "0" and here != "left out")
    assert verify.seal_hash(sealed) in (copy / "README.txt").read_text()
    assert bagit.sha256(copy / "original/tagmanifest-sha256.txt") == verify.seal_hash(sealed)
    checked = subprocess.run(["sha256sum", "-c", "--strict", "manifest-sha256.txt"], cwd=copy, capture_output=True)
    assert checked.returncode == 0
    assert verify.verify(sealed) == ()


def test_only_a_run_that_is_as_it_was_sealed_is_copied(sealed: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="not sealed"):
        shareable.write(two_steps(tmp_path / "other"), tmp_path / "copy")
    (sealed / "data/more.txt").write_text("x")
    with pytest.raises(ArchiveError, match=r"added: data/more\.txt"):
        shareable.write(sealed, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_copy_is_not_written_over_another(sealed: Path, copy: Path) -> None:
    with pytest.raises(ArchiveError, match="is there already"):
        shareable.write(sealed, copy)


def test_a_copy_that_cannot_be_finished_leaves_nothing(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, __: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(ArchiveError, match="No space left"):
        shareable.write(sealed, tmp_path / "give" / "copy")
    assert list((tmp_path / "give").iterdir()) == []


def test_the_command_seals_first_if_need_be_and_the_copy_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    folder = two_steps(tmp_path / "outputs")
    done = CliRunner().invoke(main.app, ["seal", "contoso", "--shareable", "--json"])
    answer = json.loads(done.output)
    assert answer["shareable"] == str(tmp_path / "outputs/_shareable/contoso" / folder.name)
    assert verify.verify(folder) == ()
    assert [row["tenant"] for row in json.loads(CliRunner().invoke(main.app, ["status", "--json"]).output)] == [
        "contoso"
    ]


HOSTILE = [
    ('Dana "Didi" Admin', "dana_gmail.com#EXT#@contoso.onmicrosoft.example"),
    ("Back\\slash Guy", "back.slash@contoso.example"),
    ("Rick & Dee", "r&d!lead@contoso.example"),
    ("Zoë <script>", "zoë@contoso.example"),
    ("O'Hara \"x\" & 'y' \\", "o'hara+test@contoso.example"),
    ("张伟", "zhang=wei@contoso.example"),
    ("Ann  Two Blanks", "a/b?c@contoso.example"),
    ("Comma, Sam", "{sam}|x@contoso.example"),
    ("100% Max", "100%max@contoso.example"),
]


def everywhere(name: str, account: str) -> tuple[Finding, ...]:
    """Return findings that name somebody in every form that a text of a service may hold."""
    forms = {
        "plain": name,
        "page": html.escape(name),
        "page twice": html.escape(html.escape(name)),
        "JSON": json.dumps({"displayName": name, "userPrincipalName": account}),
        "JSON in letters of its own": json.dumps([name, account], ensure_ascii=False),
        "link": f"https://portal.example/?who={quote(name, safe='')}&upn={quote_plus(account)}",
        "account": f"({account}), '{account}'; <{account.upper()}>",
        "row": f'"{name.replace(chr(34), chr(34) * 2)}","{account}"',
    }
    return tuple(
        Finding("x", f"{form} of {name}", Status.FAIL, f"granted by {words}.") for form, words in forms.items()
    )


def decoded(text: str) -> Iterator[str]:
    """Yield what a reader of a file may see in it, by programs of his own."""
    yield text
    yield html.unescape(text)
    yield html.unescape(html.unescape(text))
    yield unquote_plus(html.unescape(text))
    yield text.replace('""', '"')
    yield re.sub(r"\\u([0-9a-f]{4})|\\(.)", lambda found: chr(int(found[1], 16)) if found[1] else found[2], text)


@pytest.mark.parametrize(("name", "account"), HOSTILE)
def test_nobody_is_named_in_any_form_in_which_a_name_or_account_may_stand(
    tmp_path: Path, name: str, account: str
) -> None:
    folder = new_run(tmp_path / "outputs")
    person = {"userPrincipalName": account, "displayName": name, "id": "1"}
    add(folder, "06_access", *everywhere(name, account), raw={"users": Look("users", NOW, (person, ROOM), 2)})
    add(folder, "07_sync", passing(), confirmations=(Confirmation("k", f"{name} said so", True, name, NOW, "form"),))
    table = frames.table("who", [{"who": name, "account": account, "both": f"{name} <{account}>"}], ["who", "account"])
    add(folder, "05_permissions", passing(), frames=(table, rooms(3)))
    report_page.write(folder, report_page.read(folder))
    seal.seal(folder, clock=lambda: NOW)
    copy = shareable.write(folder, tmp_path / "give")
    local = account.partition("@")[0]
    for path in (copy / "data").rglob("*"):
        seen = list(decoded(path.read_text("utf-8"))) if path.is_file() else []
        for word in (name, account, local, local.partition("#EXT#")[0]):
            assert not [text for text in seen if word.lower() in text.lower()], (path.name, word)
    assert "room1@contoso.example" in (copy / "data/tables/05_permissions.rooms.csv").read_text("utf-8-sig")


def test_a_copy_in_which_somebody_would_still_be_named_is_not_made(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(redaction.HOW, ".csv", lambda content, _: content + "Patti O'Fern")
    with pytest.raises(ArchiveError, match="would still name a person") as refused:
        shareable.write(sealed, tmp_path / "give")
    assert "Patti" not in str(refused.value)
    assert not (tmp_path / "give").exists()
