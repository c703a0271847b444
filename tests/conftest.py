"""What tests of several rooms share. Kept light: whatever is heavy is imported inside the fixture that needs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from engine.activations import ActivationStore
    from engine.retrieval.coarse.embedders import Embedder

# Tests reach no model hub: what they load is made by them or embedded.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Models of a few thousand weights: a second thread waits more than it works, and tests may run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

# No deadline: two cores shared with a browser are slow now and then. In CI the examples are always the same.
settings.register_profile("atomscope", deadline=None, max_examples=25, derandomize=CI)
settings.load_profile("atomscope")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Without one, tests are skipped on a desk and fail in CI; both say what to install."""
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


@pytest.fixture(scope="session")
def labelled_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of noise in three labels that differ in colour, 9 to train and 3 to test each; a fourth label has 4."""
    import numpy as np
    from PIL import Image

    root = tmp_path_factory.mktemp("labelled")
    random = np.random.default_rng(0)
    tints = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (210, 30, 30), "rare": (128, 128, 128)}
    for label, tint in tints.items():
        for number in range(4 if label == "rare" else 12):
            folder = root / ("test" if number % 4 == 3 else "train") / label
            folder.mkdir(parents=True, exist_ok=True)
            noise = random.integers(-90, 90, (20, 24, 3))
            Image.fromarray(np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8)).save(folder / f"{number:02d}.png")
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


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., ActivationStore]:
    """``make_store(name, items=24, positions=6, d_model=16, ...)``: a real activation store without a model.

    Its tokens are sparse mixtures of a few hidden directions plus a large common mean, so that an SAE has something to
    find; labels follow the directions; two thirds of the items train, the rest is split into validation and test.
    """
    import numpy as np

    from engine.activations.store import ActivationStore
    from engine.activations.writer import StoreWriter
    from engine.corpus import Corpus
    from engine.corpus.items import items_frame

    def make_store(
        name: str = "store",
        items: int = 24,
        positions: int = 6,
        d_model: int = 16,
        seed: int = 0,
        splits: tuple[str, ...] = ("train", "train", "train", "train", "validation", "test"),
        dtype: str = "float32",
    ) -> ActivationStore:
        random = np.random.default_rng(seed)
        directions = np.random.default_rng(99).normal(size=(8, d_model))
        topics = np.arange(items) % 4
        weights = random.exponential(size=(items, positions, 8)) * (random.random((items, positions, 8)) < 0.25)
        weights[np.arange(items), :, topics] += 1
        activations = 4 + weights @ directions + 0.05 * random.normal(size=(items, positions, d_model))
        embeddings = directions[topics, :12] + 0.5 * random.normal(size=(items, min(12, d_model)))
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        table = items_frame(
            {
                "id": [f"item-{i}" for i in range(items)],
                "split": [splits[i // 4 % len(splits)] for i in range(items)],
                "label": [f"topic-{topic}" for topic in topics],
            }
        )
        corpus = Corpus(name, tmp_path, table, source=None, digest=lambda: f"{seed:064x}")  # type: ignore[arg-type]
        job = {
            "dtype": dtype,
            "positions": positions,
            "backbone": {"name": "made up", "d_model": d_model, "embedding_dim": embeddings.shape[1]},
            "corpus": {"name": name, "hash": corpus.hash, "items": items},
            "limit": None,
            "packages": {},
            "batch_size": 5,
        }
        with StoreWriter(tmp_path / name, job) as writer:
            for start in range(0, items, 5):
                chosen = list(range(items))[start : start + 5]
                writer.append(chosen, activations[chosen], embeddings[chosen], [])
            writer.finish(corpus)
        return ActivationStore.open(tmp_path / name)

    return make_store


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny CLIP image tower in a folder: 3 blocks, width 16, 2 x 2 patches."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    folder = tmp_path_factory.mktemp("model")
    config = CLIPVisionConfig(**shape, image_size=16, patch_size=8, projection_dim=8)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_mllm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """``tiny_mllm(kind)``: a folder with a tiny model of that architecture, processor and tokenizer included; made once."""
    from tests.tiny_mllms import save_tiny_mllm

    root = tmp_path_factory.mktemp("mllms")
    return cache(lambda kind: str(save_tiny_mllm(root / kind, kind)))


@pytest.fixture
def colour_embedder() -> Embedder:
    """An embedder without a model that knows what ``image_folder`` shows: colour and shape, in pictures and in words."""
    from collections.abc import Sequence

    import numpy as np
    from PIL import Image

    from engine.backbones.vectors import Vectors, unit

    class ColourEmbedder:
        modalities = frozenset(("text", "image"))
        width = 5
        words = ("red", "green", "blue", "round", "square")

        def __init__(self) -> None:
            self.identity = {
                "name": "colours",
                "revision": "1",
                "architecture": "none",
                "preprocessing": {},
                "note": "",
            }
            self.seen = 0

        def embed_texts(self, texts: Sequence[str]) -> Vectors:
            weights = np.array([1, 1, 1, 0.5, 0.5])
            rows = [[word in text.lower() for word in self.words] * weights + 1e-3 for text in texts]
            return unit(np.array(rows, np.float32))

        def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
            self.seen += len(images)
            rows = []
            for image in images:
                pixels = np.asarray(image.convert("RGB"), np.float32)
                painted = pixels.min(axis=2) < 128
                colour = pixels[painted].mean(axis=0) / 255 if painted.any() else np.ones(3)
                square = painted[9, 9] and painted[-10, -13]
                rows.append([*colour, 0.5 * (not square), 0.5 * square])
            return unit(np.array(rows, np.float32) + 1e-3)

    return ColourEmbedder()
