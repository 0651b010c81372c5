"""`runbook demo`: the whole runbook on the sandbox cloud, for people who have no tenant at hand."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from runbook_lib import batch, records
from runbook_lib.batch import TenantResult
from runbook_lib.model import Json
from runbook_lib.sandbox import server

FORETOLD = Path(server.__file__).with_name("demo.yaml")


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo came to: each tenant's result, what its scenario foretells, and the page about all of them."""

    results: tuple[TenantResult, ...]
    foretold: dict[str, Json]
    portfolio: Path

    @property
    def surprises(self) -> list[str]:
        """Return the tenants that did not come out as foretold."""
        return [one.key for one in self.results if one.error or one.outcome != self.foretold[one.key]["outcome"]]


def tenants() -> dict[str, Json]:
    """Return the demo's tenants, each with the outcome that its scenario foretells and what it shows."""
    loaded: dict[str, Json] = yaml.safe_load(FORETOLD.read_text(encoding="utf-8"))
    return loaded


def run(state: Path, *, jobs: int | None, on_event: Callable[[Json], None]) -> Demo:
    """Serve the sandbox from `state`, run every notebook for its tenants, and return what came out."""
    foretold = tenants()
    with server.serving(state, port=0):
        results = batch.run(list(foretold), batch.TENANT_STEPS, jobs=jobs, on_event=on_event)
    return Demo(tuple(results), foretold, portfolio(foretold))


def portfolio(keys: Iterable[str]) -> Path:
    """Return the page of all tenants, of whose tenant files it knows only these; what has a run in outputs it shows.

    A tenant file that the demo does not run, such as that of a real tenant, would stand there as not run yet.
    """
    parameters, before = records.home("parameters"), os.environ.get("RUNBOOK_PARAMETERS")
    with tempfile.TemporaryDirectory() as place:
        for path in (parameters / f"{key}.yaml" for key in keys):
            if path.is_file():
                shutil.copy(path, place)
        os.environ["RUNBOOK_PARAMETERS"] = place  # the notebook runs in a process of its own, which inherits this
        try:
            return batch.portfolio(records.home("outputs"))
        finally:
            if before is None:
                del os.environ["RUNBOOK_PARAMETERS"]
            else:
                os.environ["RUNBOOK_PARAMETERS"] = before
