"""The log of every request: in memory for tests and the control endpoint, in a file as JSON lines; never a secret."""

import json
import re
import time
from pathlib import Path
from typing import IO

from starlette.requests import Request

from runbook_lib.sandbox.world.world import World

KEPT = 10_000  # requests in memory
SECRET = re.compile(
    r"((?:^|&)(?:code|client_secret|client_assertion|assertion|refresh_token|access_token|id_token_hint|password"
    r"|device_code|otc)=)[^&]*",
    re.IGNORECASE,
)


class RequestLog:
    """Writes one line for each request; close it when the server has ended."""

    def __init__(self, world: World, file: Path) -> None:
        """Begin the file anew."""
        self._world = world
        self._file: IO[str] = file.open("w", encoding="utf-8")

    def add(self, request: Request, status: int, started: float) -> None:
        """Note method, URL without secrets, status and milliseconds since `started` (perf_counter)."""
        query = SECRET.sub(r"\1***", request.scope["query_string"].decode("latin-1"))
        path = request.scope.get("raw_path", b"").decode("latin-1") or request.scope["path"]
        entry = {
            "time": self._world.now().isoformat(timespec="milliseconds"),
            "method": request.method,
            "url": f"https://{request.headers.get('host', '')}{path}{'?' if query else ''}{query}",
            "status": status,
            "ms": round((time.perf_counter() - started) * 1000, 1),
        }
        self._world.log.append(entry)
        del self._world.log[:-KEPT]
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
