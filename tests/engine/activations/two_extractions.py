"""Run by the tests under torchrun: the pictures of a folder through a tiny model, with shards of two batches.

Arguments: the folder of pictures, the model, the store, and the bytes of a shard.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from engine.activations import extract, writer
from engine.backbones import load_backbone
from engine.corpus import open_corpus
from engine.distributed import end_process, joined

if __name__ == "__main__":
    torch.set_num_threads(1)
    writer.SHARD_BYTES = int(sys.argv[4])
    with joined() as group:
        backbone = load_backbone(sys.argv[2], -2, "residual", "all", "cpu")
        extract(backbone, open_corpus(Path(sys.argv[1]), None), sys.argv[3], batch_size=1, group=group)
    end_process(0)
