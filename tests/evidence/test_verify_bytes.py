"""One look at a run reads its own bytes once, and of earlier runs only what their seals need."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import verify_bytes


def test_the_newest_of_many_runs_is_read_once_and_of_the_others_only_their_heads(tmp_path: Path) -> None:
    read = verify_bytes.measured(tmp_path / "outputs", 12, 100)
    own, heads = read["bytes of the newest run"], read["bytes of the other heads"]
    assert own <= read["read to verify the newest"] <= 1.2 * own + heads
    assert read["read to verify all, times all bytes"] <= 1.2
