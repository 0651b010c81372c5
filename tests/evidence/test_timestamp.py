"""A time stamp authority on loopback, made of openssl's own: what it stamped, what it proves, and when it is silent."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from runbook_lib.errors import ArchiveError, UsageError
from runbook_lib.evidence import seal, timestamp, verify
from runbook_lib.evidence.bagit import STAMP, Kind
from runbook_lib.evidence.trust import Trust
from runbook_lib.runs import folder as run_folders
from tests.fake_runs import NOW, two_steps

CONFIGURATION = """
[req]
distinguished_name = name
x509_extensions = stamping
prompt = no
[name]
CN = Test authority
[stamping]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = authority
[authority]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
"""


class Authority:
    """Where it listens, the certificate that vouches for it, and what it is to answer instead of a time stamp."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.instead, self.url, self.drip = folder, b"", "", 0.0
        folder.mkdir()
        (folder / "openssl.cnf").write_text(CONFIGURATION)
        (folder / "serial").write_text("01\n")
        self.certificate = folder / "authority.pem"
        new = "req -x509 -newkey rsa:2048 -nodes -days 30 -config openssl.cnf -keyout key.pem -out authority.pem"
        subprocess.run(["openssl", *new.split()], cwd=folder, check=True, capture_output=True)

    def stamp(self, question: bytes) -> bytes:
        (self.folder / "question.tsq").write_bytes(question)
        reply = "ts -reply -config openssl.cnf -queryfile question.tsq -signer authority.pem -inkey key.pem"
        done = subprocess.run(["openssl", *reply.split()], cwd=self.folder, check=True, capture_output=True)
        return self.instead or done.stdout


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    made = Authority(tmp_path / "authority")

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer = made.stamp(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            pieces = [answer[at : at + 100] for at in range(0, len(answer), 100)] if made.drip else [answer]
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # whoever asked has gone
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(made.drip)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Door) as server:
        made.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two steps, not sealed."""
    return two_steps(tmp_path / "outputs")


def told(folder: Path, by: Trust | None = None) -> str:
    """Return what is said about the time."""
    return verify.verdict(folder, by).proofs[1]


def test_a_stamped_seal_tells_its_time(run: Path, authority: Authority) -> None:
    by = Trust(authority=authority.url, authority_ca=authority.certificate)
    seal.seal(run, clock=lambda: NOW, by=by)
    assert verify.verify(run, by) == ()
    assert re.fullmatch(
        r"Time stamp of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, checked: authority.pem vouches for the authority.",
        told(run, by),
    )
    assert "not checked" in told(run)


def test_stock_tools_check_it_as_verify_txt_says(run: Path, authority: Authority) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    words = (run / "VERIFY.txt").read_text()
    [command] = [line for line in words.splitlines() if "openssl ts -verify" in line]
    command = command.replace("authority.pem", str(authority.certificate))
    checked = subprocess.run(command.split(), cwd=run, capture_output=True, text=True)
    assert "Verification: OK" in checked.stdout, checked.stderr


@pytest.mark.parametrize("instead", [b"<html>sorry</html>", bytes.fromhex("300530030201020000")])
def test_an_answer_that_is_no_time_stamp_is_not_kept(
    run: Path, authority: Authority, instead: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    authority.instead = instead
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    assert "is no time stamp on this seal" in caplog.text
    assert not (run / STAMP).exists()
    assert verify.verify(run) == ()


@pytest.mark.parametrize("silent", ["http://127.0.0.1:9/", "ftp://127.0.0.1/", "nonsense"])
def test_an_authority_that_does_not_answer_is_told_and_the_seal_stands(
    run: Path, silent: str, caplog: pytest.LogCaptureFixture
) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=silent))
    assert silent in caplog.text
    assert "The seal stands without it" in caplog.text
    assert run_folders.is_sealed(run)
    assert verify.verify(run) == ()
    assert told(run) == f"No time stamp: {silent} gave none at the sealing, or it was removed."


def test_a_time_stamp_of_another_seal_is_noticed(run: Path, authority: Authority, tmp_path: Path) -> None:
    by = Trust(authority=authority.url, authority_ca=authority.certificate)
    other = seal.seal(two_steps(tmp_path / "other"), clock=lambda: NOW.replace(day=1), by=by)
    seal.seal(run, clock=lambda: NOW, by=by)
    (run / STAMP).chmod(0o644)
    (run / STAMP).write_bytes((other / STAMP).read_bytes())
    for trusted in (by, Trust()):
        assert [(one.kind, one.path) for one in verify.verify(run, trusted)] == [(Kind.TIME, STAMP)]


def test_a_time_stamp_of_an_authority_that_the_certificate_does_not_vouch_for_is_noticed(
    run: Path, authority: Authority, tmp_path: Path
) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    stranger = Trust(authority_ca=Authority(tmp_path / "stranger").certificate)
    assert [(one.kind, one.path) for one in verify.verify(run, stranger)] == [(Kind.TIME, STAMP)]


def test_a_time_stamp_can_be_added_to_a_sealed_run_once(run: Path, authority: Authority) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority="http://127.0.0.1:9/"))
    number = verify.seal_hash(run)
    with pytest.raises(ArchiveError, match="did not answer"):
        seal.stamp(run, Trust(authority="http://127.0.0.1:9/"))
    by = Trust(authority=authority.url, authority_ca=authority.certificate)
    seal.stamp(run, by)
    assert (verify.verify(run, by), verify.seal_hash(run)) == ((), number)
    assert "checked: authority.pem vouches" in told(run, by)
    stamp = (run / STAMP).read_bytes()
    with pytest.raises(ArchiveError, match="has a time stamp"):
        seal.stamp(run, by)
    assert (run / STAMP).read_bytes() == stamp


def test_a_changed_run_gets_no_time_stamp_and_without_an_authority_nothing_is_tried(
    run: Path, authority: Authority
) -> None:
    seal.seal(run, clock=lambda: NOW)
    with pytest.raises(UsageError, match="RUNBOOK_TIMESTAMP_AUTHORITY"):
        seal.stamp(run)
    (run / "data/note.txt").write_text("later")
    with pytest.raises(ArchiveError, match="not as it was sealed"):
        seal.stamp(run, Trust(authority=authority.url))
    assert not (run / STAMP).exists()


def test_an_unasked_authority_leaves_no_word(run: Path) -> None:
    seal.seal(run, clock=lambda: NOW)
    assert told(run) == "No time stamp."


def der(tag: int, content: bytes) -> bytes:
    """Return one value of DER."""
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def with_status_text(stamp: bytes, words: str) -> bytes:
    """Return a time stamp whose unsigned status says something in words, as any holder of the folder can write it."""
    assert stamp[:2] == b"\x30\x82"
    status, token = stamp[4:9], stamp[9:]
    assert status == bytes.fromhex("3003020100")
    told = der(0x30, bytes.fromhex("020100") + der(0x30, der(0x0C, words.encode())))
    return der(0x30, told + token)


WORDS = ["Time stamp: Jan  1 00:00:00 2020 GMT", "\nTime stamp: Jan  1 00:00:00 2020 GMT\n", "Status: Granted."]


@pytest.mark.parametrize("words", WORDS)
def test_the_time_is_read_from_the_signed_part_whatever_stands_beside_it(
    run: Path, authority: Authority, words: str
) -> None:
    by = Trust(authority=authority.url, authority_ca=authority.certificate)
    seal.seal(run, clock=lambda: NOW, by=by)
    before = told(run, by)
    stamp = run / STAMP
    stamp.chmod(0o644)
    stamp.write_bytes(with_status_text(stamp.read_bytes(), words))
    assert told(run, by) == before
    assert "2020" not in told(run)


def test_an_earlier_answer_of_the_authority_is_not_taken_for_this_one(
    run: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    authority.instead = (run / STAMP).read_bytes()
    (run / STAMP).unlink()
    with pytest.raises(ArchiveError, match="is no time stamp on this seal"):
        seal.stamp(run, Trust(authority=authority.url))


@pytest.mark.parametrize(
    "spoil", [lambda stamp: stamp[:-1], lambda stamp: stamp + b"\0", lambda _: b""], ids=["cut", "longer", "empty"]
)
def test_a_time_stamp_that_is_not_whole_is_a_fault(
    run: Path, authority: Authority, spoil: Callable[[bytes], bytes]
) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    (run / STAMP).chmod(0o644)
    (run / STAMP).write_bytes(spoil((run / STAMP).read_bytes()))
    assert [(one.kind, one.path) for one in verify.verify(run)] == [(Kind.TIME, STAMP)]


def test_an_authority_whose_answer_drips_is_not_waited_for(
    run: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(timestamp, "SECONDS", 1)
    authority.drip = 0.2
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    assert "was not whole within 1 seconds" in caplog.text
    assert run_folders.is_sealed(run)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_certificate_file_that_holds_none_is_told(run: Path, authority: Authority, content: bytes) -> None:
    seal.seal(run, clock=lambda: NOW, by=Trust(authority=authority.url))
    empty = authority.folder / "empty.pem"
    empty.write_bytes(content)
    with pytest.raises(ArchiveError, match="holds no certificate"):
        verify.verify(run, Trust(authority_ca=empty))
