"""The sandbox's secrets: certificates, keys and client secrets, made once and kept in the state folder (mode 0600)."""

import base64
import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

MICROSOFT_HOSTS = {  # login host -> its cloud's Graph host; https://learn.microsoft.com/graph/deployments
    "login.microsoftonline.com": "graph.microsoft.com",
    "login.windows.net": "graph.microsoft.com",
    "login.microsoft.com": "graph.microsoft.com",
    "sts.windows.net": "graph.microsoft.com",
    "login.microsoftonline.us": "graph.microsoft.us",
    "login.usgovcloudapi.net": "graph.microsoft.us",
    "login.partner.microsoftonline.cn": "microsoftgraph.chinacloudapi.cn",
    "login.chinacloudapi.cn": "microsoftgraph.chinacloudapi.cn",
}
SERVER_NAMES = ["localhost", "127.0.0.1", "::1", *MICROSOFT_HOSTS, *sorted(set(MICROSOFT_HOSTS.values()))]
YEAR = timedelta(days=365)


@dataclass(frozen=True)
class Identity:
    """A private key with its certificate: what signs tokens, or what proves the verifier app."""

    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def thumbprint(self, algorithm: hashes.HashAlgorithm) -> bytes:
        """The certificate's fingerprint, as x5t (SHA-1) or x5t#S256 carry it."""
        return self.certificate.fingerprint(algorithm)

    @property
    def key_id(self) -> str:
        """The kid of tokens: the SHA-1 thumbprint as unpadded base64url."""
        return base64.urlsafe_b64encode(self.thumbprint(hashes.SHA1())).rstrip(b"=").decode()  # noqa: S303 - as Entra


@dataclass(frozen=True)
class Credentials:
    """Everything in the state folder that proves something."""

    folder: Path
    signing: Identity
    verifier: Identity
    verifier_secret: str = field(repr=False)
    expired_secret: str = field(repr=False)
    people_password: str = field(repr=False)

    @property
    def ca_file(self) -> Path:
        """The certificate that clients must trust."""
        return self.folder / "ca.pem"

    @property
    def server_file(self) -> Path:
        """Key and certificate chain of the server."""
        return self.folder / "server.pem"

    @property
    def verifier_file(self) -> Path:
        """Key and certificate of the verifier app in one PEM file."""
        return self.folder / "verifier.pem"


def load(folder: Path, now: datetime) -> Credentials:
    """Read the state folder's credentials; make what is missing or expires within a day."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    soon = now + timedelta(days=1)
    _server_certificate(folder, now, soon)
    return Credentials(
        folder,
        signing=_identity(folder / "signing.pem", "Sandbox token signing", now, soon),
        verifier=_identity(folder / "verifier.pem", "SpaceIQ Calendar Runbook", now, soon),
        verifier_secret=_secret(folder / "verifier.secret"),
        expired_secret=_secret(folder / "verifier.expired.secret"),
        people_password=_secret(folder / "people.password"),
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _server_certificate(folder: Path, now: datetime, soon: datetime) -> None:
    """A fresh CA and server certificate, unless the ones there are still good."""
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    if ca_file.exists() and server_file.exists():
        certificate = x509.load_pem_x509_certificate(server_file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {str(name.value) for name in names}
        if certificate.not_valid_after_utc > soon and known >= set(SERVER_NAMES):
            return
    authority = trustme.CA(organization_name="Runbook sandbox")
    issued = authority.issue_cert(*SERVER_NAMES, not_after=now + YEAR)  # browsers refuse more than 398 days
    write_private(server_file, issued.private_key_and_cert_chain_pem.bytes())
    ca_file.write_bytes(authority.cert_pem.bytes())


def _identity(path: Path, name: str, now: datetime, soon: datetime) -> Identity:
    if path.exists():
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = serialization.load_pem_private_key(content, None)
        if certificate.not_valid_after_utc > soon and isinstance(key, rsa.RSAPrivateKey):
            return Identity(key, certificate)
    identity = make_identity(name, now)
    key_pem = identity.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(path, key_pem + identity.certificate.public_bytes(serialization.Encoding.PEM))
    return identity


def make_identity(name: str, now: datetime) -> Identity:
    """A new RSA key with a self-signed certificate, valid for a year."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + YEAR)
        .sign(key, hashes.SHA256())
    )
    return Identity(key, certificate)


def _secret(path: Path) -> str:
    """A secret from its file, made once, in the form that Entra gives its own."""
    if not path.exists():
        write_private(path, f"{secrets.token_urlsafe(3)[:3]}8Q~{secrets.token_urlsafe(34)[:34]}".encode())
    return path.read_text("ascii")
