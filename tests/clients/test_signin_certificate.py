"""The file with which the runbook itself signs in: what it may look like, and what is wrong with the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from runbook_lib.clients.entra import certificate
from runbook_lib.errors import CertificateError

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
PASSPHRASE = "correct horse"
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def issued(key: Key, first: datetime = NOW - timedelta(1), last: datetime = NOW + timedelta(1)) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Calendar Runbook")])
    blank = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    return blank.public_key(key.public_key()).not_valid_before(first).not_valid_after(last).sign(key, hashes.SHA256())


def key_pem(key: Key, encryption: KeySerializationEncryption, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


LOCK = BestAvailableEncryption(PASSPHRASE.encode())
GOOD = issued(KEY)
MINE = key_pem(KEY, NoEncryption())
PLAIN = MINE + pem(GOOD)
LOCKED = key_pem(KEY, LOCK) + pem(GOOD)
PFX = pkcs12.serialize_key_and_certificates(b"runbook", KEY, GOOD, [issued(OTHER)], LOCK)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (PLAIN, ""),
        (PLAIN, "a passphrase that this file does not need"),
        (pem(GOOD) + MINE, ""),
        (pem(issued(OTHER), GOOD) + MINE, ""),
        (key_pem(KEY, NoEncryption(), PrivateFormat.TraditionalOpenSSL) + pem(GOOD), ""),
        (b"Bag Attributes\r\n" + PLAIN.replace(b"\n", b"\r\n"), ""),
        (LOCKED, PASSPHRASE),
        (key_pem(KEY, LOCK, PrivateFormat.TraditionalOpenSSL) + pem(GOOD), PASSPHRASE),
        (PFX, PASSPHRASE),
        (pkcs12.serialize_key_and_certificates(None, KEY, GOOD, None, NoEncryption()), ""),
    ],
    ids=[
        "plain",
        "needless",
        "turned",
        "and issuer",
        "old form",
        "Windows",
        "locked",
        "old, locked",
        "PFX",
        "open PFX",
    ],
)
def test_every_usual_file_gives_the_key_and_its_own_certificate(tmp_path: Path, content: bytes, password: str) -> None:
    file = tmp_path / "runbook.pem"
    file.write_bytes(content)
    pair = certificate.read(file, password, NOW)
    assert pair.key.private_numbers() == KEY.private_numbers()
    assert pair.certificate == GOOD
    assert x509.load_pem_x509_certificate(pair.public_pem.encode()) == GOOD


def test_a_file_is_loaded_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[bytes] = []

    def load(data: bytes, password: bytes | None) -> object:
        loads.append(data)
        return load_pem_private_key(data, password)

    monkeypatch.setattr(certificate, "load_pem_private_key", load)
    file = tmp_path / "runbook.pem"
    file.write_bytes(PLAIN)
    first = certificate.read(file, "", NOW)
    assert certificate.read(file, "", NOW) is first
    assert len(loads) == 1
    with pytest.raises(CertificateError, match="not today"):
        certificate.read(file, "", NOW + timedelta(days=9))  # a file that is loaded may still have run out
    file.write_bytes(key_pem(OTHER, NoEncryption()) + pem(issued(OTHER)))
    os.utime(file, ns=(1, 1))
    assert certificate.read(file, "", NOW).key.private_numbers() == OTHER.private_numbers()


def test_a_loaded_key_opens_for_no_other_passphrase(tmp_path: Path) -> None:
    file = tmp_path / "runbook.pem"
    file.write_bytes(LOCKED)
    pair = certificate.read(file, PASSPHRASE, NOW)
    assert "key=" not in repr(pair)
    with pytest.raises(CertificateError, match="another passphrase"):
        certificate.read(file, "wrong", NOW)


@pytest.mark.parametrize("password", ["", PASSPHRASE], ids=["open", "protected"])
def test_a_certificate_made_here_signs_in_for_a_year(tmp_path: Path, password: str) -> None:
    file = tmp_path / "keys" / "contoso.pem"
    made = certificate.make(file, "Calendar Runbook", password, NOW)
    assert certificate.read(file, password, NOW).certificate == made.certificate
    assert (b"ENCRYPTED" in file.read_bytes()) == bool(password)
    assert made.certificate.not_valid_after_utc == NOW + timedelta(days=365)
    if os.name == "posix":
        assert [path.stat().st_mode & 0o777 for path in (file, file.parent)] == [0o600, 0o700]
    with pytest.raises(CertificateError, match="is there already"):
        certificate.make(file, "Calendar Runbook", password, NOW)


FAULTS: Iterable[tuple[str, bytes, str, str]] = [
    ("no key", pem(GOOD), "", "holds no private key"),
    ("no certificate", MINE, "", "holds a key but no certificate"),
    ("another's certificate", MINE + pem(issued(OTHER)), "", "belongs to the private key"),
    ("expired", MINE + pem(issued(KEY, last=NOW - timedelta(minutes=1))), "", "2026-11-22, not today"),
    ("not yet valid", MINE + pem(issued(KEY, first=NOW + timedelta(hours=1))), "", "is valid from 2026-11-22 to"),
    ("no passphrase", LOCKED, "", "another passphrase"),
    ("wrong passphrase", LOCKED, "wrong", "another passphrase"),
    ("PFX, no passphrase", PFX, "", "another passphrase"),
    ("PFX, wrong passphrase", PFX, "wrong", "another passphrase"),
    ("PFX, no key", pkcs12.serialize_key_and_certificates(None, None, None, [GOOD], LOCK), PASSPHRASE, "not both"),
    ("elliptic curve", key_pem(CURVE, NoEncryption()) + pem(issued(CURVE)), "", "is not RSA"),
    ("damaged", PLAIN.replace(b"MII", b"!!!", 1), "", "is damaged"),
    ("damaged certificate", MINE + pem(GOOD)[:200] + b"\n-----END CERTIFICATE-----\n", "", "is damaged"),
    ("empty", b"", "", "another passphrase, or it is damaged"),
]


@pytest.mark.parametrize(("content", "password", "words"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_every_fault_is_named_with_its_remedy(tmp_path: Path, content: bytes, password: str, words: str) -> None:
    file = tmp_path / "runbook.pem"
    file.write_bytes(content)
    with pytest.raises(CertificateError, match=words) as caught:
        certificate.read(file, password, NOW)
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    assert str(tmp_path) not in str(caught.value)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (lambda _: None, "names no certificate"),
        (lambda folder: folder / "runbook.pem", "runbook.pem cannot be read: No such file"),
        (lambda folder: folder, "cannot be read"),
    ],
    ids=["none named", "missing", "a folder"],
)
def test_a_file_that_is_not_there_is_said_so(tmp_path: Path, place: Callable[[Path], Path | None], words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        certificate.read(place(tmp_path), "", NOW)
