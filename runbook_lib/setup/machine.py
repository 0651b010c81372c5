"""What this computer brings to the evening, each question on its own: Python, packages, disk, proxies, tools."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from runbook_lib.clients.entra import token_cache
from runbook_lib.model import Status
from runbook_lib.runs import folder as run_folders

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.txt"
PACKAGE = "spaceiq-calendar-runbook"
OLDEST = (3, 11)
AGAIN = "Start again through: python runbook.py"
ENOUGH = 500 * 2**20
"""Bytes that an evening's run and JupyterLab may take on the disk; ours."""
PIN = re.compile(r"(?m)^([A-Za-z0-9][\w.-]*)==(\S+)( *;)?")

Row = tuple[str, Status, str, str]
"""What a look yields: subject, status, what was seen, what to do about it."""
Look = Callable[[], Iterator[Row]]


def installed(package: str) -> str:
    """Return the installed version, empty when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def python() -> Iterator[Row]:
    """Yield whether this Python is one that the runbook is tested with."""
    good = sys.version_info[:2] >= OLDEST
    saw = f"{platform.python_version()} on {platform.system()} {platform.release()}"
    yield "Python", Status.PASS if good else Status.FAIL, saw, "" if good else "Install Python 3.12, then: " + AGAIN


def needed(package: str = PACKAGE, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the installed packages that `package` needs, and those that they need, in the spelling of the lock."""
    try:
        lines = requires(package) or []
    except PackageNotFoundError:
        return seen
    for line in lines:
        name = re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", line, maxsplit=1)[0]).lower()
        if "extra ==" not in line and name not in seen:
            seen = needed(name, seen | {name})
    return seen


def packages(
    lock: Path = LOCK, found: Callable[[str], str] = installed, wanted: Callable[[], Collection[str]] = needed
) -> Iterator[Row]:
    """Compare what is installed with the lock; a pin with a condition may be meant for other systems."""
    if not lock.is_file():
        yield "packages", Status.NOT_APPLICABLE, "installed without the lock: versions are not compared", ""
        return
    pins: dict[str, set[str]] = {}
    conditional: set[str] = set()
    names = wanted()
    for name, pinned, condition in PIN.findall(lock.read_text(encoding="utf-8")):
        if name in names:
            pins.setdefault(name, set()).add(pinned)
            conditional |= {name} if condition else set()
    versions = {name: found(name) for name in pins}
    missing = sorted(name for name, have in versions.items() if not have and name not in conditional)
    other = sorted(f"{name} {have}" for name, have in versions.items() if have and have not in pins[name])
    if missing:
        yield "packages", Status.FAIL, f"not installed: {', '.join(missing)}", AGAIN
    if other:
        yield "packages", Status.PENDING, f"not the version of the lock: {', '.join(other)}", AGAIN
    if not (missing or other):
        yield "packages", Status.PASS, f"{sum(map(bool, versions.values()))} as in the lock", ""


def jupyterlab() -> Iterator[Row]:
    """Yield whether JupyterLab is there."""
    have = installed("jupyterlab")
    if have:
        yield "JupyterLab", Status.PASS, have, ""
    else:
        yield "JupyterLab", Status.FAIL, "not installed", AGAIN


def extras(found: Callable[[str], str] = installed) -> Iterator[Row]:
    """Yield what of the optional packages is there."""
    wanted = [re.match(r"([\w.-]+).*extra == [\"']([\w-]+)", line) for line in requires(PACKAGE) or ()]
    groups: dict[str, list[str]] = {}
    for one in filter(None, wanted):
        groups.setdefault(one[2], []).append(one[1])
    there = sorted(extra for extra, names in groups.items() if all(map(found, names)))
    absent = sorted(groups.keys() - there)
    if there or not groups:
        yield "extras", Status.PASS, ", ".join(there) or "there are none", ""
    if absent:
        yield (
            "extras",
            Status.NOT_APPLICABLE,
            f"without {', '.join(absent)}",
            "If you want them: python runbook.py extras",
        )


def outputs(folder: Path | None = None) -> Iterator[Row]:
    """Try to write where the runs are kept, and measure the space there."""
    place = folder or run_folders.home("outputs")
    try:
        run_folders.make(place)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        remedy = "Name a folder of yours in RUNBOOK_OUTPUTS, or correct its rights."
        yield "outputs folder", Status.FAIL, f"{place} cannot be written: {error.strerror}", remedy
        return
    yield "outputs folder", Status.PASS, str(place), ""
    free = shutil.disk_usage(place).free
    good = free >= ENOUGH
    yield (
        "free disk",
        Status.PASS if good else Status.FAIL,
        f"{free / 2**30:.1f} GiB",
        "" if good else f"Free {ENOUGH // 2**20} MiB, or name another folder in RUNBOOK_OUTPUTS.",
    )


def proxies(environment: Mapping[str, str] = os.environ) -> Iterator[Row]:
    """Yield the proxies and certificate files of the environment, without the passwords in them."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        value = environment.get(name) or environment.get(name.lower())
        if value:
            plain = re.sub(r"^\w+://|/*$", "", value.rpartition("@")[2])  # a password may hold any sign
            yield name, Status.PASS, plain, ""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if file := environment.get(name):
            good = Path(file).exists()
            remedy = "" if good else f"Correct or unset {name}."
            yield name, Status.PASS if good else Status.FAIL, f"{file}{'' if good else ' is not there'}", remedy


def store() -> Iterator[Row]:
    """Yield whether a person's sign-in can be kept encrypted."""
    why_not = token_cache.why_not()
    if not why_not:
        yield "encrypted store", Status.PASS, "a person's sign-in lasts for all notebooks of the evening", ""
        return
    remedy = "It works without. " + (
        "For one: pip install pygobject, with the system's packages python3-gi and gir1.2-secret-1."
        if sys.platform.startswith("linux")
        else ""
    )
    yield "encrypted store", Status.NOT_APPLICABLE, f"each notebook asks again, because {why_not}", remedy.strip()


def tools() -> Iterator[Row]:
    """Yield whether the tools that sign and stamp an archive are there."""
    needed = {"ssh-keygen": ("signs a seal", "the OpenSSH client"), "openssl": ("checks a time stamp", "OpenSSL")}
    for tool, (what, package) in needed.items():
        path = shutil.which(tool)
        if path:
            yield tool, Status.PASS, path, ""
        else:
            yield tool, Status.NOT_APPLICABLE, f"not found; it {what}", f"If you want that, install {package}."


LOOKS: Mapping[str, Look] = {
    "python": python,
    "packages": packages,
    "jupyterlab": jupyterlab,
    "extras": extras,
    "outputs": outputs,
    "proxies": proxies,
    "store": store,
    "tools": tools,
}
"""Every look at this computer; none needs another."""
