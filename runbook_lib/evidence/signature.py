"""The customer's own SSH key signs the seal, and says later whether it did. The one home of `ssh-keygen`.

`ssh-keygen -Y`, https://man.openbsd.org/ssh-keygen.1: a key in a file, or one that ssh-agent holds. Nothing prompts: a
key with a passphrase is for the agent.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from runbook_lib.errors import ArchiveError
from runbook_lib.evidence.bagit import SIGNATURE, TAG_MANIFEST, Fault, Kind

NAMESPACE = "spaceiq-calendar-runbook-seal"
"""What a signature is for: one made for a mail or a commit proves nothing about a run."""

ARMOR = re.compile(rb"-----BEGIN SSH SIGNATURE-----\n[A-Za-z0-9+/=\n]+\n-----END SSH SIGNATURE-----\n")


def fingerprint(key: Path) -> str:
    """Return the SHA-256 fingerprint of `key`, a private or public key file; raise ArchiveError when it is none."""
    listed = _ssh_keygen("-l", "-f", str(key))
    if listed.returncode or len(words := listed.stdout.split()) < 2:
        remedy = "Name an SSH key of yours: --key FILE, or the environment variable RUNBOOK_SIGNING_KEY."
        raise ArchiveError(f"{key} is not a readable SSH key.", remedy)
    return words[1].decode()


def sign(key: Path, content: bytes) -> bytes:
    """Return the signature of `key` on `content`; raise ArchiveError when the key refuses."""
    signed = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, content=content)
    if signed.returncode or not signed.stdout:
        said = signed.stderr.decode(errors="replace").strip().splitlines()
        raise ArchiveError(
            f"{key} did not sign: {said[-1] if said else 'no reason was given'}.",
            f"A key with a passphrase goes into the agent first (ssh-add {key}). Then seal again.",
        )
    return signed.stdout


def testimony(folder: Path, noted: str, allowed: Path | None) -> Iterator[str | Fault]:
    """Yield what the signature proves, or what is wrong with it.

    `noted` is the fingerprint in bag-info.txt, "" when the run was sealed unsigned; `allowed` lists whose signatures
    count, in ssh-keygen's ALLOWED SIGNERS format.
    """
    if not (folder / SIGNATURE).exists():
        if noted:
            yield Fault(Kind.SIGNATURE, SIGNATURE, f"The run was signed with {noted}; the signature is gone.")
        elif allowed:
            yield Fault(Kind.SIGNATURE, SIGNATURE, f"The run is not signed by anybody in {allowed}.")
        else:
            yield "It is not signed: who rewrites every hash is noticed only by the seal's number in the change ticket."
        return
    if not ARMOR.fullmatch((folder / SIGNATURE).read_bytes()):
        yield Fault(Kind.SIGNATURE, SIGNATURE, "It is not a signature and nothing else, as ssh-keygen writes one.")
        return
    holder, whose = _principal(folder, allowed)
    ask = ("verify", "-f", str(allowed), "-I", holder) if holder else ("check-novalidate",)
    checked = _ssh_keygen(
        "-Y", *ask, "-n", NAMESPACE, "-s", str(folder / SIGNATURE), content=(folder / TAG_MANIFEST).read_bytes()
    )
    found = re.search(r"SHA256:[A-Za-z0-9+/]{43}", checked.stdout.decode(errors="replace"))
    if checked.returncode or not found:
        yield Fault(Kind.SIGNATURE, SIGNATURE, "It is not the signature of this tag manifest.")
    elif noted and found[0] != noted:
        yield Fault(Kind.SIGNATURE, SIGNATURE, f"It is of {found[0]}; {noted} was noted at the sealing.")
    elif allowed and not holder:
        yield Fault(Kind.SIGNATURE, SIGNATURE, f"{found[0]} signed, who is nobody in {allowed}.")
    else:
        later = "" if noted else " after it was sealed"
        yield f"Signed{later} with the key {found[0]}{whose}."


def _principal(folder: Path, allowed: Path | None) -> tuple[str, str]:
    """Return whose key it is by the list of allowed signers, and the same in words."""
    if allowed is None:
        return "", "; whose it is nobody said: name a file of allowed signers to know"
    if not allowed.is_file():
        remedy = "Name the file of allowed signers: --signers FILE, or RUNBOOK_ALLOWED_SIGNERS."
        raise ArchiveError(f"There is no file {allowed}.", remedy)
    found = _ssh_keygen("-Y", "find-principals", "-s", str(folder / SIGNATURE), "-f", str(allowed))
    holder = "" if found.returncode else found.stdout.decode(errors="replace").splitlines()[0]
    return holder, f" of {holder}"


def _ssh_keygen(*arguments: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen without a terminal to ask at."""
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],  # noqa: S607 - whichever the system has: its place differs
            input=content,
            capture_output=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        remedy = "Install OpenSSH (Windows: Settings > Optional features > OpenSSH Client)."
        raise ArchiveError(f"ssh-keygen cannot be started: {error.strerror}.", remedy) from error
