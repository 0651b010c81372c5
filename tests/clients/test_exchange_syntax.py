"""The scripts for Exchange are PowerShell: parsed by a grammar that we did not write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tree_sitter
import tree_sitter_powershell
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_lib.clients.exchange import scripts as exchange_scripts
from tests.clients.test_exchange import HOSTILE, LIMITED, everything

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def nodes(text: str) -> Iterator[tree_sitter.Node]:
    """Yield every node of the parsed script, in order."""
    waiting = [PARSER.parse(text.encode()).root_node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def faults(text: str) -> list[str]:
    """Return where `text` is not PowerShell."""
    return [
        f"line {node.start_point.row + 1}: {node.text!r:.60}"
        for node in nodes(text)
        if node.type == "ERROR" or node.is_missing
    ]


def test_the_grammar_notices_what_is_not_powershell() -> None:
    assert faults("$a = @{ b = 'c' }\nif ($a) { Get-Thing }") == []
    assert faults("$a = @{ b = 'c'") != []
    assert faults("if $a { }") != []


@pytest.mark.parametrize("name", everything(LIMITED))
def test_every_script_is_powershell(name: str) -> None:
    assert faults(everything(LIMITED)[name]) == []


@given(
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), exclude_characters=exchange_scripts.QUOTES))
    | st.sampled_from(HOSTILE)
    | st.text("'\"`$(){}@#<>;|& \\a")
)
@settings(deadline=None)
def test_whatever_a_value_holds_it_is_one_text_for_powershell(value: str) -> None:
    written = exchange_scripts.literal(value)
    text = f"$Settings = @{{\n    a = {written}\n    b = @({written}, 'last')\n}}\nGet-Thing\n"
    assert faults(text) == []
    found = list(nodes(text))
    texts = [node.text.decode() for node in found if node.type == "verbatim_string_characters" and node.text]
    assert texts == [written, written, "'last'"]
    assert [node.text for node in found if node.type == "command_name"] == [b"Get-Thing"]
