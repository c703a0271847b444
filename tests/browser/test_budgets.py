"""How fast and how light, measured in a real browser; the table is printed at the end of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.conftest import Server, View

pytestmark = [pytest.mark.browser, pytest.mark.slow]

Budget = Callable[[str, float, float, str], None]

STEPS = 16


class Wire:
    """What goes over the page's websocket, by the browser's own clock."""

    def __init__(self, view: View) -> None:
        self.sent: list[float] = []
        self.received: list[tuple[float, int]] = []
        browser = view.page.context.new_cdp_session(view.page)
        browser.on("Network.webSocketFrameSent", lambda event: self.sent.append(event["timestamp"]))
        browser.on("Network.webSocketFrameReceived", self._received)
        browser.send("Network.enable")

    def _received(self, event: dict[str, Any]) -> None:
        frame = event["response"]
        size = len(frame["payloadData"]) * (3 / 4 if frame["opcode"] == 2 else 1)  # binary frames come as base64
        self.received.append((event["timestamp"], int(size)))

    def clear(self) -> None:
        """Forget what came so far."""
        self.sent.clear()
        self.received.clear()

    def told(self) -> tuple[float, int]:
        """Seconds from the first frame sent to the last received, and the bytes received."""
        last = max((at for at, _ in self.received), default=self.sent[0])
        return last - self.sent[0], sum(size for _, size in self.received)


def p95(values: list[float]) -> float:
    return float(np.quantile(values, 0.95))


def test_start_to_first_paint(
    start: Callable[..., Server], atlases: dict[str, Path], browser: Browser, budget: Budget
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto("about:blank")
    begin = time.perf_counter()
    server = start({"demo": atlases["demo"]})
    while time.perf_counter() - begin < 60:
        try:
            page.goto(server.url, wait_until="commit")
            break
        except Exception:  # not listening yet
            time.sleep(0.05)
    page.locator(".as-concept").first.wait_for(timeout=60_000)
    budget("start of the server to first meaningful paint", time.perf_counter() - begin, 5, "s")
    page.close()


@pytest.mark.parametrize("atlas", ["demo", "large"])
def test_concept_steps(new_view: Callable[..., View], budget: Budget, atlas: str) -> None:
    view = new_view()
    wire = Wire(view)
    view.open("concepts", atlas=atlas, atom=20)
    name = view.page.locator(".as-atom-page .as-id").first
    name.wait_for()
    view.settle()
    seen, server, sizes = [], [], []
    for place in range(STEPS):
        before = name.inner_text()
        wire.clear()
        begin = time.perf_counter()
        view.page.keyboard.press("ArrowRight" if place % 4 != 3 else "ArrowLeft")
        view.page.wait_for_function(
            "before => document.querySelector('.as-atom-page .as-id')?.innerText !== before", arg=before, polling=10
        )
        seen.append(time.perf_counter() - begin)
        view.settle()
        seconds, size = wire.told()
        server.append(seconds)
        sizes.append(size)
    budget(f"next / previous concept in the browser, p95 ({atlas})", 1000 * p95(seen), 300, "ms")
    budget(f"next / previous concept, server and wire, p95 ({atlas})", 1000 * p95(server), 100, "ms")
    budget(f"bytes a concept step, largest ({atlas})", max(sizes) / 1000, 20, "kB")
    view.healthy()


@pytest.mark.parametrize("atlas", ["demo", "large"])
def test_page_switches(new_view: Callable[..., View], budget: Budget, atlas: str) -> None:
    view = new_view().open("", atlas=atlas)
    titles = ["Activation counts", "Concepts", "Dictionary map", "Overview"]
    for title in titles:  # the first visit computes what later ones share
        view.page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        view.settle()
    seen = []
    for title in titles * 3:
        before = view.page.locator("h1").first.inner_text()
        begin = time.perf_counter()
        view.page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        view.page.wait_for_function(
            "old => document.querySelector('h1') && document.querySelector('h1').innerText !== old",
            arg=before,
            polling=10,
        )
        seen.append(time.perf_counter() - begin)
        view.settle()
    budget(f"page switch, p95 ({atlas})", p95(seen), 1, "s")
    view.healthy()


@pytest.mark.parametrize(("atlas", "allowed"), [("medium", 7), ("large", 9)])
def test_map_is_interactive(browser: Browser, server: Server, budget: Budget, atlas: str, allowed: float) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})  # nothing cached
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(f"{server.url}/map?atlas={server.keys[atlas]}")
    page.wait_for_selector(".atom-map[data-state=ready]", timeout=90_000)
    spot = page.locator(".atom-map").get_attribute("data-range")
    page.locator(".atom-map").focus()
    page.keyboard.press("+")
    page.wait_for_selector(f".atom-map:not([data-range='{spot}'])")
    budget(f"map of {server.atoms[atlas]:,} atoms until it answers a key", time.perf_counter() - begin, allowed, "s")
    steps = []
    for atom in range(40, 53):
        begin = time.perf_counter()
        page.evaluate("atom => document.querySelector('.atom-map').map.send('clicked', atom)", atom)
        page.wait_for_selector(f".atom-map[data-focus='{atom}']")
        steps.append(time.perf_counter() - begin)
        page.wait_for_timeout(300)
    del steps[0]  # it opened the panel; the others went from atom to atom
    budget(f"step on the map of {server.atoms[atlas]:,} atoms, p95", 1000 * p95(steps), 300, "ms")
    context.close()


def test_memory(new_view: Callable[..., View], server: Server, budget: Budget) -> None:
    view = new_view()
    for path in ("", "counts", "concepts", "map"):
        view.open(path, atlas="large")
    view.map_ready()
    budget("memory of the server, every page of 49,152 atoms", server.memory(), 2, "GB")
