"""What the READMEs say can be done, done: the Python example, the links, the commands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.cli.main import COMMANDS
from engine.paths import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", ".venv-newest", "cache", "node_modules", ".pytest_cache"} & set(path.relative_to(ROOT).parts)
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures in two folders."""
    random = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "photos" / ("noise" if number % 2 else "plain")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (40, 40, 3)) if number % 2 else np.full((40, 40, 3), 20 * number)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path


@pytest.mark.slow
def test_train_and_look_at_an_sae_in_twelve_lines(
    photos: Path, tiny_clip: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    small = code.replace("clip-vit-b16", tiny_clip).replace("4096", "64").replace("epochs=8", "epochs=1")
    assert small.count(tiny_clip) == 1 and "n_atoms=64" in small
    monkeypatch.chdir(photos)
    exec(compile(small, "README.md", "exec"), {})
    assert "monosemanticity" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_command_is_in_the_table_and_nothing_else() -> None:
    table = README.partition("## Command line")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(?:atomscope )?([a-z-]+)", row)}
    assert named == set(COMMANDS)


def test_a_user_reads_it_in_one_sitting() -> None:
    assert len(README.encode()) <= 10_250
