"""What can go wrong, each with the sentence that an administrator needs next.

RunbookError                 anything below; exit code 1
├── UsageError               the caller's input is at fault; exit code 2
│   ├── SettingsError        a tenant or cloud file has faults (all of them, with file and line)
│   └── CertificateError     the certificate file is missing, unreadable or not a certificate with its key
├── CloudError               we could not look
│   ├── Unreachable          no answer, a broken connection, or a TLS certificate nobody vouches for
│   ├── SignInError          Microsoft Entra refused or timed out the sign-in
│   ├── GraphError           Microsoft Graph answered with an error
│   │   └── Forbidden        ... because the runbook's own sign-in lacks a permission, role or licence
│   └── UnsafeAddress        an answer pointed outside the cloud's own Graph host; the token was not sent
├── WrongTenant              an answer, token or account belongs to another tenant than the tenant file names
├── GateClosed               an earlier step's record does not allow this step yet; exit code 5
└── ArchiveError             the run's folder cannot be written, is sealed, or does not verify
"""

from __future__ import annotations


class RunbookError(Exception):
    """Something stopped the runbook: `message` says what, `remedy` says what to do about it."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "", link: str = "") -> None:
        """Keep the three sentences apart, so that notebook, terminal and JSON can each show them well."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.link = link

    def __str__(self) -> str:
        """Return message, remedy and link as one paragraph."""
        return " ".join(part for part in (self.message, self.remedy, self.link) if part)

    def _render_traceback_(self) -> list[str]:
        """Show words instead of a stack trace in notebooks (IPython calls this)."""
        lines = [self.message, f"What to do: {self.remedy}" if self.remedy else "", self.link]
        return [line for line in lines if line]


class UsageError(RunbookError):
    """The caller's input is at fault: an unknown tenant, a wrong option, a bad file."""

    exit_code = 2


class SettingsError(UsageError):
    """A tenant or cloud file has faults; `message` lists every one with its line."""


class CertificateError(UsageError):
    """The certificate for app-only sign-in cannot be used."""


class CloudError(RunbookError):
    """We could not look; nothing is known about the tenant."""


class Unreachable(CloudError):
    """The cloud did not answer, or its TLS certificate is not trusted here."""


class SignInError(CloudError):
    """Microsoft Entra refused the sign-in, or nobody completed it in time."""


class GraphError(CloudError):
    """Microsoft Graph answered with an error: HTTP `status`, error `code` and the `request_id` support asks for."""

    def __init__(self, message: str, remedy: str = "", *, status: int, code: str, request_id: str = "") -> None:
        """Keep what distinguishes one Graph error from another."""
        super().__init__(message, remedy)
        self.status = status
        self.code = code
        self.request_id = request_id


class Forbidden(GraphError):
    """Graph refused: the runbook's own sign-in lacks a permission, role or licence."""


class UnsafeAddress(CloudError):
    """An answer pointed outside the cloud's own Graph host, so the token was not sent there."""


class WrongTenant(RunbookError):
    """A token, account or answer belongs to another tenant than the tenant file names."""


class GateClosed(RunbookError):
    """An earlier step's record does not allow this step yet."""

    exit_code = 5


class ArchiveError(RunbookError):
    """The run's folder cannot be written, is already sealed, or does not verify."""
