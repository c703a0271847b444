"""The real server, a real browser, and the table of budgets.

``ATOMSCOPE_BUDGETS=FILE`` says where the measured budgets go as JSON (default ``tests/browser/shots/budgets.json``, ignored
by git); they are printed at the end of the run either way.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from engine.paths import DEMO_ATLAS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

PAGES = {
    "": "Overview",
    "counts": "Activation counts",
    "concepts": "Concepts",
    "map": "Dictionary map",
    "retrieval": "Retrieval",
}
IDLE = "[data-testid='stApp'][data-test-script-state='notRunning']"
SHOTS = Path(__file__).parent / "shots"
PATIENCE = 40_000  # ms; two cores may be shared with a compiler

# Streamlit looks for its own endpoints below the page's path first, and falls back: that 404 is how it finds its root.
_PROBE = re.compile(r"/_stcore/|/host-config|/health")


@dataclass(frozen=True)
class Server:
    """One running dashboard."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    keys: dict[str, str]
    """``demo``, ``medium`` (16,384 atoms), ``large`` (49,152) -> atlas key."""
    atoms: dict[str, int]

    def memory(self) -> float:
        """Resident memory in GB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1e6


@dataclass
class View:
    """A page of the browser, with what every test wants to do in it."""

    page: Page
    server: Server
    faults: list[str] = field(default_factory=list)

    def open(self, path: str = "", atlas: str | None = "demo", **query: str | int) -> View:
        """Go to a page of the dashboard and wait until its script has run."""
        if atlas is not None:
            query = {"atlas": self.server.keys.get(atlas, atlas)} | query
        self.page.goto(f"{self.server.url}/{path}?{urlencode(query)}")
        return self.settle()

    def settle(self) -> View:
        """Wait until the script is not running, and still is not a moment later."""
        for _ in range(2):
            self.page.wait_for_selector(IDLE, timeout=PATIENCE)
            self.page.wait_for_timeout(120)
        return self

    @property
    def query(self) -> dict[str, str]:
        """Parameters of the address."""
        from urllib.parse import parse_qs

        return {name: values[-1] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    @property
    def map(self) -> Locator:
        """The atom map."""
        return self.page.locator(".atom-map").first

    def map_ready(self) -> View:
        """Wait until the points are drawn."""
        self.map.wait_for()
        self.map.scroll_into_view_if_needed()  # points are fetched when they are about to be seen
        self.page.wait_for_selector(".atom-map[data-state=ready], .atom-map[data-state=failed]", timeout=PATIENCE)
        assert self.told("state") == "ready", self.map.inner_text()
        return self

    def told(self, name: str) -> str:
        """What the map says about itself: ``points``, ``selected``, ``focus``, ``range``, ``mount``, ..."""
        return self.map.get_attribute(f"data-{name}") or ""

    def until(self, name: str, wanted: str | Callable[[str], bool], timeout: float = PATIENCE / 1000) -> str:
        """Wait until the map says so, and return what it says."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            value = self.told(name)
            if value == wanted if isinstance(wanted, str) else wanted(value):
                return value
            self.page.wait_for_timeout(15)
        raise AssertionError(f"the map's {name} is {self.told(name)!r}, not what the test waited for ({wanted!r})")

    def place(self, atom: int) -> tuple[float, float]:
        """Where an atom is drawn, in pixels of the window."""
        left, top = self.page.evaluate(
            """atom => { const root = document.querySelector(".atom-map"), [x, y] = root.map.overlay.placeOf(atom),
               box = root.querySelector(".stage").getBoundingClientRect(); return [box.left + x, box.top + y] }""",
            atom,
        )
        return float(left), float(top)

    def lonely(self) -> int:
        """A drawn atom with no other near it, so that a click can mean no other."""
        atom: int = self.page.evaluate(
            """() => { const { split, overlay } = document.querySelector(".atom-map").map
              const atoms = [...split.colored, ...split.rest], { left, top, width, height } = overlay.box
              const spots = atoms.map(atom => overlay.placeOf(atom))
              let best = [-1, 0]
              for (let i = 0; i < atoms.length; i += Math.ceil(atoms.length / 400)) {
                const [x, y] = spots[i]
                if (x < left + 30 || x > left + width - 130 || y < top + 40 || y > top + height - 30) continue
                const near = Math.min(...spots.map(([u, v], j) => j === i ? Infinity : (u - x) ** 2 + (v - y) ** 2))
                if (near > best[0]) best = [near, atoms[i]]
              }
              return best[1] }"""
        )
        return atom

    def lasso(self, half: float = 90) -> None:
        """Draw a lasso round the middle of the map."""
        self.map.locator("[data-val=lasso]").click()
        box = self.map.locator(".stage").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = self.page.mouse
        mouse.move(x - half, y - half)
        mouse.down()
        for across, down in ((half, -half), (half, half), (-half, half), (-half, -half)):
            mouse.move(x + across, y + down, steps=4)
        mouse.up()

    def healthy(self) -> None:
        """No error box, nothing on the console."""
        boxes = self.page.locator("[data-testid=stException], [data-testid=stAlertContentError], .stException")
        assert not boxes.count(), boxes.all_inner_texts()
        assert not self.faults, self.faults


@pytest.fixture(scope="session")
def atlases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shipped demo atlas (a synthetic one while there is none) and synthetic ones of 16,384 and 49,152 atoms."""
    from tests.synthetic_atlas import write_synthetic_atlas

    folder = tmp_path_factory.mktemp("atlases")
    made = {"medium": (16_384, 400), "large": (49_152, 400)}
    if (DEMO_ATLAS / "atlas.json").is_file():
        paths = {"demo": DEMO_ATLAS}
    else:
        paths, made = {}, {"demo": (4_096, 400), **made}
    for seed, (name, (atoms, items)) in enumerate(made.items()):
        paths[name] = folder / name
        write_synthetic_atlas(paths[name], atoms, items, seed)
    return paths


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start ``atomscope serve`` on a free port, with further options; every server started is stopped at the end."""
    from engine.atlas import Atlas

    running: list[Server] = []

    def start(paths: dict[str, Path], *options: str) -> Server:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = tmp_path_factory.mktemp("server") / "log"
        command = [sys.executable, "-m", "engine.cli.main", "serve", "--no-browser", "--port", str(port), *options]
        for path in paths.values():
            command += ["--atlas", str(path)]
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}  # as a person's
        process = subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, env=environment)
        known = {name: Atlas.open(path) for name, path in paths.items()}
        keys = {name: atlas.key for name, atlas in known.items()}
        atoms = {name: atlas.n_atoms for name, atlas in known.items()}
        running.append(Server(f"http://127.0.0.1:{port}", process, log, keys, atoms))
        return running[-1]

    yield start
    for server in running:
        server.process.terminate()
        try:
            server.process.wait(10)
        except subprocess.TimeoutExpired:
            server.process.kill()


@pytest.fixture(scope="session")
def server(start: Callable[[dict[str, Path]], Server], atlases: dict[str, Path]) -> Server:
    """The dashboard over all three atlases; the demo comes first, so it opens by itself."""
    server = start({name: atlases[name] for name in ("demo", "medium", "large")})
    wait_for(server)
    return server


def wait_for(server: Server, seconds: float = 60) -> None:
    """Wait until the server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.process.poll() is None:
        try:
            with urlopen(f"{server.url}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"the server did not start:\n{server.log.read_text()}", pytrace=False)


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Headless chromium with WebGL in software."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def contexts(browser: Browser) -> Iterator[Callable[[str], BrowserContext]]:
    """One profile a theme: tests share its cache as a person's tabs do."""
    made: dict[str, BrowserContext] = {}

    def context(theme: str) -> BrowserContext:
        if theme not in made:
            scheme: Any = theme
            made[theme] = browser.new_context(
                color_scheme=scheme, viewport={"width": 1280, "height": 900}, accept_downloads=True
            )
        return made[theme]

    yield context
    for context_ in made.values():
        context_.close()


@pytest.fixture
def new_view(contexts: Callable[[str], BrowserContext], server: Server) -> Iterator[Callable[..., View]]:
    """Open tabs; they are closed after the test."""
    views: list[View] = []

    def new(theme: str = "light", at: Server | None = None) -> View:
        view = watch(contexts(theme).new_page(), at or server)
        views.append(view)
        return view

    yield new
    for view in views:
        view.page.close()


def watch(page: Page, server: Server) -> View:
    """A view that collects whatever goes wrong in the page."""
    view = View(page, server)
    page.set_default_timeout(PATIENCE)

    def said(message: Any) -> None:
        if message.type == "error" and not (message.location and _PROBE.search(message.location.get("url", ""))):
            view.faults.append(message.text)

    page.on("console", said)
    page.on("pageerror", lambda error: view.faults.append(str(error)))
    page.on("dialog", lambda dialog: (view.faults.append(f"a dialog opened: {dialog.message}"), dialog.dismiss()))
    return view


@pytest.fixture
def view(new_view: Callable[..., View]) -> View:
    """A light tab."""
    return new_view()


# Budgets.

_MEASURED: list[tuple[str, float, float, str]] = []


@pytest.fixture(scope="session")
def budget() -> Callable[[str, float, float, str], None]:
    """``budget(what, measured, allowed, unit)``: note a figure for the table.

    Bytes must fit. Seconds are told and never failed: the cores may be busy with other work.
    """

    def note(what: str, measured: float, allowed: float, unit: str) -> None:
        _MEASURED.append((what, measured, allowed, unit))
        assert unit in ("s", "ms") or measured <= allowed, f"{what}: {measured:.3g} {unit}, allowed {allowed:g}"

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the budgets and keep them as JSON."""
    if not _MEASURED:
        return
    terminalreporter.section("dashboard budgets")
    for what, measured, allowed, unit in _MEASURED:
        verdict = "ok" if measured <= allowed else "OVER"
        terminalreporter.write_line(f"{what:<58} {measured:>9.3g} {unit:<3} of {allowed:>6g}  {verdict}")
    path = Path(os.environ.get("ATOMSCOPE_BUDGETS") or SHOTS / "budgets.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [dict(zip(("what", "measured", "allowed", "unit"), row, strict=True)) for row in _MEASURED]
    path.write_text(json.dumps(rows, indent=2) + "\n")
