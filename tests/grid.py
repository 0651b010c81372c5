"""A scheduler and workers of Dask, as an administrator would start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
WORKER = ("--no-nanny", "--nthreads", "2", "--memory-limit", "0", "--no-dashboard")


@dataclass
class Grid:
    """A scheduler and its workers, each a process that can be killed."""

    place: Path
    address: str = ""
    keys: list[str] = field(default_factory=list)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str, **environment: str) -> None:
        """Start `dask scheduler` or `dask worker` as an administrator would; its words go to a file."""
        command = [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1"]
        with (self.place / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=CHECKOUT, env={**os.environ, **environment}
            )

    def start_scheduler(self, protocol: str) -> None:
        about = self.place / "scheduler.json"
        options = ("--port", "0", "--no-show", "--scheduler-file", str(about))
        self.start("scheduler", "scheduler", "--protocol", protocol, *options)
        while not about.exists() or not about.read_bytes():
            assert self.processes["scheduler"].poll() is None, self.log("scheduler")
            time.sleep(0.05)
        self.address = json.loads(about.read_bytes())["address"]

    def start_worker(self, name: str, **environment: str) -> None:
        place = str(self.place / "scratch")
        self.start(name, "worker", self.address, "--name", name, "--local-directory", place, *WORKER, **environment)

    def end(self, name: str) -> None:
        with self.processes.pop(name) as process:
            process.kill()

    def end_all(self) -> None:
        for name in list(self.processes):
            self.end(name)

    def at(self, address: str) -> str:
        """Return the name of the worker at `address`."""
        return next(name for name in self.processes if f"at: {address:>26}\n" in self.log(name))

    def log(self, name: str) -> str:
        return (self.place / f"{name}.log").read_text()

    @property
    def outputs(self) -> Path:
        return self.place / "outputs"
