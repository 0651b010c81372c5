"""A batch whose workers share no folder: each has outputs of its own, and what is done is what the archive holds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from runbook_lib.batch import plan as batch_plan
from runbook_lib.batch import pool as batch
from runbook_lib.batch.cluster import driver as cluster
from runbook_lib.batch.cluster import outpost, task
from runbook_lib.batch.cluster.task import Order
from runbook_lib.batch.pool import TenantResult
from runbook_lib.cli import main
from runbook_lib.clients.graph import budget
from runbook_lib.errors import ArchiveError, RunbookError, UsageError
from runbook_lib.evidence import bagit, chain, seal, verify
from runbook_lib.evidence.archive import archived, lease, store
from runbook_lib.evidence.archive.push import at, fetch
from runbook_lib.evidence.bagit import Kind
from runbook_lib.evidence.trust import Trust
from runbook_lib.model import Json
from runbook_lib.notebook import earlier as history
from runbook_lib.report import changes
from runbook_lib.runs import folder, record
from runbook_lib.sandbox import server
from tests import nightly
from tests.archives import AzureArchive, FolderArchive, everything, new_container, push_to, running_azurite
from tests.fake_runs import NOW, new_run, two_steps
from tests.grid import Grid

STEPS = ("00_preflight", "06_access")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Azurite, as the connection string of its account."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as connection:
        yield connection


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, azurite: str) -> Iterator[Grid]:
    """Serve nine tenants, a scheduler and two workers that have nothing in common but the archive."""
    grid = Grid(tmp_path_factory.mktemp("grid"))
    with ExitStack() as stack:
        stack.enter_context(server.serving(grid.place / ".sandbox", generated=9, rooms=2))
        grid.keys = nightly.tenant_files(grid.place / ".sandbox", grid.place / "parameters")
        grid.start_scheduler("tcp")
        for name in ("one", "two"):
            add_worker(grid, name, azurite)
        stack.callback(grid.end_all)
        yield grid


def add_worker(grid: Grid, name: str, connection: str) -> None:
    """Start a worker with outputs of its own."""
    homes = {"RUNBOOK_PARAMETERS": str(grid.place / "parameters"), "RUNBOOK_OUTPUTS": str(own(grid, name))}
    grid.start_worker(name, AZURE_STORAGE_CONNECTION_STRING=connection, **homes)


def own(grid: Grid, worker: str) -> Path:
    return grid.place / f"machine {worker}" / "outputs"


@pytest.fixture
def azure(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureArchive]:
    """A new container at Azurite."""
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    with new_container(azurite) as container:
        yield container


@pytest.fixture
def grid(running: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grid:
    """Be the driver's machine, or one more worker: with tenant files and outputs of its own."""
    monkeypatch.setenv("RUNBOOK_PARAMETERS", str(running.place / "parameters"))
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return running


def through(
    grid: Grid, url: str, plan: batch_plan.Plan, tell: Callable[[Json], None] = lambda _: None, **options: Any
) -> list[TenantResult]:
    """Run the plan on the cluster, into the archive."""
    crew = partial(cluster.run, address=grid.address, archive=url, since=plan.since)
    return batch_plan.run(plan, jobs=0, on_event=tell, crew=crew, **options)


def there(url: str, keys: list[str]) -> dict[str, list[str]]:
    """Return the names of the sealed runs of each tenant in the archive, after verifying each."""
    with store.opened(url) as place:
        found = {key: list(archived.sealed(place, key)) for key in keys}
    for key, runs in found.items():
        assert [at(f"{url}/{key}/{run}", Trust())[0] for run in runs] == [()] * len(runs)
    return found


def free(archive: AzureArchive, key: str) -> None:
    """Take the tenant's lease from whoever holds it, as a minute without its holder would."""
    from azure.storage.blob import BlobLeaseClient

    container, _, prefix = archive.url.removeprefix("az://").partition("/")
    blob = archive.service.get_blob_client(container, f"{prefix}/_locks/{key}")
    if blob.exists() and blob.get_blob_properties().lease.state == "leased":
        BlobLeaseClient(blob).break_lease(lease_break_period=0)


def test_workers_without_a_share_come_to_the_same_results_as_one_machine(
    grid: Grid, azure: AzureArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, events = grid.keys[:2], list[Json]()
    first = through(grid, azure.url, batch_plan.plan(keys, STEPS), events.append)
    assert [one.error for one in first] == ["", ""]
    assert {event["event"] for event in events} == {"begun", "at", "step", "ended", "tenant"}
    plan = batch_plan.plan(keys, STEPS)
    second = through(grid, azure.url, plan)
    assert all(len(runs) == 2 for runs in there(azure.url, keys).values())
    before = _content(azure)
    again = through(grid, azure.url, plan)  # as Dask repeats what was done
    assert ([(one.folder, one.outcome, one.steps) for one in again], _content(azure)) == (
        [(one.folder, one.outcome, one.steps) for one in second],
        before,
    )
    for result, earlier in zip(second, first, strict=True):
        assert result.folder
        assert earlier.folder
        assert bagit.read_info(result.folder)[chain.RUN] == earlier.folder.name
        assert changes.previous(result.folder) == earlier.folder
        assert [one.kind for one in verify.verify(result.folder)] == [Kind.ARCHIVED]
    for name in ("one", "two"):
        assert [path for path in own(grid, name).rglob("*") if path.is_file() and "_budgets" not in path.parts] == []
    assert batch_plan.unfit(keys) == [one.key for one in second if one.exit_code in batch_plan.UNFIT]
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "one machine"))
    here = batch.run(keys, STEPS, jobs=2, on_event=lambda _: None)
    told = [(one.key, one.outcome, one.error, one.steps, one.exit_code) for one in second]
    assert told == [(one.key, one.outcome, one.error, one.steps, one.exit_code) for one in here]
    with store.opened(azure.url) as place:
        for one, run in zip(here, second, strict=True):
            assert one.folder
            assert run.folder
            copy = fetch(place, f"{run.key}/{run.folder.name}", tmp_path / "fetched" / run.key)
            assert everything(copy).keys() == everything(one.folder).keys()


def _content(archive: AzureArchive) -> dict[str, tuple[Any, ...]]:
    """Return everything in the container, and when each was written."""
    container = archive.service.get_container_client(archive.url.removeprefix("az://").partition("/")[0])
    return {one.name: (one.etag, one.last_modified) for one in container.list_blobs()}


def test_what_was_pushed_before_its_driver_was_killed_is_brought_home_and_not_made_again(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    url, plan, events = FolderArchive(tmp_path / "archive").url, batch_plan.plan(grid.keys[:1], STEPS), list[Json]()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(archived, "bring_home", killed)
        with pytest.raises(KeyboardInterrupt):
            through(grid, url, plan)
    assert not list((tmp_path / "outputs").glob("gen-*"))
    made, before = there(url, grid.keys[:1]), everything(tmp_path / "archive")
    (result,) = through(grid, url, batch_plan.interrupted(), events.append, resume=True)
    assert result.folder
    assert (made, result.error) == ({result.key: [result.folder.name]}, "")
    assert everything(tmp_path / "archive") == before
    assert [event["event"] for event in events] == ["tenant"]


def test_a_killed_worker_s_tenants_begin_anew_elsewhere_and_none_is_doubled(
    grid: Grid, azure: AzureArchive, azurite: str
) -> None:
    keys, at_work, killed = grid.keys[:4], dict[str, str](), list[str]()

    def kill(event: Json) -> None:
        at_work[event["tenant"]] = event.get("worker", "")
        if event["event"] == "at" and event["step"] == STEPS[1] and not killed:
            killed.append(grid.at(event["worker"]))
            grid.end(*killed)
            for key in keys:
                if at_work.get(key, event["worker"]) == event["worker"]:
                    free(azure, key)

    results = through(grid, azure.url, batch_plan.plan(keys, STEPS), kill)
    add_worker(grid, killed[0], azurite)
    assert [one.error for one in results] == [""] * 4
    assert there(azure.url, keys) == {one.key: [one.folder.name] for one in results if one.folder}


def test_a_worker_that_cannot_open_the_archive_is_named_before_any_tenant_runs(
    grid: Grid, azure: AzureArchive, azurite: str
) -> None:
    key = azurite.partition("AccountKey=")[2].partition(";")[0]
    add_worker(grid, "stranger", azurite.replace(key, "bm90IHRoZSBrZXk="))
    while "Registered to" not in grid.log("stranger"):
        time.sleep(0.05)
    with pytest.raises(RunbookError) as raised:
        through(grid, azure.url, batch_plan.plan(grid.keys[:1], STEPS))
    grid.end("stranger")
    assert raised.value.message.count("tcp://") == raised.value.message.count("cannot use the archive") == 1
    assert "bm90IHRoZSBrZXk=" not in str(raised.value)
    assert there(azure.url, grid.keys[:1]) == {grid.keys[0]: []}


def ordered(url: str, since: str = "") -> Order:
    return Order("topic", STEPS, since or batch_plan.plan([], STEPS).since, "", task.edition(), 600, url)


def carried_out(key: str, order: Order, tell: Callable[[Json], None] = lambda _: None) -> TenantResult:
    """Be a worker."""
    return task.carry_out(key, order, tell, lambda: True)


@pytest.fixture(params=["folder", "azure"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty archive: a folder, and Azure Blob."""
    if request.param == "folder":
        (tmp_path / "archive").mkdir()
        return FolderArchive(tmp_path / "archive").url
    found: AzureArchive = request.getfixturevalue("azure")
    return found.url


def test_of_two_who_want_the_same_tenant_one_waits(grid: Grid, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.05)
    order, key = ordered(url), grid.keys[4 if url.startswith("file") else 5]
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(carried_out, [key] * 2, [order] * 2))
    assert ([one.error for one in both], len(there(url, [key])[key])) == (["", ""], 1)
    assert sorted(len(one.steps) for one in both) == [0, len(STEPS)]


def test_one_who_waits_too_long_says_who_is_at_it(grid: Grid, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 0.1)
    with store.opened(url) as place, lease.held(place, grid.keys[0]):
        refused = carried_out(grid.keys[0], ordered(url))
    assert f"it holds {url}/_locks/{grid.keys[0]}." in refused.error
    with store.opened(url) as place, lease.held(place, grid.keys[0]) as free_now:
        assert not free_now.lost


def test_a_lease_that_is_lost_ends_the_tenant_s_process(
    grid: Grid, azure: AzureArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    began = list[Json]()

    def take(event: Json) -> None:
        if event["event"] == "begun":
            began.append(event)
            os.kill(event["process"], signal.SIGSTOP)  # or it might be done before its lock is lost
            free(azure, event["tenant"])

    result = carried_out(grid.keys[0], ordered(azure.url), take)
    assert f"The lock {azure.url}/_locks/{grid.keys[0]} was lost" in result.error
    assert not Path(f"/proc/{began[0]['process']}").exists()
    assert there(azure.url, grid.keys[:1]) == {grid.keys[0]: []}
    assert list((tmp_path / "outputs" / "_work").iterdir()) == []


def test_a_lease_without_an_answer_is_lost_before_somebody_else_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute:
        def renew(self) -> bool:
            raise ArchiveError("No answer.")

        def release(self) -> None:
            raise ArchiveError("No answer.")

    now = [0.0]
    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: now[0]))
    kept = lease.Lease(Mute(), "az://evidence/_locks/contoso", 0.0)
    kept.check()
    now[0] = lease.SURE_SECONDS + 1
    with pytest.raises(ArchiveError, match="was lost"):
        kept.check()
    kept.end()


def test_a_lease_counts_from_before_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        def renew(self) -> bool:
            return True

        def release(self) -> None:
            now[0] = 0.0

    class Slow:
        url = "az://evidence"

        def lock(self, _: str) -> store.Lock | None:
            now[0] += lease.SURE_SECONDS - 10
            return Free() if now[0] > lease.SURE_SECONDS else None

    now = [0.0]
    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None))
    with lease.held(Slow(), "contoso") as held:  # type: ignore[arg-type]
        assert not held.lost  # somebody else had it when it was asked for first
        now[0] += 11
        assert held.lost


def test_a_run_whose_lock_was_lost_is_not_sent_by_hand_before_another_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    run = seal.seal(two_steps(tmp_path / "outputs"), clock=lambda: NOW)
    url = FolderArchive(tmp_path / "archive").url
    with store.opened(url) as place, lease.held(place, "contoso") as held:
        monkeypatch.setattr(lease, "SURE_SECONDS", -1)
        with pytest.raises(ArchiveError, match="was lost") as raised:
            outpost._send(place, run, held, over=True)
    assert raised.value.remedy.startswith("First: runbook run --resume")
    assert raised.value.remedy.endswith(f"only if that fails, there: runbook push {run} --to {url}")
    assert there(url, ["contoso"]) == {"contoso": []}


def test_a_run_is_kept_and_told_whatever_becomes_of_logs_and_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    (tmp_path / "_logs").write_bytes(b"in the way")

    def refuse(_: Path) -> None:
        raise PermissionError

    def end(how: ArchiveError) -> None:
        with outpost._scratch("contoso") as outputs:
            (outputs / "_logs").mkdir(parents=True)
            raise how

    monkeypatch.setattr(outpost, "_remove", refuse)
    for told in (outpost._Kept("It is kept."), ArchiveError("Nothing was made.")):
        with pytest.raises(ArchiveError) as raised:
            end(told)
        assert raised.value is told


@pytest.mark.parametrize(
    ("problem", "words"),
    [(ArchiveError("The disk is full.", "Free space."), "The disk is full."), (ValueError("sig=abc"), "ValueError.")],
)
def test_a_run_that_cannot_be_sent_stays_on_its_worker_and_can_be_sent_by_hand(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, words: str
) -> None:
    (tmp_path / "archive").mkdir()
    archive, key = FolderArchive(tmp_path / "archive"), grid.keys[6 if isinstance(problem, ArchiveError) else 7]

    create, sent = store.Folder.create, list[str]()

    def full(place: store.Folder, path: str, content: bytes) -> None:
        if len(sent) == 5:
            raise problem
        sent.append(path)
        create(place, path, content)

    with monkeypatch.context() as patch:
        patch.setattr(store.Folder, "create", full)
        result = carried_out(key, ordered(archive.url))
    [run] = (tmp_path / "outputs" / "_work").glob(f"{key}-*/outputs/{key}/*-*")
    assert (result.outcome, words in result.error, "sig=" in result.error) == (None, True, False)
    assert f"then there: runbook push {run} --to {archive.url}" in result.error
    assert there(archive.url, [key]) == {key: []}
    assert [one.exit_code for one in push_to(archive, run)] == [0]
    assert there(archive.url, [key]) == {key: [run.name]}


def test_a_run_that_cannot_be_sealed_stays_on_its_worker(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    monkeypatch.setenv("RUNBOOK_SIGNING_KEY", str(tmp_path / "no key"))
    result = carried_out(grid.keys[8], ordered((tmp_path / "archive").as_uri()))
    [run] = (tmp_path / "outputs" / "_work").glob("*/outputs/gen-*/*-*")
    assert "no key" in result.error
    assert "over but not sealed. It is kept on" in result.error
    assert (folder.is_sealed(run), sorted(record.latest(run))) == (False, list(STEPS))


@pytest.fixture
def two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FolderArchive, list[Path]]:
    """Two sealed runs of one tenant, in an archive and on a machine that is not this one."""
    (tmp_path / "archive").mkdir()
    archive, elsewhere = FolderArchive(tmp_path / "archive"), tmp_path / "elsewhere"
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(elsewhere))
    first = seal.seal(two_steps(elsewhere), clock=lambda: NOW)
    second = new_run(elsewhere, at=NOW.replace(hour=20))
    (second / "data").rmdir()
    second.rmdir()
    copied = two_steps(tmp_path / "later")
    copied.rename(second)
    for path in [*second.glob("data/*.json")]:
        path.write_text(path.read_text().replace(first.name, second.name))
    seal.seal(second, clock=lambda: NOW.replace(hour=21))
    push_to(archive, first, second)
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    return archive, [first, second]


@pytest.mark.parametrize("recent", [1, 12])
def test_what_later_runs_read_is_brought_home_with_a_receipt(
    two_runs: tuple[FolderArchive, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    archive, runs = two_runs
    monkeypatch.setattr(archived, "RECENT", recent)
    with store.opened(archive.url) as place:
        assert archived.bring_home(place, "contoso", "2999") is None
        home = archived.bring_home(place, "contoso", runs[0].name)
    assert home == tmp_path / "outputs" / "contoso" / runs[1].name
    assert [one.kind for one in verify.verify(home)] == [Kind.ARCHIVED]
    assert any("sealed before it: 1, none missing" in one for one in verify.proofs(home))
    assert record.latest(home) == record.latest(runs[1])
    assert [one.name for one in folder.runs(tmp_path / "outputs", "contoso")] == [one.name for one in runs][-recent:]
    assert not [path.name for path in home.rglob("*") if path.name.endswith((".ipynb", ".raw.json"))]
    with store.opened(archive.url) as place:
        archived.bring(place, "contoso", archived.sealed(place, "contoso"), tmp_path / "worker")
    assert [path.name for path in (tmp_path / "worker").rglob("*.raw.json")] == ["06_access.raw.json"] * min(recent, 2)


def test_runs_are_brought_home_as_far_back_as_pictures_look() -> None:
    assert archived.RECENT == history.LONGEST_STORY


def test_a_name_in_the_archive_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def names(self, _: str) -> list[str]:
            return ["../../x/tagmanifest-sha256.txt"]

    with pytest.raises(ArchiveError, match="No sealed run has a file"):
        archived.sealed(Hostile(), "contoso")  # type: ignore[arg-type]


def test_only_what_is_named_as_a_run_counts_as_one() -> None:
    class Restored:
        def names(self, _: str) -> list[str]:
            return [f"{run}/tagmanifest-sha256.txt" for run in ("20261123T010000Z-0a1b", "restored-2026", "3-old")]

    runs = archived.sealed(Restored(), "contoso")  # type: ignore[arg-type]
    assert list(runs) == ["20261123T010000Z-0a1b"]
    assert [archived.is_done(runs, since) for since in ("20261123T010000Z", "20261123T010001Z")] == [True, False]


def test_a_worker_sees_whether_the_driver_means_the_same_archive(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path / "outputs"))
    assert "sees another place" in outpost.look(url)
    with store.opened(url) as place, lease.held(place, outpost.PROBE):
        assert outpost.look(url) == ""
    assert "cannot use the archive" in outpost.look(f"{tmp_path}/nowhere")


def test_each_worker_has_an_equal_part_of_the_limit(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attend(
        target: Callable[..., None], arguments: tuple[Any, ...], _: Order, result: TenantResult, *__: Any
    ) -> None:
        target(result.key, *arguments, None)

    (tmp_path / "archive").mkdir()
    monkeypatch.setenv(budget.VARIABLE, str(tmp_path))
    monkeypatch.setenv(budget.SHARERS, "1")
    shared = list[budget.Budget | None]()
    monkeypatch.setattr(task, "_attend", attend)
    monkeypatch.setattr(task, "run_in_turn", lambda *_: shared.append(budget.of("app")))
    assert carried_out(grid.keys[0], replace(ordered(str(tmp_path / "archive")), workers=3)).error == ""
    assert [one.most for one in shared if one] == [budget.MOST // 3]


REFUSED = [
    ("s3://bucket/path", "S3 lends no locks"),
    ("az://evidence/runs?sig=abc", "carries a credential"),
    ("https://example.com/x", "no archive that this runbook knows"),
]


@pytest.mark.parametrize(("address", "words"), REFUSED)
def test_an_archive_that_will_not_do_is_refused_before_anything_begins(
    address: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret-of-anybody")
    monkeypatch.setenv("RUNBOOK_OUTPUTS", str(tmp_path))
    with pytest.raises(UsageError, match=words):
        cluster.run(["contoso"], STEPS, address="tcp://127.0.0.1:1", archive=address, since="", on_event=lambda _: None)


def test_an_archive_without_a_scheduler_is_what_push_is_for() -> None:
    found = CliRunner().invoke(main.app, ["run", "contoso", "--archive", "az://evidence/runs"])
    assert isinstance(found.exception, UsageError)
    assert "runbook push --to" in found.exception.remedy
