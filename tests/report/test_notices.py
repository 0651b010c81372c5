"""Notices: told once and to everybody, in words that hold no secret and no markup; a failure is told again."""

from __future__ import annotations

import json
import logging
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from runbook_lib.batch import plan
from runbook_lib.batch.pool import TenantResult
from runbook_lib.cli import main
from runbook_lib.errors import ArchiveError, RunbookError, UsageError
from runbook_lib.model import Finding, Json, Status
from runbook_lib.report import notices, post
from tests.fake_runs import NOW, SANDBOX, add, new_run, passing

# apprise's modules for encrypted mail import it while Python still has it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
SECRET = "hunter2-" + "5ecret"
TODAY = date(2026, 11, 22)
TOKEN = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkYW5hIn0.c2lnbmF0dXJl"
EVIL = "<b>@everyone</b> [pay](https://evil.example) `x`\u202e\nSubject: hello"


class Chat(BaseHTTPRequestHandler):
    """A chat service that keeps what it is sent, and answers with the status that the test set."""

    def do_POST(self) -> None:
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class Mail(socketserver.StreamRequestHandler):
    """A mail server that takes every letter."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                letter = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.got.append(message_from_bytes(letter, policy=policy.default))  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 fine\r\n")


class Service:
    """A service on loopback: its address, what it got, and for the chat the status it answers with."""

    def __init__(self, server: socketserver.TCPServer, address: str) -> None:
        self.server = server
        self.address = address.format(server.server_address[1])
        self.got: list[Any] = []
        server.got = self.got  # type: ignore[attr-defined]
        self.answer(200)

    def answer(self, status: int) -> None:
        self.server.status = status  # type: ignore[attr-defined]


@pytest.fixture
def serve() -> Iterator[Callable[[type, type, str], Service]]:
    """Return what serves a handler on loopback until the test is over."""
    servers: list[socketserver.TCPServer] = []

    def start(kind: type, handler: type, address: str) -> Service:
        server = kind(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return Service(server, address)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def chat(serve: Callable[[type, type, str], Service], monkeypatch: pytest.MonkeyPatch) -> Service:
    """A chat service that the environment names, with a secret in its address."""
    service = serve(HTTPServer, Chat, "json://127.0.0.1:{}/" + SECRET)
    monkeypatch.setenv("RUNBOOK_NOTIFY", service.address)
    return service


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty outputs folder."""
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


def look(outputs: Path, day: int, *found: Finding, key: str = "contoso", **fields: Any) -> Path:
    """Add a run of the tenant on a day of December."""
    folder = new_run(outputs, key, NOW.replace(month=12, day=day))
    add(folder, "06_access", *(found or (passing(),)), **fields)
    return folder


def failing(saw: str = "no", subject: str = "contoso.example") -> Finding:
    return Finding("domain-verified", subject, Status.FAIL, saw, "Correct it.")


def notify(**options: Any) -> list[notices.Notice]:
    return notices.notify(["contoso"], TODAY, **options)


def test_a_change_is_told_once(outputs: Path, chat: Service) -> None:
    look(outputs, 1)
    assert notify() == [], "there is nothing to compare a first run with"
    look(outputs, 2, failing())
    [notice] = notify()
    assert notice.sent is True
    assert notify() == []
    [got] = chat.got
    assert got["title"] == "Calendar runbook: 1 tenant changed"
    assert got["message"].splitlines()[2:] == [
        "contoso: fail",
        "- outcome changed: Step 6. Review Cronofy's access (was pass, is fail)",
        "- answer changed: The domain for SpaceIQ is a verified domain of the tenant (was pass, is fail)",
    ]


def test_what_did_not_change_is_no_notice(outputs: Path, chat: Service) -> None:
    look(outputs, 1, failing())
    look(outputs, 2, failing())
    assert notify() == []
    assert chat.got == []


def test_what_was_not_taken_is_told_again_even_when_the_next_run_changed_nothing(outputs: Path, chat: Service) -> None:
    look(outputs, 1)
    look(outputs, 2, failing())
    chat.answer(500)
    [notice] = notify()
    assert notice.sent is False
    assert notice.failure.startswith("Address 1 json did not take the notice about contoso")
    look(outputs, 3, failing())
    chat.answer(200)
    assert [one.sent for one in notify()] == [True]
    assert len(chat.got) == 2
    assert notify() == []


def test_one_address_that_fails_costs_the_others_nothing_and_tells_them_nothing_twice(
    outputs: Path, chat: Service, serve: Callable[[type, type, str], Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = serve(HTTPServer, Chat, "json://127.0.0.1:{}/x")
    broken.answer(503)
    monkeypatch.setenv("RUNBOOK_NOTIFY", f"{broken.address}\n{chat.address}")
    look(outputs, 1)
    look(outputs, 2, failing())
    assert [one.sent for one in notify()] == [False, True]
    assert [one.sent for one in notify()] == [False]
    assert (len(broken.got), len(chat.got)) == (2, 1)


def test_many_tenants_make_one_digest_that_is_not_long(outputs: Path, chat: Service) -> None:
    keys = [f"tenant-{number:02}" for number in range(notices.MOST_TENANTS + 10)]
    for key in keys:
        look(outputs, 1, key=key)
        look(outputs, 2, *(failing(subject=f"{EVIL}{one}") for one in range(3)), key=key)
    [notice] = notices.notify(keys, TODAY)
    assert len(notice.tenants) == len(keys)
    assert len(chat.got) == 1
    message = chat.got[0]["message"]
    assert len(message) <= notices.LONGEST
    shown = message.count(": fail\n")
    assert f"and {len(keys) - shown} more tenants: runbook status" in message


def test_a_step_that_broke_is_news_and_a_rehearsal_says_so(outputs: Path, chat: Service) -> None:
    look(outputs, 1, cloud=SANDBOX)
    folder = look(outputs, 2, cloud=SANDBOX)
    steps: list[Json] = [{"step": "07_sync", "outcome": "broke", "error": EVIL, "seconds": 1}]
    (folder / "data" / "batch.json").write_text(json.dumps({"steps": steps}))
    notify()
    message = chat.got[0]["message"]
    assert "contoso: unknown (rehearsal, not audit evidence)" in message
    [line] = [one for one in message.splitlines() if "step broke" in one]
    assert line.startswith("- step broke: Step 7. Synchronisation and test (was not run, is broke: ")
    assert "everyone" in line


@pytest.mark.parametrize("sign", ["<", ">", "[", "]", "`", "|", "@", "\\", "\n", "\u202e", "\x1b", "://"])
def test_nothing_that_a_tenant_writes_is_markup_or_a_mention(sign: str) -> None:
    assert sign not in notices.plain(f"a{sign}b {EVIL}")


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("contoso.com", "contoso·com"),
        ("see www.evil.co.uk/x.", "see www·evil·co·uk/x."),
        ("evil.3com.com", "evil.3com·com"),
        ("evil\u3002com evil\uff0ecom evil\uff61com", "evil·com evil·com evil·com"),
        ("evil.рф evil.\ufe0fcom", "evil·рф evil·\ufe0fcom"),
        ("evil.\u200bcom", "evil. com"),
        ("Step 6. 1.5 s, 24.12.2026...", "Step 6. 1.5 s, 24.12.2026..."),
    ],
)
def test_no_reader_makes_a_link_of_a_bare_domain(told: str, shown: str) -> None:
    assert notices.plain(told) == shown


def test_a_line_is_cut() -> None:
    assert len(notices.plain("word " * 1000)) == notices.LONGEST_LINE


def test_a_mail_is_text_that_no_reader_renders(
    outputs: Path, serve: Callable[[type, type, str], Service], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mail = serve(socketserver.ThreadingTCPServer, Mail, "mailto://127.0.0.1:{}?from=a@example.com&to=b@example.com")
    (tmp_path / "addresses").write_text(f"# the team\n\n{mail.address}\n")
    monkeypatch.setenv("RUNBOOK_NOTIFY_FILE", str(tmp_path / "addresses"))
    look(outputs, 1)
    folder = look(outputs, 2)
    steps: list[Json] = [{"step": "07_sync", "outcome": "broke", "error": EVIL, "seconds": 1}]
    (folder / "data" / "batch.json").write_text(json.dumps({"steps": steps}))
    assert [one.sent for one in notify()] == [True]
    [letter] = mail.got
    assert letter["Subject"] == "Calendar runbook: 1 tenant changed"
    assert letter["To"] == "b@example.com"
    for part in letter.walk():
        if part.get_content_maintype() == "text":
            assert "step broke" in part.get_content()
            assert "<b>" not in part.get_content()
            assert "https://evil" not in part.get_content()
            assert "evil.example" not in part.get_content()
            assert part.get_content_subtype() == "plain" or "<br" in part.get_content(), "each line is its own"


def test_a_secret_is_withheld_and_the_rest_is_told(
    outputs: Path, chat: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, error in (("contoso", f"Bearer of {TOKEN} {'x' * 300}"), ("fabrikam", chat.address), ("adatum", "no")):
        look(outputs, 1, key=key)
        folder = look(outputs, 2, key=key)
        steps: list[Json] = [{"step": "07_sync", "outcome": "broke", "error": error, "seconds": 1}]
        (folder / "data" / "batch.json").write_text(json.dumps({"steps": steps}))
    notices.notify(["contoso", "fabrikam", "adatum"], TODAY)
    message = chat.got[0]["message"]
    assert message.count("would give away a secret") == 2
    assert "is broke: no)" in message
    assert TOKEN[:20] not in message
    assert SECRET not in message


def test_no_address_is_ever_shown(
    outputs: Path, chat: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    look(outputs, 1)
    look(outputs, 2, failing())
    chat.answer(500)
    ran = CliRunner().invoke(main.app, ["notify", "--json"])
    assert ran.exit_code == 1
    shown = [ran.output, caplog.text, repr(post.addresses()), (outputs / "_notices" / "told.json").read_text()]
    monkeypatch.setenv("RUNBOOK_NOTIFY", f"mailto://dana:{SECRET}@ {SECRET}")
    with pytest.raises(UsageError, match="Address 1 mailto is none") as caught:
        notify()
    shown += [str(caught.value), repr(caught.getrepr(style="long"))]
    assert [one for one in shown if SECRET in one] == []
    assert logging.root.manager.disable == logging.NOTSET


def test_a_bad_address_is_said_before_any_other_is_told(
    outputs: Path, chat: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_NOTIFY", f"{chat.address} nonsense")
    look(outputs, 1)
    look(outputs, 2, failing())
    with pytest.raises(UsageError, match=r"Address 2 \? is none"):
        notify()
    assert chat.got == []


def test_a_snoozed_tenant_is_told_when_the_snooze_is_over(outputs: Path, chat: Service) -> None:
    look(outputs, 1)
    look(outputs, 2, failing())
    notices.snooze("contoso", TODAY, "the vendor knows", "dana", NOW)
    assert notify() == []
    look(outputs, 3, failing())
    [later] = notices.notify(["contoso"], TODAY + timedelta(days=1))
    assert later.sent
    assert notices.snoozed(outputs)["contoso"] == {
        "until": "2026-11-22",
        "reason": "the vendor knows",
        "by": "dana",
        "at": "2026-11-22T18:00:00+00:00",
    }


def test_a_digest_says_who_is_snoozed(outputs: Path, chat: Service) -> None:
    for key in ("contoso", "fabrikam"):
        look(outputs, 1, key=key)
        look(outputs, 2, failing(), key=key)
    notices.snooze("fabrikam", TODAY, "the vendor knows", "dana", NOW)
    notices.notify(["contoso", "fabrikam"], TODAY)
    assert chat.got[0]["message"].endswith("Snoozed: fabrikam until 2026-11-22.")


@pytest.mark.parametrize(
    ("tenant", "until", "reason"),
    [("nobody", TODAY, "why"), ("contoso", TODAY - timedelta(days=1), "why"), ("contoso", TODAY, " ")],
)
def test_a_snooze_wants_a_tenant_a_day_to_come_and_a_reason(
    outputs: Path, tenant: str, until: date, reason: str
) -> None:
    look(outputs, 1)
    with pytest.raises(UsageError):
        notices.snooze(tenant, until, reason, "dana", NOW)
    assert notices.snoozed(outputs) == {}


def test_a_dry_run_shows_the_notice_and_sends_and_notes_nothing(outputs: Path, chat: Service) -> None:
    look(outputs, 1)
    look(outputs, 2, failing())
    ran = CliRunner().invoke(main.app, ["notify", "--dry-run"])
    assert ran.exit_code == 0
    assert "contoso: fail" in ran.stdout
    assert chat.got == []
    assert not (outputs / "_notices").exists()
    assert CliRunner().invoke(main.app, ["notify", "contoso"]).stdout == "Address 1 json was told about contoso.\n"


def test_the_commands_words_are_checked(outputs: Path) -> None:
    look(outputs, 1)
    for words in (["notify"], ["notify", "nobody"], ["notify", "--snooze", "contoso"], ["notify", "--reason", "x"]):
        assert isinstance(CliRunner().invoke(main.app, words).exception, UsageError), words
    until = "2999-01-01"
    said = CliRunner().invoke(main.app, ["notify", "--snooze", "contoso", "--until", until, "--reason", "known"])
    assert said.stdout == f"Nothing is sent about contoso up to {until}.\n"


def test_runs_that_cannot_be_compared_are_news(outputs: Path, chat: Service) -> None:
    look(outputs, 1)
    folder = look(outputs, 2)
    (folder / "data" / "06_access.json").write_text("{")
    assert [one.sent for one in notify()] == [True]
    assert "contoso: unknown\n- its runs cannot be compared: 06_access·json is not a complete" in chat.got[0]["message"]


def test_whatever_goes_wrong_fails_no_batch(outputs: Path, chat: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    look(outputs, 1)
    look(outputs, 2, failing())
    chat.answer(500)
    assert notices.after_batch(["contoso", "never-ran"]) == [
        "Address 1 json did not take the notice about contoso; it is told again next time."
    ]
    (outputs / "_notices" / "told.json").write_text("{")
    with pytest.raises(ArchiveError, match=r"told\.json"):
        notify()
    [words] = notices.after_batch(["contoso"])
    assert words.startswith("No notice went out.")
    monkeypatch.delenv("RUNBOOK_NOTIFY")
    assert notices.after_batch(["contoso"]) == []
    monkeypatch.setenv("RUNBOOK_NOTIFY_FILE", str(outputs / "nowhere"))
    [words] = notices.after_batch(["contoso"])
    assert "RUNBOOK_NOTIFY_FILE" in words


def test_without_the_extra_it_is_said_how_to_get_it(
    outputs: Path, chat: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(RunbookError, match=r"runbook\.py extras"):
        notify()


def test_a_batch_tells_at_its_end_and_its_exit_code_stays_its_own(
    outputs: Path, chat: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    look(outputs, 1)
    look(outputs, 2, failing())
    chat.answer(500)
    ran = [TenantResult("contoso", outcome=Status.UNKNOWN)]
    monkeypatch.setattr(plan, "run", lambda *_, **__: ran)
    done = CliRunner().invoke(main.app, ["run", "contoso"])
    assert done.exit_code == Status.UNKNOWN.exit_code
    assert "Address 1 json did not take the notice about contoso; it is told again next time." in done.stderr
