from datetime import UTC, datetime, timedelta

import pytest

from runbook_lib.sandbox.exchange.freebusy import Block, availability_view, merged

NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
HALF = timedelta(minutes=30)


def block(start: float, end: float, status: str = "busy") -> Block:
    """A block from `start` to `end`, in hours after nine."""
    return Block(NINE + timedelta(hours=start), NINE + timedelta(hours=end), status)


@pytest.mark.parametrize(
    ("blocks", "digits"),
    [
        ([], "0000"),
        ([block(0.5, 1)], "0200"),
        ([block(0.6, 0.7)], "0200"),  # a part of a slot fills it
        ([block(-1, 9)], "2222"),
        ([block(-1, 0), block(2, 3)], "0000"),  # what touches the window is outside it
        ([block(0, 1, "free"), block(1, 2, "workingElsewhere")], "0000"),
        ([block(0, 0.5, "tentative"), block(0.5, 1), block(1, 1.5, "oof")], "1230"),
    ],
)
def test_every_slot_has_the_digit_of_what_fills_it(blocks: list[Block], digits: str) -> None:
    assert availability_view(blocks, NINE, NINE + timedelta(hours=2), HALF) == digits


@pytest.mark.parametrize("order", [1, -1])
def test_of_overlapping_blocks_the_highest_digit_wins_in_any_order(order: int) -> None:
    blocks = [block(0, 2, "tentative"), block(0.5, 1.5, "busy"), block(1, 1.5, "oof"), block(0, 2, "workingElsewhere")]
    assert availability_view(blocks[::order], NINE, NINE + timedelta(hours=2), HALF) == "1231"


@pytest.mark.parametrize(("minutes", "slots"), [(120, 4), (121, 5), (149, 5), (150, 5), (30, 1), (1, 1)])
def test_a_last_slot_may_be_shorter(minutes: int, slots: int) -> None:
    assert len(availability_view([], NINE, NINE + timedelta(minutes=minutes), HALF)) == slots


def test_a_group_is_as_busy_as_its_busiest_member() -> None:
    assert merged(["0120", "1003", "0000"]) == "1123"
