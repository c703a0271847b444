"""What tests of several rooms share. Kept light: whatever is heavy is imported inside the fixture that needs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Tests reach no model hub: what they load is made by them or embedded.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

# No deadline: two cores shared with a compiler or a browser are slow now and then. In CI the examples are always the same.
settings.register_profile("atomscope", deadline=None, max_examples=25, derandomize=CI)
settings.load_profile("atomscope")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Where there is none, the test is skipped on a desk and fails in CI; both say what to install."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        sentence = "There is no chromium for the browser tests: apt-get install chromium, or set CHROMIUM to its path."
        if CI:
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    return found


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Six small JPEGs, two labels (round, square) by sub-folder, with a ``captions.csv`` that covers five of them."""
    from PIL import Image, ImageDraw

    root = tmp_path / "pictures"
    rows = ["file_name,caption,split"]
    for label in ("round", "square"):
        (root / label).mkdir(parents=True)
        for number, colour in enumerate(("red", "green", "blue")):
            image = Image.new("RGB", (48, 40), "white")
            draw = ImageDraw.Draw(image)
            (draw.ellipse if label == "round" else draw.rectangle)((8, 8, 36, 32), fill=colour)
            name = f"{label}/{number}.jpg"
            image.save(root / name, quality=95)
            rows.append(f'{name},"a {colour}, {label} thing",{"test" if number == 2 else "train"}')
    (root / "captions.csv").write_text("\n".join(rows[:-1]) + "\n", "utf-8")
    return root


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """``encode(image, format, **options)``: an image as the bytes of a file."""
    import io

    from PIL import Image

    def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        return buffer.getvalue()

    return encode
