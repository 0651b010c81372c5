"""Open a link in a private window of a browser on the administrator's own machine, and nowhere else.

What a browser is started with stands in the list of processes, which every account of the machine may read, for as long
as the browser runs. So it is not given the link, which is as good as a password, but an address on this machine that
leads to it once.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic

BROWSERS = (
    ("Microsoft Edge", "--inprivate", ("msedge", "microsoft-edge", "microsoft-edge-stable")),
    ("Google Chrome", "--incognito", ("chrome", "google-chrome", "google-chrome-stable", "chromium")),
    ("Firefox", "-private-window", ("firefox",)),
)
"""Name, the option for a private window, and what the program is called."""
WINDOWS_FOLDERS = (r"Microsoft\Edge\Application", r"Google\Chrome\Application", r"Mozilla Firefox")
MAC_PROGRAMS = {
    "msedge": "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    "chrome": "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "firefox": "/Applications/Firefox.app/Contents/MacOS/firefox",
}
ELSEWHERE = ("JUPYTERHUB_USER", "JUPYTERHUB_API_URL", "SSH_CONNECTION", "SSH_CLIENT", "KUBERNETES_SERVICE_HOST")
"""Signs that the notebook's kernel runs on another machine than the browser in front of the administrator."""
PATIENCE = 60
"""Seconds that a browser may take to start and ask where to go."""
BY_HAND = "Open a private window yourself and paste the link there."


def is_own_machine(environment: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Tell whether this program runs where the administrator sits: not on a hub, over ssh, or without a screen."""
    if any(name in environment for name in ELSEWHERE):
        return False
    return platform in ("win32", "darwin") or bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def open_privately(
    link: str,
    *,
    environment: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    start: Callable[[list[str]], object] = subprocess.Popen,
) -> str:
    """Open `link` in a private window and return what was done, in words; without a suitable browser say so."""
    if not is_own_machine(environment, platform):
        return f"This notebook runs on another machine, so nothing was opened. {BY_HAND}"
    for name, option, programs in BROWSERS:
        program = next((found for one in programs if (found := _installed(one, environment, platform))), None)
        if program:
            start([program, option, once(link)])
            return f"Opened in a private window of {name}."
    return f"No browser was found that opens private windows. {BY_HAND}"


def once(link: str) -> str:
    """Return an address on this machine that leads to `link` the first time, and then, or after a minute, nowhere.

    The address has a part that nobody can guess; whoever does not name it is told nothing.
    """
    word = f"/{secrets.token_urlsafe(24)}"
    server = HTTPServer(("127.0.0.1", 0), _leading(word, link))
    server.timeout = 1
    Thread(target=_serve, args=(server,), daemon=True, name="the way to a private window").start()
    return f"http://127.0.0.1:{server.server_port}{word}"


def _serve(server: HTTPServer) -> None:
    end = monotonic() + PATIENCE
    with server:
        while monotonic() < end and not getattr(server, "led", False):
            server.handle_request()


def _leading(word: str, link: str) -> type[BaseHTTPRequestHandler]:
    class Lead(BaseHTTPRequestHandler):
        timeout = 5  # seconds for whoever connects and says nothing

        def do_GET(self) -> None:
            known = secrets.compare_digest(self.path.encode(), word.encode())
            self.send_response(303 if known else 404)
            if known:
                self.server.led = True  # type: ignore[attr-defined]
                self.send_header("Location", link)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing: the link stands in no log either."""

    return Lead


def _installed(program: str, environment: Mapping[str, str], platform: str) -> str | None:
    if platform == "win32":
        roots = (environment.get("PROGRAMFILES"), environment.get("PROGRAMFILES(X86)"), environment.get("LOCALAPPDATA"))
        places = [Path(root, folder, f"{program}.exe") for root in roots if root for folder in WINDOWS_FOLDERS]
        return next((str(place) for place in places if place.is_file()), None)
    if platform == "darwin":
        place = MAC_PROGRAMS.get(program, "")
        return place if place and Path(place).is_file() else None
    return shutil.which(program, path=environment.get("PATH"))
