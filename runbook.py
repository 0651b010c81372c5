#!/usr/bin/env python3
"""Start the runbook on a machine that has nothing but Python: make .venv from the locks, then hand over.

python runbook.py demo         any command of the runbook; --help lists them
python runbook.py extras       add what clusters, archives in the cloud, notices and OSCAL need
python runbook.py test         every check that CI makes
python runbook.py test ARGS    pytest ARGS alone
python runbook.py lint         every check but the tests
"""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

# The syntax of this file stays readable for Python 3.6, so that an old one gets as far as this sentence.
OLDEST, NEWEST = (3, 11), (3, 14)
if not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.exit(
        "The runbook needs Python 3.11 to 3.14; this is {}.{}. Install one of those and start again with it, for "
        "example `python3.12 runbook.py` (on Windows `py -3.12 runbook.py`).".format(*sys.version_info)
    )

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON, PIP, RUNBOOK = (
    VENV / ("Scripts/{}.exe" if os.name == "nt" else "bin/{}").format(name) for name in ("python", "pip", "runbook")
)
BASE = getattr(sys, "_base_executable", sys.executable)  # .venv's own interpreter cannot replace itself
LOCKS = {
    "runtime": ROOT / "requirements.txt",
    "extras": ROOT / "requirements-extras.txt",
    "tests": ROOT / "tests" / "requirements.txt",
}
PATIENCE = 1800  # seconds that a second start waits for the first one's installation

LINT = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy", "--strict"),
    (
        "nbstripout",
        "--verify",
        "--keep-id",
        *sorted(f"notebooks/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")),
    ),
)
PYTEST = ("pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")  # two at a time, a file each

# The first pattern found in an installer's own words decides what to advise; the last one always matches.
REMEDIES = (
    ("No module named", "This Python lacks venv, or pip. On Debian and Ubuntu: `apt-get install python3-venv`."),
    ("DO NOT MATCH THE HASHES", "A file is not the one that the lock names. Do not go on; ask who runs your index."),
    ("No space left", "The disk is full; 1 GB is needed. Make room and start again."),
    ("WinError 32]", "Close what runs from .venv (JupyterLab, an editor), then start again."),
    ("WinError 5]", "Close what runs from .venv (JupyterLab, an editor), then start again."),
    (
        "",
        "Most often the package index was not reached. Check the network, a proxy (HTTPS_PROXY), your own index "
        "(PIP_INDEX_URL), its certificate (PIP_CERT); then start again. For a machine without network: run "
        "`python -m pip download --no-build-isolation -r requirements.txt -d wheels` on a like one that has it, bring "
        "the folder, and start with PIP_NO_INDEX=1 and PIP_FIND_LINKS=wheels set.",
    ),
)


def tell(words: str) -> None:
    """Say what is going on; standard output belongs to the runbook's own commands."""
    print(words, file=sys.stderr, flush=True)


def fingerprint(part: str) -> str:
    """Hash all that decides what is in .venv: another interpreter, place, project or lock is another environment."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    facts = (sys.implementation.cache_tag, str(ROOT), project["build-system"], project["project"])
    return hashlib.sha256(repr(facts).encode() + LOCKS[part].read_bytes()).hexdigest()


def stamp(part: str) -> Path:
    """Return the file that is written last, when a part is installed to its end."""
    return VENV / f"runbook-{part}.stamp"


def is_ready(part: str) -> bool:
    """Return whether a part is installed as the checkout wants it, to its end, for this interpreter."""
    with contextlib.suppress(FileNotFoundError):
        return PYTHON.exists() and RUNBOOK.exists() and stamp(part).read_text("utf-8") == fingerprint(part)
    return False


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one start at a time install. The lock is SQLite's: it works on every system and dies with its process."""
    import sqlite3

    file = ROOT / ".venv.lock"
    file.touch()  # where nothing can be written, the system's words are better than SQLite's
    with contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            tell("Another start is setting up .venv; waiting for it.")
            lock.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")
            lock.execute("BEGIN EXCLUSIVE")
        yield


def quietly(*command: "str | Path") -> None:
    """Run a command that shall be seen only when it fails.

    Raises:
        subprocess.CalledProcessError: it failed; `stdout` holds all it said.
    """
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def install(*arguments: "str | Path") -> None:
    """Install into .venv with uv where there is one and no PIP_ variable, which uv would not read; else with pip."""
    closed = ("--no-deps", "--no-build-isolation", *arguments)  # the locks name all there is, build backends too
    uv = shutil.which("uv")
    if uv and not any(name.startswith("PIP_") for name in os.environ):
        try:
            return quietly(uv, "pip", "install", "--quiet", "--python", PYTHON, *closed)
        except subprocess.CalledProcessError:
            tell("uv could not install the packages; trying pip.")
    pip = (PYTHON, "-m", "pip") if PIP.exists() else (BASE, "-m", "pip", "--python", PYTHON)
    return quietly(*pip, "--quiet", "--disable-pip-version-check", "--no-input", "install", "--no-compile", *closed)


def make_environment() -> None:
    """Make .venv anew, whatever is there, and install the locked packages and the project."""
    tell("Setting up .venv: this takes up to a minute, and is done once.")
    stamp("runtime").unlink(missing_ok=True)
    try:
        quietly(BASE, "-m", "venv", "--clear", VENV)
    except subprocess.CalledProcessError:  # Debian keeps what puts pip in there in a package of its own
        quietly(BASE, "-m", "venv", "--clear", "--without-pip", VENV)
    # The locked pip first: it needs half the time of the one that comes with Python 3.11 or 3.12.
    (pip,) = re.findall(r"^pip==.*(?:\n .*)*", LOCKS["runtime"].read_text("utf-8"), re.MULTILINE)
    (VENV / "pip.txt").write_text(pip, "utf-8")
    install("--require-hashes", "-r", VENV / "pip.txt")
    install("--require-hashes", "-r", LOCKS["runtime"])
    install("-e", ROOT)
    stamp("runtime").write_text(fingerprint("runtime"), "utf-8")


def add(part: str) -> None:
    """Install a part beside what is there."""
    tell(f"Adding the packages of {LOCKS[part].relative_to(ROOT)} to .venv.")
    install("--require-hashes", "-r", LOCKS[part])
    stamp(part).write_text(fingerprint(part), "utf-8")


def remedy(words: str) -> str:
    """Return what to do about an installation that failed with these words."""
    return next(advice for pattern, advice in REMEDIES if pattern in words)


def prepare(*parts: str) -> None:
    """Leave a .venv in which the parts are installed. Ends the program, with a remedy, where that cannot be done."""
    if all(map(is_ready, ("runtime", *parts))):
        return
    began = time.monotonic()
    try:
        with alone():
            if not is_ready("runtime"):
                make_environment()
            for part in parts:
                if not is_ready(part):
                    add(part)
    except subprocess.CalledProcessError as error:
        words = error.stdout.decode(errors="replace").strip()
        tell("\n".join(words.splitlines()[-20:]))
        sys.exit(f"The set-up failed in `{shlex.join(map(str, error.cmd))}`.\nWhat to do: {remedy(words)}")
    except OSError as error:
        sys.exit(f"The set-up failed: {error}\nWhat to do: remove .venv, and see that you may write to {ROOT}.")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The next start sets up .venv anew.")
    tell(f"Ready after {time.monotonic() - began:.0f} s.")


def hand_over(*command: "str | Path") -> NoReturn:
    """Become the command, or on Windows, which cannot, wait for it; its exit code is ours and Ctrl-C is its own."""
    if os.name != "nt":
        os.execv(command[0], [str(word) for word in command])
    process = subprocess.Popen(command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(process.wait())


def check(*commands: Sequence[str]) -> NoReturn:
    """Run every check, each announced, and end with 1 if any failed."""
    failed = []
    for command in commands:
        words = shlex.join(command)
        tell(f"$ {words}")
        if subprocess.run([PYTHON, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL).returncode:
            failed.append(words)
    sys.exit(f"Failed: {'; '.join(failed)}" if failed else 0)


def main(words: Sequence[str]) -> None:
    """Set up what the words after `runbook.py` need, then do them."""
    first, rest = (words[0] if words else ""), words[1:]
    if first not in ("extras", "lint", "test"):
        prepare()
        hand_over(RUNBOOK, *words)
    prepare("extras")
    if first == "extras":
        return
    prepare("tests")
    if first == "test" and rest:
        os.chdir(ROOT)
        hand_over(PYTHON, "-m", "pytest", *rest)
    check(*LINT, *([PYTEST] if first == "test" else []))


if __name__ == "__main__":
    main(sys.argv[1:])
