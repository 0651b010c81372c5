"""Whatever is done to a sealed run shows: tamperings file by file, and forgers who know how sealing works."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import tampering


def test_no_tampering_and_no_forgery_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))  # the script names its own; this puts it back
    found = tampering.unnoticed(tmp_path)
    assert found == {
        "tamperings": 65,
        "tamperings unnoticed": [],
        "forgeries": 13,
        "forgeries unnoticed": [],
        "whole runs called changed": [],
        "runs counted": 3,
    }
