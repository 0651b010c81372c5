"""The certificate with which the runbook itself signs in: one file with key and certificate, PEM or PFX."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from runbook_lib.errors import CertificateError

PASSWORD = "RUNBOOK_CERTIFICATE_PASSWORD"  # noqa: S105 (the variable's name, not a password)
"""The environment variable with the passphrase of a protected file."""
MAKE_ONE = "In the tenant file, point sign_in.certificate to one PEM or PFX file with certificate and private key."


LIFE = timedelta(days=365)
"""How long a certificate made here is valid; ours, Entra takes any."""
KEY_BITS = 2048
"""As in https://learn.microsoft.com/entra/identity-platform/howto-create-self-signed-certificate (read 2026-11-22)."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, loaded and checked; the key never shows."""

    key: RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def public_der(self) -> bytes:
        """Return the certificate as an app registration takes it."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def public_pem(self) -> str:
        """Return the certificate, which anybody may see, as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()


def read(file: Path | None, password: str, now: datetime) -> KeyPair:
    """Return key and certificate of `file`; `password` is empty for an unprotected file.

    Raises CertificateError for a file that is missing, holds no certificate with its RSA key, has another
    passphrase, or is not valid at `now`.
    """
    if file is None:
        raise CertificateError("The tenant file names no certificate.", MAKE_ONE)
    try:
        seen = file.stat()
        pair = _load(file, password, (seen.st_mtime_ns, seen.st_size))
    except OSError as error:
        raise CertificateError(f"The certificate {file.name} cannot be read: {error.strerror}.", MAKE_ONE) from error
    _check_dates(pair.certificate, now, file.name)
    return pair


@lru_cache(maxsize=16)
def _load(file: Path, password: str, _version: tuple[int, int]) -> KeyPair:
    """Load a file once per process and version of it: OpenSSL takes 50 ms to check an RSA key, and steps are many."""
    content = file.read_bytes()
    secret = password.encode() or None
    parse = _pem if b"-----BEGIN" in content else _pfx
    key, certificates = parse(content, secret, file.name)
    if not isinstance(key, RSAPrivateKey):
        raise CertificateError(f"The key in {file.name} is not RSA, which the sign-in needs.", "Make an RSA key.")
    certificate = next((one for one in certificates if one.public_key() == key.public_key()), None)
    if certificate is None:
        raise CertificateError(f"No certificate in {file.name} belongs to the private key in it.", MAKE_ONE)
    return KeyPair(key, certificate)


def is_open(file: Path) -> bool:
    """Tell whether other accounts of this computer may read the file; on Windows its mode does not say."""
    return os.name == "posix" and bool(file.stat().st_mode & 0o077)


def issuer(der: bytes) -> str:
    """Return the organization that issued a certificate, or else its common name; empty when it says neither."""
    names = x509.load_der_x509_certificate(der).issuer
    found = [
        *names.get_attributes_for_oid(NameOID.ORGANIZATION_NAME),
        *names.get_attributes_for_oid(NameOID.COMMON_NAME),
    ]
    return str(found[0].value) if found else ""


def make(file: Path, name: str, password: str, now: datetime) -> KeyPair:
    """Write a new key with a self-signed certificate to `file`, for its owner only, and return them.

    The key is encrypted when there is a `password`. Raises CertificateError when the file exists or cannot be made.
    """
    key = generate_private_key(65537, KEY_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    blank = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    dated = blank.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + LIFE)
    pair = KeyPair(key, dated.sign(key, hashes.SHA256()))
    lock = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock) + pair.public_pem.encode())
    except FileExistsError as error:
        raise CertificateError(f"{file} is there already.", "Name another file, or use that one.") from error
    except OSError as error:
        raise CertificateError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from error
    return pair


def _pem(content: bytes, secret: bytes | None, name: str) -> tuple[object, list[x509.Certificate]]:
    blocks = re.findall(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.+?-----END [A-Z0-9 ]*PRIVATE KEY-----", content, re.S)
    if not blocks:
        raise CertificateError(f"{name} holds no private key.", MAKE_ONE)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise CertificateError(f"{name} holds a key but no certificate.", MAKE_ONE)
    encrypted = b"ENCRYPTED" in blocks[0]
    try:
        key = load_pem_private_key(blocks[0], secret if encrypted else None)
        return key, x509.load_pem_x509_certificates(content)
    except (ValueError, TypeError) as error:
        raise _unreadable(name, encrypted) from error


def _pfx(content: bytes, secret: bytes | None, name: str) -> tuple[object, list[x509.Certificate]]:
    try:
        key, certificate, others = pkcs12.load_key_and_certificates(content, secret)
    except ValueError as error:
        raise _unreadable(name, encrypted=True) from error
    if key is None or certificate is None:
        raise CertificateError(f"{name} holds a key or a certificate, but not both.", MAKE_ONE)
    return key, [certificate, *others]


def _unreadable(name: str, encrypted: bool) -> CertificateError:
    if encrypted:
        return CertificateError(
            f"{name} does not open: it is protected with another passphrase, or it is damaged.",
            f"Set the environment variable {PASSWORD} to its passphrase, then start again.",
        )
    return CertificateError(f"{name} is damaged: its key or certificate cannot be read.", MAKE_ONE)


def _check_dates(certificate: x509.Certificate, now: datetime, name: str) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        raise CertificateError(
            f"The certificate in {name} is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}, not today ({now:%Y-%m-%d}).",
            "Make a new one and upload it to the app registration under Certificates & secrets.",
        )
