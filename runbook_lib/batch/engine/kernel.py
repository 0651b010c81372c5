"""The fast papermill engine: IPython's own kernel and papermill's own client in one process, with nothing between them.

`papermill --engine runbook` starts no process, opens no socket and waits for no heartbeat. What such a kernel cannot do
as a kernel in its own process does goes the plain way, through papermill's own engine; docs/engine.md lists it.
"""

from __future__ import annotations

import ast
import asyncio
import atexit
import io
import logging
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import papermill
import tqdm.auto  # type: ignore[import-untyped]  # noqa: F401 - its bar takes a process with ipykernel for a notebook
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, get_kernel_spec
from jupyter_client.session import Session
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io
from papermill.log import logger
from traitlets.config import Config

from runbook_lib.batch.engine import fast_validation

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or debugpy, which every kernel imports, warns on stderr
NAME = "runbook"
SAVE_SECONDS = 2.0
"""Between two saves while a notebook runs; papermill's own engine saves twice a cell."""
ELSEWHERE = {
    "calls": {"breakpoint", "exit", "get_ipython", "input", "quit"},
    "modules": {
        "ctypes",
        "getpass",
        "ipywidgets",
        "matplotlib",
        "multiprocessing",
        "pdb",
        "signal",
        "subprocess",
        "tqdm",
    },
    "attributes": {"_exit", "abort", "dup2", "execv", "fork", "popen", "system"},
}
"""What a notebook may name only if its kernel is a process of its own: prompts, live widgets, processes, signals."""


def why_plain(cells: Iterator[Any] | list[Any]) -> str:
    """Return what in the code cells wants a kernel process of its own, or nothing.

    Magics, shell commands and `?` are no Python, so a cell that is none goes the plain way whatever the reason.
    """
    for cell in cells:
        if cell.cell_type != "code":
            continue
        try:
            tree = ast.parse(cell.source)
        except (SyntaxError, ValueError) as error:
            return f"a cell that is not plain Python ({error})"
        for node in ast.walk(tree):
            if named := _named(node) & set().union(*ELSEWHERE.values()):
                return ", ".join(sorted(named))
    return ""


def _named(node: ast.AST) -> set[str]:
    match node:
        case ast.Name():
            return {node.id} & ELSEWHERE["calls"]
        case ast.Attribute():
            return {node.attr} & ELSEWHERE["attributes"]
        case ast.Import():
            return {alias.name.partition(".")[0] for alias in node.names} & ELSEWHERE["modules"]
        case ast.ImportFrom():
            parts = {alias.name for alias in node.names} & ELSEWHERE["attributes"]
            return parts | {(node.module or "").partition(".")[0]} & ELSEWHERE["modules"]
    return set()


class RunbookEngine(NBClientEngine):  # type: ignore[misc]
    """Papermill's engine, with a kernel in this process where that makes no difference."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """Execute the notebook of `nb_man`; papermill calls this, and knows the options."""
        _save_seldom(nb_man)
        _save_in_one_piece()
        if why := _why_not_here(kernel_name, options) or why_plain(nb_man.nb.cells):
            logger.info("Executing in a kernel process of its own: %s", why)
            return super().execute_managed_notebook(nb_man, kernel_name, **options)
        told = {name: options.get(name) for name in ("log_output", "stdout_file", "stderr_file")}
        client = _NotebookClient(nb_man, kernel_name=kernel_name, log=logger, **told)
        return client.execute()


def execute(source: Path, copy: Path, parameters: Mapping[str, str], *, here: bool) -> PapermillExecutionError | None:
    """Execute `source` into `copy`, `here` or in a kernel process, and return the error that stopped it, if any."""
    papermill_engines.register(NAME, RunbookEngine)
    with tempfile.TemporaryDirectory(prefix="runbook-") as sockets:  # a socket's path must be short
        try:
            papermill.execute_notebook(
                source,
                copy,
                parameters=dict(parameters),
                engine_name=NAME if here else None,
                request_save_on_cell_execute=not here,
                progress_bar=False,
                config=_kernel_transport(sockets),
            )
        except PapermillExecutionError as error:
            return error
    return None


def _kernel_transport(sockets: str) -> Config:
    """Let kernels talk over files that only this user can open: TCP ports are in the clear, and collide under load."""
    return Config() if os.name == "nt" else Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})


def _why_not_here(kernel_name: str, options: dict[str, Any]) -> str:
    if options.get("execution_timeout") or options.get("timeout"):
        return "a cell can be timed out only from outside"
    if not _is_this_python(kernel_name):
        return f"the kernel {kernel_name} is another program"
    if IPythonKernel.initialized() or ZMQInteractiveShell.initialized():
        return "this process is a kernel already"
    if threading.current_thread() is not threading.main_thread() or asyncio._get_running_loop():
        return "the notebook must have the main thread for itself"
    return ""


@cache
def _is_this_python(kernel_name: str) -> bool:
    program, *arguments = get_kernel_spec(NATIVE_KERNEL_NAME if kernel_name == "python" else kernel_name).argv
    return program in ("python", "python3", sys.executable) and arguments[:2] == ["-m", "ipykernel_launcher"]


def _save_seldom(nb_man: Any) -> None:
    """Let `nb_man` write its file every SAVE_SECONDS at most, sooner if papermill is told so, and at the end."""
    save, last, seconds = nb_man.save, time.monotonic(), min(SAVE_SECONDS, nb_man.autosave_cell_every or SAVE_SECONDS)

    def seldom(**options: Any) -> None:
        nonlocal last
        if nb_man.end_time or nb_man.nb.metadata.papermill["exception"] or time.monotonic() - last > seconds:
            save(**options)
            last = time.monotonic()

    nb_man.save = seldom


@cache  # papermill has one handler of local files, for as long as the process lives
def _save_in_one_piece() -> None:
    """Let papermill put each new version of a file in the place of the old one, so that no kill leaves half of one."""
    local = papermill_io.get_handler("local")
    write = local.write

    def whole(content: str, path: str) -> None:
        place = Path(local._cwd or "", path).resolve()
        if place.exists() and not place.is_file():  # /dev/stdout and its like
            write(content, path)
            return
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            write(content, str(part))
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)

    local.write = whole


class _NotebookClient(PapermillNotebookClient):  # type: ignore[misc]
    """Papermill's client with a kernel that is a part of this process."""

    @contextmanager
    def setup_kernel(self, **_: object) -> Iterator[None]:
        with fast_validation.quickly(papermill.engines), _process_as_it_was(), _kernel() as self.kc:
            yield


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Begin with fresh random numbers, and undo what a notebook does to the process: environment, paths, warnings."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    environment, paths, place = dict(os.environ), list(sys.path), os.getcwd()  # noqa: PTH109 - as text, to go back to
    sys.path.insert(0, "")  # as in a kernel: modules beside the notebook's working directory
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = paths
        os.chdir(place)


@contextmanager
def _kernel() -> Iterator[_KernelClient]:
    """Make the kernel, let it take over the process's streams, and take it apart again."""
    client = _KernelClient()
    shell: Any = client.kernel.shell
    try:
        yield client
    finally:
        client.stop()
        shell.restore_sys_module_state()
        atexit.unregister(shell.atexit_operations)
        shell.user_ns.clear()
        ZMQInteractiveShell.clear_instance()
        _Kernel.clear_instance()


class _Line(Session):
    """Carries a message from the kernel to the client as the wire would: packed into JSON and unpacked again."""

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,  # noqa: ARG002 - addresses and tracking are for sockets
        buffers: Any = None,
        track: bool = False,  # noqa: ARG002
        header: Any = None,
        metadata: Any = None,
    ) -> Any:
        """Put the message, or one made of its parts, into `stream`."""
        made = (
            msg_or_type if isinstance(msg_or_type, dict) else self.msg(msg_or_type, content, parent, header, metadata)
        )
        stream.append({**made, "content": self.unpack(self.pack(made["content"])), "buffers": buffers or []})
        return made


class _Stream(io.StringIO):
    """Standard output or error as a kernel has it: kept until the kernel flushes it, or a fifth of a second."""

    def __init__(self, send: Callable[[str], object]) -> None:
        super().__init__()
        self._send, self._since = send, 0.0

    def write(self, text: str) -> int:
        """Keep `text`; send all there is when its first part has waited too long."""
        now = time.monotonic()
        self._since = self._since if self.tell() else now
        length = super().write(text)
        if now - self._since > 0.2:
            self.flush()
        return length

    def flush(self) -> None:
        """Send what there is."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        if text:
            self._send(text)


class _Kernel(IPythonKernel):
    """IPython's kernel without sockets: it is called, and what it says is in two queues."""

    shell_channel_thread = SimpleNamespace(parent_thread=None)  # cells are not in it: no handler for SIGINT
    _execute_sleep = 0  # which lets a real kernel's output arrive before its reply
    debugger_class: Any = staticmethod(lambda *_: None)  # nobody could attach one

    def _abort_queues(self, *_: object) -> None:
        """Nothing waits in a queue."""


class _KernelClient:
    """What nbclient needs of a kernel client."""

    def __init__(self) -> None:
        self._said: deque[Any] = deque()
        self._replies: deque[Any] = deque()
        self.iopub_channel = SimpleNamespace(get_msg=lambda **_: self._said.popleft())
        self.shell_channel = SimpleNamespace(get_msg=lambda **_: self._replies.popleft())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._logging: tuple[list[logging.Handler], int] = [], logging.WARNING
        self.session = _Line()
        no_history = Config(HistoryManager={"enabled": False})
        log = logging.getLogger("ipykernel")
        self.kernel: Any = _Kernel.instance(session=self.session, iopub_socket=self._said, log=log, config=no_history)
        for name in ("stdout", "stderr"):
            setattr(sys, name, _Stream(partial(self._print, name)))

    def _print(self, name: str, text: str) -> None:
        parent = self.kernel.shell.parent_header
        self.session.send(self._said, "stream", {"name": name, "text": text}, parent)

    async def execute(self, code: str, store_history: bool, stop_on_error: bool) -> str:
        """Execute `code` to its end and return the id of the request."""
        self._loop = asyncio.get_running_loop()
        content = {"code": code, "silent": False, "store_history": store_history, "stop_on_error": stop_on_error}
        request = self.session.msg("execute_request", content)
        self.kernel.set_parent([], request)
        self.session.send(self._said, "status", {"execution_state": "busy"}, request)
        self._change_logging()
        await self.kernel.execute_request(self._replies, [], request)
        self._change_logging()
        self.session.send(self._said, "status", {"execution_state": "idle"}, request)
        return str(request["header"]["msg_id"])

    def _change_logging(self) -> None:
        """Give cells a root logger of their own, new as in a new process; papermill's is there between cells."""
        root = logging.getLogger()
        cells, self._logging = self._logging, (list(root.handlers), root.level)
        root.handlers[:] = cells[0]
        if root.level != cells[1]:  # setting it empties every logger's cache
            root.setLevel(cells[1])

    def kernel_info(self) -> str:
        """Ask for the kernel's language and return the id of the request."""
        request = self.session.msg("kernel_info_request")
        self.session.send(self._replies, "kernel_info_reply", self.kernel.kernel_info, request)
        return str(request["header"]["msg_id"])

    def is_alive(self) -> bool:
        """Tell that the kernel lives: it does as long as this process."""
        return True

    def stop(self) -> None:
        """Cancel what the notebook left running."""
        if self._loop:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
