"""Other views of the training pictures: mirrored, cropped, turned and recoloured a little, as patch tokens.

Two thousand pictures are few: a projector knows them by heart within a hundred batches. Views are read by the tower once, in
bfloat16, and kept beside the activation store.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from engine.backbones import Backbone
from engine.corpus import Corpus
from engine.files import atomic_path
from engine.progress import Progress


def augmented(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One random view: half of them mirrored, 60 to 100% of the area, up to 10 degrees, a little light and colour."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC, fillcolor=_corner(image))
    width, height = image.size
    share = np.sqrt(rng.uniform(0.6, 1.0))
    across, down = share * width, share * height
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    image = image.resize((224, 224), Image.Resampling.BICUBIC, (left, top, left + across, top + down))
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(rng.uniform(0.8, 1.2))
    return image


def load_views(
    corpus: Corpus, backbone: Backbone, rows: NDArray[np.int64], count: int, path: Path, progress: Progress
) -> torch.Tensor:
    """``count`` views of every item in ``rows`` as patch tokens, float16 [count, N, 196, 768]; made once, kept at ``path``."""
    shape = (count, len(rows), 196, backbone.spec.d_model)
    if path.is_file():
        kept = np.load(path, mmap_mode="r")
        if kept.shape == shape:
            return torch.from_numpy(np.array(kept))
    progress.start("Reading other views of the training pictures", count * len(rows), "pictures")
    with atomic_path(path) as temporary:
        out = open_memmap(temporary, "w+", np.float16, shape)
        for view in range(count):
            for start in range(0, len(rows), 32):
                batch = rows[start : start + 32]
                images = [augmented(corpus.load(int(row)), np.random.default_rng((view, int(row)))) for row in batch]
                with torch.autocast(backbone.device.type, torch.bfloat16):
                    seen = backbone.run(backbone.preprocess(images)).activations
                out[view, start : start + len(batch)] = seen[:, 1:].half().cpu().numpy()
                progress.advance(len(batch))
        out.flush()
    progress.finish()
    return torch.from_numpy(np.array(np.load(path, mmap_mode="r")))


def _corner(image: Image.Image) -> tuple[int, ...]:
    """The colour behind a turned picture: that of its first corner, white for a cut-out."""
    colour = image.convert("RGB").getpixel((0, 0))
    return tuple(int(value) for value in colour)  # type: ignore[union-attr]
