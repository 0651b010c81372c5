"""A sealed run proves with stock tools that nothing changed, and says in words what did."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import bagit
import pytest

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit as bag
from runbook_lib.evidence import seal, verify
from runbook_lib.evidence.bagit import Kind
from tests.fake_runs import MICROSOFT, NOW, SANDBOX, TENANT, add, new_run, passing, payload, two_steps

TAGS = {"bagit.txt", "bag-info.txt", "VERIFY.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, not sealed."""
    return two_steps(tmp_path / "outputs")


@pytest.fixture
def sealed(run: Path) -> Path:
    """The same run, sealed."""
    return seal.seal(run, clock=lambda: NOW)


def overwrite(path: Path, content: bytes) -> None:
    """Write into a file that sealing made read-only."""
    path.chmod(0o644)
    path.write_bytes(content)


def kinds(folder: Path) -> set[tuple[Kind, str]]:
    """Return what verify noticed, without the sentences."""
    return {(fault.kind, fault.path) for fault in verify.verify(folder)}


def test_a_sealed_run_is_a_bag_that_others_tools_accept(sealed: Path) -> None:
    bag_of_others = bagit.Bag(str(sealed))
    bag_of_others.validate()
    assert bag_of_others.version_info == (1, 0)
    for manifest in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        checked = subprocess.run(["sha256sum", "-c", "--strict", manifest], cwd=sealed, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_sealing_touches_no_byte_of_the_payload_and_lists_every_file(run: Path) -> None:
    before = payload(run)
    seal.seal(run, clock=lambda: NOW)
    assert payload(run) == before
    listed = {line.split("  ", 1)[1] for line in (run / "manifest-sha256.txt").read_text().splitlines()}
    assert listed == {Path(path).relative_to(run).as_posix() for path in before}
    assert {path.name for path in run.iterdir() if path.is_file()} == TAGS
    assert verify.verify(run) == ()


def test_bag_info_names_tenant_run_cloud_and_size(sealed: Path) -> None:
    info = bagit.Bag(str(sealed)).info
    assert info["Bagging-Date"] == "2026-11-22"
    assert info["External-Identifier"] == f"contoso/{sealed.name}"
    assert info["Tenant-Id"] == TENANT["tenant_id"]
    assert info["Cloud"] == MICROSOFT["name"]
    assert info["Bag-Software-Agent"] == "spaceiq-calendar-runbook 0.1.0"
    files = payload(sealed)
    assert info["Payload-Oxum"] == f"{sum(map(len, files.values()))}.{len(files)}"
    assert "Internal-Sender-Description" not in info


def test_a_run_in_another_cloud_is_stamped_as_a_rehearsal(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    add(folder, "06_access", passing(), cloud=SANDBOX)
    seal.seal(folder, clock=lambda: NOW)
    assert bagit.Bag(str(folder)).info["Internal-Sender-Description"] == "rehearsal, not audit evidence"
    assert "Cloud sandbox: rehearsal, not audit evidence." in (folder / "VERIFY.txt").read_text()


def test_a_tenant_name_with_a_line_break_adds_no_label(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    add(folder, "06_access", passing(), tenant={**TENANT, "name": "Contoso\nPayload-Oxum: 1.1"})
    seal.seal(folder, clock=lambda: NOW)
    assert bagit.Bag(str(folder)).info["Source-Organization"] == "Contoso Payload-Oxum: 1.1"
    assert verify.verify(folder) == ()


def test_the_seal_is_the_number_that_the_instructions_tell_everyone_to_compare(sealed: Path) -> None:
    printed = subprocess.run(["sha256sum", "tagmanifest-sha256.txt"], cwd=sealed, capture_output=True, text=True)
    assert printed.stdout.split()[0] == verify.seal_hash(sealed)
    words = (sealed / "VERIFY.txt").read_text()
    for part in (
        "sha256sum -c manifest-sha256.txt",
        "certutil",
        "Get-FileHash",
        "runbook verify",
        "NOT SIGNED",
        "NO TIME STAMP",
    ):
        assert part in words
    assert f"holds {len(payload(sealed))} files" in words


def test_names_in_any_language_are_sealed(run: Path) -> None:
    (run / "data" / "Räume 会議室 a  b.txt").write_text("x")
    seal.seal(run, clock=lambda: NOW)
    bagit.Bag(str(run)).validate()
    assert verify.verify(run) == ()


def change_a_byte(folder: Path) -> None:
    overwrite(folder / "data/01_disconnect.ipynb", b'{"cells": [{}], "metadata": {}, "nbformat": 4}')


def change_without_size(folder: Path) -> None:
    path = folder / "data/01_disconnect.ipynb"
    overwrite(path, path.read_bytes().replace(b"4", b"5"))


def delete(folder: Path) -> None:
    (folder / "data/01_disconnect.ipynb").unlink()


def add_a_file(folder: Path) -> None:
    (folder / "data/tables/more.csv").write_text("a\n")


def add_beside(folder: Path) -> None:
    (folder / "note.txt").write_text("all is well\n")


def rename(folder: Path) -> None:
    (folder / "data/01_disconnect.ipynb").rename(folder / "data/01_disconnect.old.ipynb")


def swap(folder: Path) -> None:
    one, two = folder / "data/01_disconnect.json", folder / "data/06_access.json"
    first, second = one.read_bytes(), two.read_bytes()
    overwrite(one, second)
    overwrite(two, first)


def change_the_manifest(folder: Path) -> None:
    path = folder / "manifest-sha256.txt"
    overwrite(path, path.read_bytes().replace(b"0", b"1", 1))


def list_a_file_twice(folder: Path) -> None:
    path = folder / "manifest-sha256.txt"
    overwrite(path, path.read_bytes() + b"f" * 64 + b"  data/01_disconnect.ipynb\n")


def delete_the_manifest(folder: Path) -> None:
    (folder / "manifest-sha256.txt").unlink()


def change_line_ends(folder: Path) -> None:
    path = folder / "manifest-sha256.txt"
    overwrite(path, path.read_bytes().replace(b"\n", b"\r\n"))


def change_bag_info(folder: Path) -> None:
    path = folder / "bag-info.txt"
    overwrite(path, path.read_bytes().replace(b"Contoso", b"Fabrikam"))


def change_the_size_noted(folder: Path) -> None:
    path = folder / "bag-info.txt"
    overwrite(path, path.read_bytes().replace(b"Payload-Oxum: ", b"Payload-Oxum: 9"))


def damage_the_tag_manifest(folder: Path) -> None:
    path = folder / "tagmanifest-sha256.txt"
    overwrite(path, b"hello\n" + path.read_bytes())


def take_the_seal_away(folder: Path) -> None:
    (folder / "tagmanifest-sha256.txt").unlink()


def put_a_link(folder: Path) -> None:
    path = folder / "data/01_disconnect.ipynb"
    path.rename(folder.parent / "elsewhere.ipynb")
    path.symlink_to(folder.parent / "elsewhere.ipynb")


DISCONNECT, ACCESS = "data/01_disconnect.ipynb", "data/06_access.json"
MANIFEST, INFO, TAGMANIFEST = "manifest-sha256.txt", "bag-info.txt", "tagmanifest-sha256.txt"
TAMPERING: list[tuple[Callable[[Path], None], set[tuple[Kind, str]]]] = [
    (change_a_byte, {(Kind.CHANGED, DISCONNECT), (Kind.OXUM, INFO)}),
    (change_without_size, {(Kind.CHANGED, DISCONNECT)}),
    (delete, {(Kind.DELETED, DISCONNECT), (Kind.OXUM, INFO)}),
    (add_a_file, {(Kind.ADDED, "data/tables/more.csv"), (Kind.OXUM, INFO)}),
    (add_beside, {(Kind.ADDED, "note.txt")}),
    (rename, {(Kind.RENAMED, DISCONNECT)}),
    (
        swap,
        {
            (kind, f"data/{name}.json")
            for kind in (Kind.CHANGED, Kind.RECORD)
            for name in ("01_disconnect", "06_access")
        },
    ),
    (change_the_manifest, {(Kind.MANIFEST, MANIFEST), (Kind.CHANGED, "data/01_disconnect.ipynb")}),
    (list_a_file_twice, {(Kind.MANIFEST, MANIFEST)}),
    (delete_the_manifest, {(Kind.DELETED, MANIFEST)}),
    (change_line_ends, {(Kind.MANIFEST, MANIFEST)}),
    (change_bag_info, {(Kind.INFO, INFO)}),
    (change_the_size_noted, {(Kind.INFO, INFO), (Kind.OXUM, INFO)}),
    (damage_the_tag_manifest, {(Kind.MANIFEST, TAGMANIFEST)}),
    (take_the_seal_away, {(Kind.UNSEALED, TAGMANIFEST)}),
    (put_a_link, {(Kind.CHANGED, DISCONNECT), (Kind.OXUM, INFO)}),
]


@pytest.mark.parametrize(("tamper", "noticed"), TAMPERING, ids=[one.__name__ for one, _ in TAMPERING])
def test_every_tampering_is_noticed_and_nothing_else(
    sealed: Path, tamper: Callable[[Path], None], noticed: set[tuple[Kind, str]]
) -> None:
    tamper(sealed)
    assert kinds(sealed) == noticed
    assert all(fault.detail.endswith(".") for fault in verify.verify(sealed))


def test_any_single_flipped_byte_of_any_file_is_noticed(sealed: Path) -> None:
    number = verify.seal_hash(sealed)
    for path in [path for path in sealed.rglob("*") if path.is_file()]:
        good = path.read_bytes()
        overwrite(path, bytes([good[0] ^ 1]) + good[1:])
        assert verify.verify(sealed) or verify.seal_hash(sealed) != number, path
        path.write_bytes(good)
    assert verify.verify(sealed) == ()


def test_whoever_seals_a_changed_run_again_gets_another_number(sealed: Path) -> None:
    number = verify.seal_hash(sealed)
    change_without_size(sealed)
    take_the_seal_away(sealed)
    seal.seal(sealed, clock=lambda: NOW)
    assert verify.verify(sealed) == ()
    assert verify.seal_hash(sealed) != number


def test_a_record_that_contradicts_its_raw_answer_is_noticed_even_when_every_hash_was_calculated_again(
    sealed: Path,
) -> None:
    overwrite(sealed / "data/06_access.raw.json", b"{}\n")
    for name, under in ((MANIFEST, "data"), (TAGMANIFEST, "")):
        listed = bag.hashes(sealed, under)
        beside = {path: content for path, content in listed.items() if under or ("/" not in path and path != name)}
        overwrite(sealed / name, bag.manifest(beside).encode())
    assert (Kind.RECORD, ACCESS) in kinds(sealed)


def test_a_manifest_that_points_outside_reads_nothing_outside(sealed: Path) -> None:
    outside = sealed.parent / "outside.txt"
    outside.write_text("secret")
    line = f"{bag.sha256(outside)}  data/../../outside.txt\n"
    path = sealed / "manifest-sha256.txt"
    overwrite(path, path.read_bytes() + line.encode())
    assert (Kind.DELETED, "data/../../outside.txt") in kinds(sealed)


def test_sealed_files_are_protected_against_saving_over_them(sealed: Path) -> None:
    assert not any(path.stat().st_mode & 0o222 for path in sealed.rglob("*") if path.is_file())


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_verdict(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(bag, "sha256", denied)
    for refused in (verify.verify, verify.seal_hash):
        with pytest.raises(ArchiveError, match="Permission denied"):
            refused(sealed)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for refused in (verify.verify, seal.seal, verify.seal_hash):
        with pytest.raises(ArchiveError):
            refused(tmp_path / "absent")
    assert kinds(tmp_path) == {(Kind.UNSEALED, TAGMANIFEST)}
