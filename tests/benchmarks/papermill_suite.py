"""Papermill's own tests, with papermill's engine and with ours as the default: what fails only with ours?

python -m tests.benchmarks.papermill_suite [PYTEST ARGUMENTS]      needs a package index; takes some minutes
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

CHECKOUT = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
NEEDED = ("pytest-mock", "pytest-env", "azure-datalake-store<2")
"""What papermill's tests import that no lock of ours has."""
PLUGIN = """\
from papermill.engines import papermill_engines
from runbook_lib.engine import RunbookEngine
papermill_engines.register(None, RunbookEngine)
"""


def fetch(place: Path) -> Path:
    """Unpack the source of the papermill that is installed here, its tests included, and return its folder."""
    wanted = f"papermill=={version('papermill')}"
    subprocess.run([*PIP, "download", "--no-binary", ":all:", "--no-deps", "-d", place, wanted], check=True)
    subprocess.run([*PIP, "install", "--no-deps", "--target", place / "needed", *NEEDED], check=True)
    with tarfile.open(next(place.glob("papermill-*.tar.gz"))) as archive:
        archive.extractall(place, filter="data")
    (place / "needed" / "ours_is_the_default.py").write_text(PLUGIN, encoding="utf-8")
    return next(path for path in place.glob("papermill-*") if path.is_dir())


def outcomes(source: Path, name: str, *options: str) -> dict[str, str]:
    """Run papermill's tests and return the outcome of each."""
    report = source.parent / f"{name}.xml"
    paths = os.pathsep.join([str(source.parent / "needed"), str(CHECKOUT)])
    command = [sys.executable, "-m", "pytest", "papermill/tests", "-q", "--continue-on-collection-errors"]
    subprocess.run(
        [*command, "--tb=short", "-p", "no:cacheprovider", f"--junitxml={report}", *options],
        cwd=source,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        bad = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        found[f"{case.get('classname')}::{case.get('name')}"] = bad
    return found


def main() -> int:
    """Run both, and print every test that comes out differently; the exit code is 1 when there is one."""
    with tempfile.TemporaryDirectory() as place:
        source = fetch(Path(place))
        stock = outcomes(source, "stock", *sys.argv[1:])
        ours = outcomes(source, "ours", "-p", "ours_is_the_default", *sys.argv[1:])
    for name, found in (("papermill's engine", stock), ("our engine", ours)):
        counts = {outcome: list(found.values()).count(outcome) for outcome in sorted(set(found.values()))}
        sys.stdout.write(f"{name}: {counts}\n")
    different = sorted(name for name in stock.keys() | ours.keys() if stock.get(name) != ours.get(name))
    for name in different:
        sys.stdout.write(f"{name}: {stock.get(name)} with papermill's engine, {ours.get(name)} with ours\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
