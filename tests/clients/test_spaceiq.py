"""SpaceIQ's spaces, from its API in the sandbox and from exports as people save them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbook_lib import forms, settings
from runbook_lib.clients.spaceiq import api as spaceiq
from runbook_lib.clients.spaceiq import export as spaceiq_export
from runbook_lib.errors import CloudError, SettingsError
from runbook_lib.model import Json, Look, SpaceSource, Tenant
from runbook_lib.sandbox import faults as sandbox_faults
from runbook_lib.sandbox.exchange import meetings
from runbook_lib.sandbox.faults import Fault
from runbook_lib.sandbox.server import Sandbox
from runbook_lib.sandbox.spaceiq import api as service
from runbook_lib.sandbox.world.state import TenantState
from runbook_lib.steps.sync.matching import Row

NOW = datetime.now(UTC).replace(microsecond=0)
END = NOW + timedelta(days=1)
Ask = Callable[..., Look]


@pytest.fixture
def ask(sandbox: Sandbox, tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return what reads Contoso's spaces through the API, with Contoso's token unless another one is given."""

    def read(token: str = "", log: list[Json] | None = None, form: str = "Bearer") -> Look:
        monkeypatch.setenv(spaceiq.TOKEN, token or service.token(sandbox.world, "contoso"))
        source = SpaceSource("graphql", None, {}, "Contoso", f"{sandbox.url}/queries", form)
        return spaceiq.read(replace(tenant(), spaceiq=source), NOW, END, [] if log is None else log)["spaces"]

    return read


def test_every_room_s_space_is_read_with_its_calendar_and_place(ask: Ask) -> None:
    look = ask()
    assert (look.population, look.complete, look.refusal) == ("12 of 12", True, "")
    row = next(row for row in look.rows if row["name"] == "Adams")
    assert row["email"] == "room-adams@contoso.example"
    assert (row["building"], row["floor"], row["code"], row["busy"]) == ("Building 1", "1", "S0001", [])


def test_pages_are_read_to_the_end(contoso: TenantState, ask: Ask) -> None:
    one = next(iter(contoso.spaces.values()))
    contoso.spaces |= {f"s{number}": {**one, "id": f"s{number}"} for number in range(250)}
    log: list[Json] = []
    assert ask(log=log).population == "262 of 262"
    assert len(log) == 2 + 3  # schema, company, three pages


def test_busy_times_come_as_the_service_knows_them(sandbox: Sandbox, contoso: TenantState, ask: Ask) -> None:
    begin = NOW + timedelta(hours=2)
    meetings.book(
        contoso,
        "adele@contoso.example",
        "room-adams@contoso.example",
        begin,
        begin + timedelta(hours=1),
        now=sandbox.world.now(),
    )
    assert ask().rows[0]["busy"] == []
    sandbox.world.offset += timedelta(minutes=1)
    ask()  # the room answers
    sandbox.world.offset += timedelta(minutes=1)
    (busy,) = ask().rows[0]["busy"]
    assert busy["start"] == f"{begin:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("form", ["Bearer", "bearer:"])
def test_either_form_of_the_header_can_be_set(contoso: TenantState, ask: Ask, form: str) -> None:
    assert ask(form=form).refusal == ""
    contoso.modes["spaceiq_authorization"] = [f"{'bearer:' if form == 'Bearer' else 'Bearer'} "]
    assert "refused the token" in ask(form=form).refusal


def test_a_token_that_is_refused_another_company_s_or_absent_is_said_and_never_shown(
    sandbox: Sandbox, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = service.token(sandbox.world, "northwind")
    looks = [ask(token="eyJ-wrong"), ask(token=others), ask(token=" ")]
    said = [look.refusal for look in looks]
    assert "access_token does not correspond to user" in said[0]
    assert "belongs to Northwind Traders, not to Contoso" in said[1]
    assert said[2] == "There is no token for SpaceIQ."
    assert all(look.rows == () and look.remedy for look in looks)
    assert others not in repr(looks)


@pytest.mark.parametrize("lacking", ["Space.calendar", "Query.spaces", "Query.viewer"])
def test_a_schema_without_what_we_need_is_a_clear_refusal(contoso: TenantState, ask: Ask, lacking: str) -> None:
    contoso.modes["spaceiq_lacks"] = [lacking]
    assert lacking in ask().refusal


def test_a_schema_with_less_than_we_want_still_gives_the_spaces(contoso: TenantState, ask: Ask) -> None:
    contoso.modes["spaceiq_lacks"] = [
        "CalendarGraph.email",
        "Space.floor",
        "Space.externalId",
        "SpaceConnection.totalCount",
        "DailyBookableSpacesAvailabilityGraph.endDate",
    ]
    look = ask()
    assert len(look.rows) == 12
    assert {(row["email"], row["building"], "busy" in row) for row in look.rows} == {("", "", False)}


def test_a_busy_service_is_asked_again_and_a_broken_one_is_said(
    sandbox: Sandbox, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spaceiq.SpaceIQ, "__init__", _hasty(spaceiq.SpaceIQ.__init__))
    faults = sandbox_faults.faults_of(sandbox.world)
    faults.order([Fault("503", where="spaceiq", count=2)])
    assert ask().refusal == ""
    faults.order([Fault("503", where="spaceiq")])
    assert "answered 503" in ask().refusal


@pytest.mark.parametrize(
    ("told", "slept", "says"),
    [
        ("30", [30.0, 30.0, 30.0], "answered 503"),
        ("0", [0.0, 0.0, 0.0], "answered 503"),
        (None, [1.0, 2.0, 4.0], "answered 503"),
        ("301", [], "asks to wait 301 seconds"),
    ],
)
def test_a_busy_service_says_how_long_to_wait(
    tenant: Callable[..., Tenant], told: str | None, slept: list[float], says: str
) -> None:
    headers = {} if told is None else {"Retry-After": told}
    answer = SimpleNamespace(status_code=503, headers=headers, content=b"", json=dict)
    waits: list[float] = []
    http = SimpleNamespace(post=lambda *_, **__: answer)
    api = spaceiq.SpaceIQ(tenant(), http, [], "token", sleep=waits.append)
    with pytest.raises(CloudError, match=says):
        api.ask("{viewer{id}}")
    assert waits == slept


def _hasty(init: Callable[..., None]) -> Callable[..., None]:
    def made(self: spaceiq.SpaceIQ, *given: object, **more: object) -> None:
        init(self, *given, sleep=lambda _: None, **more)

    return made


def test_errors_that_come_with_200_are_errors(sandbox: Sandbox, tenant: Callable[..., Tenant], ask: Ask) -> None:
    ask()
    source = SpaceSource("graphql", None, {}, "Contoso", f"{sandbox.url}/queries", "Bearer")
    with (
        spaceiq.connected(replace(tenant(), spaceiq=source), []) as api,
        pytest.raises(CloudError, match="200: Cannot query field 'mailbox' on type 'Space'"),
    ):
        api.ask("{spaces(first:1){edges{node{mailbox}}}}")


def test_data_that_comes_with_errors_is_an_error(tenant: Callable[..., Tenant]) -> None:
    partial = {"data": {"viewer": None}, "errors": [{"message": "half of it broke"}]}
    answer = SimpleNamespace(status_code=200, headers={}, content=b"", json=lambda: partial)
    api = spaceiq.SpaceIQ(tenant(), SimpleNamespace(post=lambda *_, **__: answer), [], "token")
    with pytest.raises(CloudError, match="half of it broke"):
        api.ask("{viewer{id}}")


def one_answer(tenant: Tenant, data: object, monkeypatch: pytest.MonkeyPatch) -> spaceiq.SpaceIQ:
    """Return SpaceIQ that gives this data to every question."""
    api = spaceiq.SpaceIQ(tenant, SimpleNamespace(), [], "token")
    monkeypatch.setattr(api, "ask", lambda *_, **__: data)
    api.schema = {"Query": {"spaces": "Spaces"}, "Space": {"id": "", "name": "", "calendar": "Calendar"}}
    return api


@pytest.mark.parametrize(
    "viewer", [None, {"company": None}, {"company": {"name": None}}, {"company": []}, {"company": {"name": 7}}, [], "x"]
)
def test_a_token_of_which_nobody_says_whose_it_is_reads_nothing(
    tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch, viewer: object
) -> None:
    with pytest.raises(CloudError, match=r"whose the token|another form"):
        one_answer(tenant(), {"viewer": viewer}, monkeypatch).assert_company()


NODE = {"id": "s1", "name": "Oak", "calendar": {"email": "oak@example.org"}, "busy": []}
TIME = {"start": "2026-11-22T21:00:00Z", "end": "2026-11-22T22:00:00Z"}


@pytest.mark.parametrize(
    ("node", "member"),
    [
        (None, "id"),
        (NODE | {"id": None}, "id"),
        (NODE | {"busy": None}, "calendar"),
        (NODE | {"busy": [TIME | {"start": None}]}, "calendar"),
        (NODE | {"busy": [None]}, "calendar"),
        (NODE | {"calendar": ["oak@example.org"]}, "calendar"),
        (NODE | {"floor": "2", "calendar": None}, "calendar"),
    ],
)
def test_a_space_that_cannot_be_read_stays_for_the_judge_and_the_others_are_read(
    tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch, node: object, member: str
) -> None:
    edges = [{"node": NODE | {"id": "s2"}}, {"node": node}]
    page = {"pageInfo": {"hasNextPage": False}, "totalCount": 2, "edges": edges}
    look = one_answer(tenant(), {"spaces": page}, monkeypatch).spaces(NOW, END)
    assert look.population == "2 of 2"
    read, (off,) = forms.read("spaces", look.rows, Row)
    assert ([one.id for one in read], member in off.member) == (["s2"], True)


@pytest.mark.parametrize("spaces", [None, {}, [], {"edges": [], "pageInfo": None}, {"edges": None, "pageInfo": {}}])
def test_a_page_that_is_none_is_a_refusal_in_words(
    tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch, spaces: object
) -> None:
    with pytest.raises(CloudError, match="SpaceIQ answered"):
        one_answer(tenant(), {"spaces": spaces}, monkeypatch).spaces(NOW, END)


def test_a_page_that_comes_again_and_again_never_counts_as_all(
    tenant: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = {"pageInfo": {"hasNextPage": True, "endCursor": "1"}, "totalCount": 1, "edges": [{"node": NODE}]}
    assert not one_answer(tenant(), {"spaces": page}, monkeypatch).spaces(NOW, END).complete


def test_without_a_source_nothing_is_looked_at(tenant: Callable[..., Tenant]) -> None:
    assert spaceiq.read(tenant(), NOW, END, []) == {}


HEAD = "Space Name;Calendar;Building\n"
COLUMNS = {"space": "Space Name", "email": "Calendar", "building": "Building"}


def export(folder: Path, content: bytes, columns: dict[str, str] = COLUMNS) -> Look:
    path = folder / "rooms.csv"
    path.write_bytes(content)
    return spaceiq_export.read(SpaceSource("csv", path, columns))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_export_is_read_however_it_was_saved(tmp_path: Path, encoding: str, delimiter: str) -> None:
    text = f"{HEAD}Säule;room-s@contoso.example;Höhe 1\n".replace(";", delimiter).replace("\n", "\r\n")
    (row,) = export(tmp_path, text.encode(encoding)).rows
    assert (row["name"], row["email"], row["building"]) == ("Säule", "room-s@contoso.example", "Höhe 1")


def test_columns_have_our_own_names_unless_they_are_mapped(tmp_path: Path) -> None:
    (row,) = export(tmp_path, b"Space,Email,Code\nA,a@x.example,2.01\n", {}).rows
    assert (row["code"], row["name"], row["email"]) == ("2.01", "A", "a@x.example")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"Room;Mail\nA;a@x.example\n", "no column Space Name and no column Calendar and no column Building; it has"),
        (HEAD.encode() + b"A;a@x.example\n", "2 cells in row 2, but 3 columns"),
        (HEAD.encode() + b"A;a@x.example;B;C\n", "4 cells in row 2, but 3 columns"),
        (b"", "no column Space Name"),
        (b"\x00\x81\x8d", "is not text"),
    ],
)
def test_an_export_that_cannot_be_used_says_the_one_thing_wrong(tmp_path: Path, content: bytes, fault: str) -> None:
    look = export(tmp_path, content)
    assert fault in look.refusal
    assert "spaceiq.columns" in look.remedy
    assert not look.rows


OAK = b"Oak;oak@example.org;HQ\n"


@pytest.mark.parametrize("rooms", [0, 1, 8000])
@pytest.mark.parametrize("opened", ['"Oak;oak@example.org;HQ', 'Oak;"oak@example.org;HQ', 'Oak;oak@example.org;"HQ'])
def test_a_quote_that_is_never_closed_is_refused_at_its_row(tmp_path: Path, rooms: int, opened: str) -> None:
    rest = "".join(f"Room {number};r{number}@example.org;HQ\n" for number in range(rooms))
    look = export(tmp_path, f"{HEAD}{OAK.decode()}{opened}\n{rest}".encode())
    assert ("row 3" in look.refusal, "quotation mark" in look.remedy, look.rows) == (True, True, ())


@pytest.mark.parametrize(
    "merged",
    [
        '"Oak;oak@example.org;HQ\nElm";elm@example.org;HQ\n',
        'Oak;oak@example.org;"HQ\nElm;elm@example.org;HQ\nAsh;ash@example.org;HQ"\n',
        '"Oak\nElm";elm@example.org;HQ\n',
    ],
)
def test_rooms_that_quotes_made_one_are_refused_at_their_row(tmp_path: Path, merged: str) -> None:
    assert "row 2 that goes on over several lines" in export(tmp_path, HEAD.encode() + merged.encode()).refusal


def test_a_remark_of_two_lines_merges_nothing(tmp_path: Path) -> None:
    text = 'Space Name;Calendar;Building;Remark\nOak;oak@example.org;HQ;"quiet\nlight"\nElm;elm@example.org;HQ;\n'
    look = export(tmp_path, text.encode())
    assert [(row["id"], row["name"]) for row in look.rows] == [("row 2", "Oak"), ("row 4", "Elm")]


@pytest.mark.parametrize("names", ["Calendar;Calendar", "Calendar; calendar ", "CALENDAR;Calendar\u200b"])
def test_a_column_that_stands_twice_is_refused_with_its_places(tmp_path: Path, names: str) -> None:
    look = export(tmp_path, f"Space Name;{names};Building\nOak;a@x.example;oak@x.example;HQ\n".encode())
    assert ("calendar 2 times, as its columns 2 and 3" in look.refusal, look.rows) == (True, ())


def test_a_column_that_nobody_uses_may_stand_twice(tmp_path: Path) -> None:
    text = b"Note;Space Name;Note;Calendar;Building\n;Oak;;oak@example.org;HQ\n"
    assert [row["email"] for row in export(tmp_path, text).rows] == ["oak@example.org"]


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;"])
def test_the_line_that_excel_puts_first_says_what_parts_the_cells(tmp_path: Path, line: str) -> None:
    look = export(tmp_path, f"{line}\r\n{HEAD}{OAK.decode()}".encode())
    assert [(row["id"], row["email"]) for row in look.rows] == [("row 3", "oak@example.org")]


def test_what_parts_the_cells_is_what_finds_the_columns(tmp_path: Path) -> None:
    text = b'"Note, a;b;c;d",Space,Email\nx,Oak,oak@example.org\n'
    assert [row["name"] for row in export(tmp_path, text, {}).rows] == ["Oak"]


@pytest.mark.parametrize(
    "written",
    [
        "Oak@Example.org",
        " oak@example.org ",
        "SMTP:oak@example.org",
        "mailto:oak@example.org?subject=x",
        "Oak <oak@example.org>",
        "oak@\u200bexample.org\ufeff",
        "oak\uff20example.org",
    ],
)
def test_an_address_is_known_however_it_is_written(tmp_path: Path, written: str) -> None:
    (row,) = export(tmp_path, f"{HEAD}Oak;{written};HQ\n".encode()).rows
    assert row["email"] == "oak@example.org"


@pytest.mark.parametrize("written", ["", "n/a", "Oak calendar", "a@b@c", "a@x.example, b@x.example"])
def test_what_is_no_address_is_kept_as_the_calendar_s_name_alone(tmp_path: Path, written: str) -> None:
    (row,) = export(tmp_path, f"{HEAD}Oak;{written};HQ\n".encode()).rows
    assert (row["email"], row["calendar"]) == ("", written)


def test_an_export_that_may_not_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", locked)
    assert "cannot be read: Permission denied" in export(tmp_path, b"").refusal


def test_an_export_without_rows_is_no_refusal_and_no_room(tmp_path: Path) -> None:
    look = export(tmp_path, HEAD.encode() + b"\r\n")
    assert (look.rows, look.total, look.refusal) == ((), 0, "")


def test_an_export_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert spaceiq_export.read(SpaceSource("csv", tmp_path / "none.csv")).refusal == "there is no export none.csv"


TENANT_FILE = """\
name: Contoso
tenant_id: 11111111-2222-3333-4444-555555555555
domain: contoso.com
admin: dana@contoso.com
sign_in: {method: browser, client_id: 11111111-2222-3333-4444-666666666666}
"""


def load(folder: Path, more: str) -> Tenant:
    (folder / "contoso.yaml").write_text(TENANT_FILE + more, encoding="utf-8")
    return settings.load(folder, "contoso", NOW)


def test_the_tenant_file_names_the_source_and_the_record_keeps_no_path(tmp_path: Path) -> None:
    known = load(tmp_path, "spaceiq: {source: csv}\nrooms: {spaces: {Room-A@contoso.com: '2.01'}}\n")
    assert known.spaceiq.export == tmp_path / "contoso.spaceiq.csv"
    assert (known.rooms.spaces, known.rooms.organizer) == ({"room-a@contoso.com": "2.01"}, "dana@contoso.com")
    kept = settings.plain(known)
    assert str(tmp_path) not in str(kept)
    revived = settings.revive(kept)
    assert (revived.spaceiq.source, revived.rooms) == ("csv", known.rooms)


def test_the_api_has_its_documented_address_and_wants_a_company(tmp_path: Path) -> None:
    known = load(tmp_path, "spaceiq: {source: graphql, company: Contoso}\n").spaceiq
    assert (known.endpoint, known.authorization) == ("https://api.spaceiq.com/queries", "Bearer")
    with pytest.raises(SettingsError, match="line 6: source 'graphql' needs a line 'company:'"):
        load(tmp_path, "spaceiq: {source: graphql}\n")
    with pytest.raises(SettingsError, match="is not an address such as https"):
        load(tmp_path, "spaceiq: {source: graphql, company: C, endpoint: 'http://api.spaceiq.com/queries'}\n")


def test_a_file_that_asks_for_nothing_looks_at_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "").spaceiq == SpaceSource()
