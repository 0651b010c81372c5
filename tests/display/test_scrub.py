"""An echo of our own secret is found in thirty forms, and nothing that a service may well say is taken for one."""

from __future__ import annotations

import json
import secrets
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from runbook_lib.display import scrub
from tests.hostile import ECHOES, base64_deep

SECRET = "Kx7-mP2_qR9~tV4.wZ1aB6cD8eF"


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("secret", [SECRET, "0123456789abcdef0123456789abcdef", "päss w%rd/1234567"])
def test_an_echo_is_found_and_nothing_of_it_is_kept(echo: str, secret: str) -> None:
    said = ECHOES[echo](secret)
    answer = {"errors": [{"message": f"refused: {said}"}], "data": {"rooms": [{"name": "Berlin 1"}], said: 1}}
    assert scrub.holds(said.encode(), [secret])
    cleaned = scrub.answer(json.dumps(answer).encode(), [secret])
    assert not scrub.holds(cleaned, [secret])
    assert json.loads(cleaned)["data"]["rooms"] == [{"name": "Berlin 1"}]
    assert scrub.MASK in scrub.text(said, [secret])


def test_only_the_secret_is_left_out_of_a_sentence_that_holds_it_plainly() -> None:
    assert scrub.text(f"The token {SECRET} is old.", [SECRET]) == f"The token {scrub.MASK} is old."


def test_a_secret_in_pieces_leaves_no_answer_at_all() -> None:
    pieces = json.dumps({"value": [SECRET[:13], SECRET[13:]]}).encode()
    assert json.loads(scrub.answer(pieces, [SECRET])) == scrub.MASK
    assert not scrub.holds(scrub.answer(f"<html>{SECRET}".encode(), [SECRET]), [SECRET])


def test_what_services_say_otherwise_stays_as_it_came() -> None:
    rows = [
        {
            "id": str(uuid.uuid4()),
            "etag": secrets.token_urlsafe(40),
            "name": f"Room {number}",
            "hash": secrets.token_hex(32),
        }
        for number in range(2000)
    ]
    content = json.dumps(
        {"value": rows, "@odata.nextLink": "https://graph.microsoft.com/v1.0/places?$skiptoken=" + "A%2B" * 99}
    ).encode()
    held = [secrets.token_urlsafe(32), secrets.token_hex(16), SECRET]
    assert scrub.answer(content, held) is content


@pytest.mark.parametrize("short", ["", " ", "1234", "a-b-c-d"])
def test_what_is_too_short_to_be_known_by_its_letters_is_not_looked_for(short: str) -> None:
    assert not scrub.holds(f"well {short} said".encode(), [short])


@pytest.mark.parametrize("tail", [" ", "\r", "\r\n", "\n", "\t", ""])
def test_a_variable_is_known_as_it_stands_and_as_it_is_used(tail: str) -> None:
    environment = {
        "RUNBOOK_SPACEIQ_TOKEN": f"{SECRET}{tail}",
        "RUNBOOK_OUTPUTS": "/somewhere/long/enough",
        "HOME": "/root/of/all",
    }
    assert scrub.holds(f"'{SECRET}'".encode(), scrub.given(environment))
    assert SECRET in scrub.given(environment)
    assert not scrub.holds(b"/somewhere/long/enough", scrub.given(environment))


@pytest.mark.parametrize("secret", ["~~~~~~~~~~~~", "äöüßéñ", "p@ss w%rd"])
def test_a_secret_of_few_letters_and_digits_is_looked_for_as_it_stands(secret: str) -> None:
    for said in (secret, quote(secret), base64_deep(secret, 3), secret.encode().hex()):
        assert scrub.holds(f"well {said} said".encode(), [secret])
    assert not scrub.holds(b"p ss w rd, aouseen", [secret])


def test_damaged_codes_are_no_error() -> None:
    for content in (b"%zz%", b"\\u12", b"&#99999999;", b"A" * 17, b"=" * 40, b"\xff" * 99, b"&#x110000;", b"7" * 999):
        assert not scrub.holds(content, [SECRET])


def test_the_corpus_has_at_least_thirty_forms() -> None:
    assert len(ECHOES) >= 30
    assert Path(scrub.__file__).is_file()
