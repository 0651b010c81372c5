"""A customer's SSH key signs the seal: whoever rewrites every hash is noticed, and a key that refuses harms nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence import bagit, seal, signature, verify
from runbook_lib.evidence.bagit import INFO, MANIFEST, SIGNATURE, TAG_MANIFEST, WITNESSES, Kind
from runbook_lib.evidence.trust import Trust
from runbook_lib.runs import folder as run_folders
from tests.fake_runs import NOW, payload, two_steps


def new_key(path: Path, passphrase: str = "") -> Path:
    """Make an SSH key pair."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path, "-C", "dana"], check=True)
    return path


@pytest.fixture
def dana(tmp_path: Path) -> Trust:
    """Dana's key, and the list of allowed signers that names her."""
    key = new_key(tmp_path / "dana")
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"dana@contoso.com {key.with_suffix('.pub').read_text()}")
    return Trust(key=key, signers=signers)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, not sealed."""
    return two_steps(tmp_path / "outputs")


@pytest.fixture
def signed(run: Path, dana: Trust) -> Path:
    """The same run, sealed and signed."""
    return seal.seal(run, clock=lambda: NOW, by=dana)


def seal_by_hand(folder: Path) -> None:
    """Calculate every hash again, as whoever tampers with a run would."""
    for name, under in ((MANIFEST, "data"), (TAG_MANIFEST, "")):
        listed = bagit.hashes(folder, under)
        kept = {path: its for path, its in listed.items() if under or not path.startswith(("data/", *WITNESSES))}
        write(folder / name, bagit.manifest(kept).encode())


def write(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def change_a_table(folder: Path) -> None:
    path = folder / "data/tables/06_access.scopes.csv"
    write(path, path.read_bytes().swapcase())


def forge(folder: Path) -> None:
    change_a_table(folder)
    seal_by_hand(folder)


def forge_and_drop_the_signature(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    forge(folder)


def forge_and_say_that_nobody_signed(folder: Path) -> None:
    (folder / SIGNATURE).unlink()
    lines = (folder / INFO).read_text().splitlines(keepends=True)
    write(folder / INFO, "".join(line for line in lines if not line.startswith("Signing-Key")).encode())
    forge(folder)


def sign_anew(folder: Path) -> None:
    forge(folder)
    mallory = new_key(folder.parent.parent / "mallory")
    write(folder / SIGNATURE, signature.sign(mallory, (folder / TAG_MANIFEST).read_bytes()))


def spoil_the_signature(folder: Path) -> None:
    write(folder / SIGNATURE, b"hello")


FORGERIES = [forge, forge_and_drop_the_signature, forge_and_say_that_nobody_signed, sign_anew, spoil_the_signature]


def test_the_signature_tells_whose_it_is(signed: Path, dana: Trust) -> None:
    assert verify.verify(signed, dana) == ()
    assert verify.verdict(signed, dana).proofs[0].endswith(" of dana@contoso.com.")
    assert "whose it is nobody said" in verify.verdict(signed).proofs[0]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_whoever_calculates_every_hash_again_is_betrayed_by_the_signature(
    signed: Path, dana: Trust, forgery: Callable[[Path], None]
) -> None:
    forgery(signed)
    assert [(one.kind, one.path) for one in verify.verify(signed, dana)] == [(Kind.SIGNATURE, SIGNATURE)]


def test_without_a_list_of_signers_a_forged_run_that_says_unsigned_is_told_to_rest_on_the_number(signed: Path) -> None:
    number = verify.seal_hash(signed)
    forge_and_say_that_nobody_signed(signed)
    assert verify.verify(signed) == ()
    assert "only by the seal's number in the change ticket" in verify.verdict(signed).proofs[0]
    assert verify.seal_hash(signed) != number


def test_a_good_signature_of_a_stranger_is_named(run: Path, dana: Trust, tmp_path: Path) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(key=new_key(tmp_path / "stranger")))
    [fault] = verify.verify(run, dana)
    assert fault.kind is Kind.SIGNATURE
    assert "nobody in" in fault.detail


def test_another_allowed_signer_than_the_one_noted_is_named(signed: Path, dana: Trust, tmp_path: Path) -> None:
    sam = new_key(tmp_path / "sam")
    assert dana.signers is not None
    with dana.signers.open("a") as file:
        file.write(f"sam@contoso.com {sam.with_suffix('.pub').read_text()}")
    write(signed / SIGNATURE, signature.sign(sam, (signed / TAG_MANIFEST).read_bytes()))
    [fault] = verify.verify(signed, dana)
    assert "was noted at the sealing" in fault.detail


def test_nothing_asks_for_a_passphrase_even_where_a_desktop_could(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    askpass, asked = tmp_path / "askpass", tmp_path / "asked"
    askpass.write_text(f"#!/bin/sh\ntouch {asked}\necho 'open sesame'\n")
    askpass.chmod(0o755)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SSH_ASKPASS", str(askpass))
    with pytest.raises(ArchiveError, match="did not sign"):
        seal.seal(run, clock=lambda: NOW, by=Trust(key=locked(tmp_path)))
    assert not asked.exists()


def test_stock_tools_check_it_as_verify_txt_says(signed: Path, dana: Trust) -> None:
    words = (signed / "VERIFY.txt").read_text()
    command = words[words.index("ssh-keygen -Y verify") :].partition("\n\n")[0]
    checked = subprocess.run(
        ["bash", "-c", command.replace("allowed_signers", str(dana.signers))],
        cwd=signed,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert "Good" in checked.stdout
    assert signature.fingerprint(dana.key or Path()) in words
    assert "NOT SIGNED" not in words


def test_a_signature_for_another_purpose_does_not_count(signed: Path, dana: Trust) -> None:
    (signed / SIGNATURE).unlink()
    command = ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", str(dana.key), str(signed / TAG_MANIFEST)]
    subprocess.run(command, check=True, capture_output=True)
    assert {one.kind for one in verify.verify(signed, dana)} == {Kind.SIGNATURE}


def missing(folder: Path) -> Path:
    return folder / "no-key"


def locked(folder: Path) -> Path:
    return new_key(folder / "locked", passphrase="open sesame")


def no_key_at_all(folder: Path) -> Path:
    (folder / "photo").write_text("x")
    return folder / "photo"


@pytest.mark.parametrize("refusing", [missing, locked, no_key_at_all])
def test_a_key_that_refuses_leaves_the_run_as_it_was_and_sealing_can_be_repeated(
    run: Path, dana: Trust, tmp_path: Path, refusing: Callable[[Path], Path]
) -> None:
    key, before = refusing(tmp_path), payload(run)
    beside = sorted(run.iterdir())
    with pytest.raises(ArchiveError) as refused:
        seal.seal(run, clock=lambda: NOW, by=Trust(key=key))
    assert str(key) in refused.value.message
    assert refused.value.remedy
    assert not run_folders.is_sealed(run)
    assert (payload(run), sorted(run.iterdir())) == (before, beside)
    seal.seal(run, clock=lambda: NOW, by=dana)
    assert verify.verify(run, dana) == ()


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An ssh-agent without keys."""
    socket = f"/tmp/runbook-agent-{os.getpid()}"  # a socket's path may have no more than a hundred characters
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield
        process.terminate()


def test_a_key_with_a_passphrase_signs_from_the_agent(agent: None, run: Path, tmp_path: Path) -> None:
    key = locked(tmp_path)
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho 'open sesame'\n")
    askpass.chmod(0o755)
    told = {**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", key], env=told, check=True, capture_output=True)
    key.unlink()
    seal.seal(run, clock=lambda: NOW, by=Trust(key=key.with_suffix(".pub")))
    assert verify.verify(run) == ()


def test_the_environment_names_key_and_signers(run: Path, dana: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(dana.key))
    monkeypatch.setenv("RUNBOOK_ALLOWED_SIGNERS", str(dana.signers))
    seal.seal(run, clock=lambda: NOW)
    forge_and_say_that_nobody_signed(run)
    assert {one.kind for one in verify.verify(run)} == {Kind.SIGNATURE}


def test_without_ssh_keygen_the_message_says_so(run: Path, dana: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(run))
    with pytest.raises(ArchiveError, match="ssh-keygen cannot be started"):
        seal.seal(run, clock=lambda: NOW, by=dana)
    assert not run_folders.is_sealed(run)


def test_a_list_of_signers_that_is_not_there_is_an_error_and_not_a_verdict(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no file"):
        verify.verify(signed, Trust(signers=tmp_path / "absent"))


def test_a_seal_that_nobody_signed_can_be_signed_later(run: Path, dana: Trust) -> None:
    key = dana.key
    seal.seal(run, clock=lambda: NOW, by=Trust())
    number = verify.seal_hash(run)
    found = seal.close(run, Trust(key=key), stamped=False, clock=lambda: NOW)
    assert (found.intact, found.seal) == (True, number)
    assert found.proofs[0].startswith("Signed after it was sealed with the key SHA256:")
    assert verify.verdict(run, dana).proofs[0].endswith(" of dana@contoso.com.")
    signature = (run / SIGNATURE).read_bytes()
    with pytest.raises(ArchiveError, match="is sealed already"):
        seal.close(run, Trust(key=key), stamped=False, clock=lambda: NOW)
    with pytest.raises(ArchiveError, match="is signed"):
        seal.sign(run, Trust(key=key))
    assert (run / SIGNATURE).read_bytes() == signature


def test_a_changed_run_is_not_signed_later(run: Path, dana: Trust) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust())
    (run / "data/note.txt").write_text("later")
    with pytest.raises(ArchiveError, match="not as it was sealed"):
        seal.sign(run, dana)
    assert not (run / SIGNATURE).exists()
