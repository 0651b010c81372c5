"""Serve the sandbox cloud: one port, one CA, in a thread for tests or in the foreground for the command."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runbook_lib.sandbox import azure, control, description
from runbook_lib.sandbox.entra import app as entra_app
from runbook_lib.sandbox.entra.scopes import LOOPBACK
from runbook_lib.sandbox.exchange import answers
from runbook_lib.sandbox.graph import app as graph_app
from runbook_lib.sandbox.rehearsal import cronofy, mail, pages
from runbook_lib.sandbox.request_log import RequestLog
from runbook_lib.sandbox.spaceiq import api
from runbook_lib.sandbox.world import keys
from runbook_lib.sandbox.world.world import Json, World, system_clock

Endpoint = Callable[[Request], Awaitable[Response]]
PORT = 8443
PARTS: dict[str, Endpoint] = {
    "v1.0": graph_app.endpoint,
    "beta": graph_app.endpoint,
    "sandbox": control.endpoint,
    "metadata": azure.endpoint,
    "subscriptions": azure.endpoint,
    "tenants": azure.endpoint,
    "queries": api.endpoint,
    "rehearsal": pages.endpoint,
    "mail": mail.endpoint,
    "enterprise_connect": cronofy.endpoint,
}


@dataclass
class Sandbox:
    """A running sandbox cloud."""

    world: World
    credentials: keys.Credentials
    url: str

    @property
    def ca_file(self) -> Path:
        """The certificate to trust: `verify=` of requests, REQUESTS_CA_BUNDLE, --cacert of curl."""
        return self.credentials.ca_file

    def describe(self) -> Json:
        """Addresses, apps with their credentials, tenants and people."""
        return description.describe(self.world, self.url, os.getpid())


class Cloud:
    """The ASGI application: the first segment of the path chooses Graph, the control endpoints or sign-in."""

    def __init__(self, world: World, log: RequestLog, latency_ms: float = 0) -> None:
        """Serve a world; every answer waits `latency_ms` first."""
        self.world, self.log, self.latency = world, log, latency_ms / 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; `request.state.world` is the world."""
        started = time.perf_counter()
        scope["state"] = {"world": self.world}
        request = Request(scope, receive)
        if self.latency:
            await asyncio.sleep(self.latency)
        first = scope["path"].lstrip("/").partition("/")[0].lower()
        status = 500
        try:
            response = await PARTS.get(first, entra_app.endpoint)(request)
            status = response.status_code
        except ClientDisconnect:
            status = 499
            return
        finally:
            self.log.add(request, status, started)  # before it is sent: whoever has the answer finds it in the log
        if request.url.hostname in LOOPBACK:  # else browsers refuse plain http, such as JupyterLab's, on any port
            del response.headers["Strict-Transport-Security"]
        await response(scope, receive, send)


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind loopback for IPv4 and, where there is one, IPv6, on the same port; 0 lets the system choose."""
    sockets = [_bound(socket.AF_INET, host, port)]
    if host == "localhost":
        with contextlib.suppress(OSError):  # no IPv6 loopback here, or the port is taken there
            sockets.append(_bound(socket.AF_INET6, "::1", sockets[0].getsockname()[1]))
    return sockets


def _bound(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """A listening socket that says it is TCP: asyncio switches Nagle's delay off only then."""
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # where it would let two servers share the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(512)
    except OSError:
        bound.close()
        raise
    return bound


def _uvicorn(cloud: Cloud, credentials: keys.Credentials, *, tls: bool) -> uvicorn.Server:
    """The web server around the application, without access log and lifespan events."""
    file = str(credentials.server_file) if tls else None
    config = uvicorn.Config(
        cloud,
        ssl_certfile=file,
        ssl_keyfile=file,
        access_log=False,
        log_level="error",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=120,  # clients keep connections for minutes, as with the real service
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


@contextmanager
def serving(
    state_dir: Path,
    *,
    port: int = 0,
    host: str = "localhost",
    auto_approve: bool = True,
    latency_ms: float = 0,
    generated: int = 0,
    rooms: int = 50,
    tls: bool = True,
) -> Iterator[Sandbox]:
    """Serve in a thread until the block ends; raises StateInUseError when the folder has a server already.

    `generated` tenants gen-0001... with `rooms` rooms each exist beside the scenarios. `tls=False` serves plain HTTP
    for clients behind an adapter; answers link to https all the same.
    """
    with held(state_dir, f"process {description.read(state_dir).get('pid')}"):
        credentials = keys.load(state_dir, system_clock())
        world = World(credentials, generated=generated, rooms=rooms, auto_approve=auto_approve)
        sockets = listen(host, port)
        url = f"{'https' if tls else 'http'}://{host}:{sockets[0].getsockname()[1]}"
        sandbox = Sandbox(world, credentials, url)
        description.write(state_dir, sandbox.describe())
        answers.write_answers(world, state_dir / "exchange")
        log = RequestLog(world, state_dir / "requests.log")
        try:
            with _running(_uvicorn(Cloud(world, log, latency_ms), credentials, tls=tls), sockets):
                yield sandbox
        finally:
            log.close()
            description.write(state_dir, description.describe(world, url, None))


@contextmanager
def _running(server: uvicorn.Server, sockets: list[socket.socket]) -> Iterator[None]:
    """Run the web server in a thread for the length of the block."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(server, sockets, stop)), name="sandbox", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield
    finally:
        stop.set()
        thread.join()
        for bound in sockets:
            bound.close()


async def _serve(server: uvicorn.Server, sockets: list[socket.socket], stop: threading.Event) -> None:
    """Serve until told to stop; then cut idle connections, whose clients would let TLS wait for their goodbye."""
    serving = asyncio.create_task(server.serve(sockets=sockets))
    while not stop.is_set() and not serving.done():
        await asyncio.sleep(0.05)
    server.should_exit = True
    for connection in list(server.server_state.connections):
        cycle = getattr(connection, "cycle", None)
        if cycle is None or cycle.response_complete:
            connection.transport.abort()
    await serving


def run_forever(
    state_dir: Path,
    *,
    port: int = PORT,
    host: str = "localhost",
    auto_approve: bool = True,
    latency_ms: float = 0,
    generated: int = 0,
    rooms: int = 50,
    tls: bool = True,
    on_ready: Callable[[Json], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, which end it cleanly; `on_ready` gets the description once it answers."""
    with (
        _signals() as stop,
        serving(
            state_dir,
            port=port,
            host=host,
            auto_approve=auto_approve,
            latency_ms=latency_ms,
            generated=generated,
            rooms=rooms,
            tls=tls,
        ) as sandbox,
    ):
        if on_ready is not None:
            on_ready(sandbox.describe())
        while not stop.wait(0.5):  # a wait without end would not hear Ctrl+C on Windows
            continue


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that the signals which end a program set instead."""
    stop = threading.Event()
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare(state_dir: Path, port: int = PORT, host: str = "localhost") -> Json:
    """Make keys, cloud.yaml and describe.json for a server that starts later on that port; answers the description."""
    world = World(keys.load(state_dir, system_clock()))
    made = description.describe(world, f"https://{host}:{port}", None)
    description.write(state_dir, made)
    answers.write_answers(world, state_dir / "exchange")
    return made


def describe(state_dir: Path, port: int = PORT) -> Json:
    """The description of the server that runs from the folder, else of one that could."""
    return description.read(state_dir) if is_held(state_dir) else prepare(state_dir, port)


if sys.platform == "win32":
    import msvcrt

    def _try(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class StateInUseError(Exception):
    """Another process serves from the same state folder."""


@contextmanager
def held(folder: Path, owner: str) -> Iterator[None]:
    """Hold the folder's lock; raises StateInUseError, which names the folder and its `owner`, when it is taken."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("ab") as file:
        try:
            _try(file)
        except OSError:
            raise StateInUseError(
                f"{folder} is in use by {owner}; stop that server or choose another folder."
            ) from None
        yield


def is_held(folder: Path) -> bool:
    """Whether a server holds the folder's lock now."""
    if not (folder / "lock").exists():
        return False
    try:
        with held(folder, ""):
            return False
    except StateInUseError:
        return True
