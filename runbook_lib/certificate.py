"""The certificate with which the runbook itself signs in: one file with key and certificate, PEM or PFX."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from runbook_lib.errors import CertificateError

PASSWORD = "RUNBOOK_CERTIFICATE_PASSWORD"  # noqa: S105 (the variable's name, not a password)
"""The environment variable with the passphrase of a protected file."""
MAKE_ONE = "In the tenant file, point sign_in.certificate to one PEM or PFX file with certificate and private key."


def read(file: Path | None, password: str, now: datetime) -> tuple[str, str]:
    """Return private key and certificate of `file` as PEM texts; `password` is empty for an unprotected file.

    Raises CertificateError for a file that is missing, holds no certificate with its RSA key, has another
    passphrase, or is not valid at `now`.
    """
    if file is None:
        raise CertificateError("The tenant file names no certificate.", MAKE_ONE)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CertificateError(f"The certificate {file.name} cannot be read: {error.strerror}.", MAKE_ONE) from error
    secret = password.encode() or None
    parse = _pem if b"-----BEGIN" in content else _pfx
    key, certificates = parse(content, secret, file.name)
    if not isinstance(key, RSAPrivateKey):
        raise CertificateError(f"The key in {file.name} is not RSA, which the sign-in needs.", "Make an RSA key.")
    certificate = next((one for one in certificates if one.public_key() == key.public_key()), None)
    if certificate is None:
        raise CertificateError(f"No certificate in {file.name} belongs to the private key in it.", MAKE_ONE)
    _check_dates(certificate, now, file.name)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, certificate.public_bytes(Encoding.PEM).decode()


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
