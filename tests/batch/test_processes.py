"""Processes of tenants and helpers leave nothing behind: no open file, no log, no orphan."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from runbook_lib.batch import process
from tests.benchmarks import idle

HELPER = """
import os, time
from runbook_lib.report import processes

with processes.helpers() as executor:
    print(executor.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def run_one() -> None:
    worker = process.Worker("contoso", idle.do_nothing, ((), ""), 60)
    while not worker.over:
        wait([worker.events], timeout=1.0)
        list(worker.news())


def open_files() -> list[str]:
    gc.collect()
    return sorted(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def test_a_tenant_s_process_leaves_no_open_file_and_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_one()  # the warm parent starts, and stays
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(open_files())
    for _ in range(3):
        run_one()
    assert len(open_files()) == before
    assert list(tmp_path.iterdir()) == []


def test_a_tenant_that_is_killed_leaves_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = process.Worker("contoso", idle.do_nothing, ((), ""), 60)
    worker.end(patience_seconds=0)
    assert list(tmp_path.iterdir()) == []


def test_a_helper_ends_with_its_parent_however_that_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", HELPER], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        helper = Path("/proc") / parent.stdout.readline().strip()
        assert helper.is_dir()
        os.kill(parent.pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while helper.is_dir() and time.monotonic() < until:
        time.sleep(0.05)
    assert not helper.is_dir()


@pytest.mark.parametrize("content", [b"no certificate", None])
def test_a_useless_bundle_of_certificates_stops_no_warm_parent(tmp_path: Path, content: bytes | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(bundle)}
    subprocess.run([sys.executable, "-c", "import runbook_lib.batch.preload"], env=environment, check=True)
