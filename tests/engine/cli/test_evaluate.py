"""``atomscope evaluate`` on an atlas that is real where evaluation looks: SAE, baselines, corpus, activations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from engine.atlas import Atlas
from engine.cli.main import run
from engine.corpus import open_corpus
from engine.evaluation import measure
from engine.files import read_json, write_json
from engine.sae import SparsemaxConfig, TopKConfig, build_sae, load_sae, save_sae


@pytest.fixture
def atlas(make_store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An atlas header with an SAE and a baseline; the store it names lies in the cache."""
    monkeypatch.setenv("ATOMSCOPE_CACHE", str(tmp_path / "cache"))
    store = make_store(items=48)
    folder = tmp_path / "atlas"
    sae = build_sae(SparsemaxConfig(d_model=16, n_atoms=32, scale=4.0))
    save_sae(sae, folder / "sae")
    save_sae(build_sae(TopKConfig(d_model=16, n_atoms=32, k=3)), folder / "baselines" / "topk")
    write_json(
        folder / "atlas.json",
        {
            "format": {"name": "atomscope-atlas", "major": 1, "minor": 0},
            "atoms_per_group": 256,
            "counts": {"items": 48, "positions": 6},
            "corpus": store.corpus | {"path": None},
            "activations": {"hash": store.hash, "dtype": "float32", "tokens": store.n_tokens},
            "backbone": store.backbone,
            "sae": sae.config.to_dict(),
            "measured": {"validation": {"fvu": 0.5}},
            "thumbs": {"kind": "corpus"},
            "files": {},
        },
    )
    shutil.copytree(store.path, tmp_path / "cache" / "stores" / "made-up")
    return folder


def test_table_shows_every_sae_side_by_side(atlas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (atlas / "atlas.json").read_bytes()
    assert run(["evaluate", str(atlas)]) == 0
    said = capsys.readouterr()
    for words in ("sparsemax", "topk", "FVU (centred)", "L0, quantiles", "dead", "dense", "entropy", "monosemanticity"):
        assert words in said.out
    assert "next:  atomscope serve" in said.err
    assert (atlas / "atlas.json").read_bytes() == before


def test_json_and_write(atlas: Path, make_store, capsys: pytest.CaptureFixture[str]) -> None:
    key = Atlas.open(atlas).key
    assert run(["evaluate", str(atlas), "--json", "--write"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["split"] == "test" and set(document["saes"]) == {"sparsemax", "topk"}
    store = make_store("again", items=48)
    wanted = measure(load_sae(atlas / "sae"), store, store.rows("test"))
    assert document["saes"]["sparsemax"] == wanted
    assert document["saes"]["topk"]["l0_mean"] == 3
    measured = read_json(atlas / "atlas.json")["measured"]
    assert measured["validation"] == {"fvu": 0.5}
    assert measured["test"] == document["saes"]["sparsemax"] | {"baselines": {"topk": document["saes"]["topk"]}}
    assert Atlas.open(atlas).key == key


def test_acts_names_the_store(atlas: Path, make_store, tmp_path: Path, capsys) -> None:
    shutil.rmtree(tmp_path / "cache")
    assert run(["evaluate", str(atlas)]) == 2
    assert "name an activation store with --acts" in " ".join(capsys.readouterr().err.split())
    assert run(["evaluate", str(atlas), "--acts", str(make_store("other").path)]) == 0
    capsys.readouterr()
    assert run(["evaluate", str(atlas), "--acts", str(make_store("wide", d_model=17).path)]) == 2
    assert "width 17" in " ".join(capsys.readouterr().err.split())


def test_runs_are_measured_side_by_side_without_an_atlas(atlas: Path, make_store, tmp_path: Path, capsys) -> None:
    runs = [str(atlas / "sae"), str(atlas / "baselines" / "topk")]
    assert run(["evaluate", *runs, "--json", "--acts", str(make_store("other").path)]) == 0
    said = capsys.readouterr()
    assert list(json.loads(said.out)["saes"]) == runs and "next:  atomscope atlas --sae" in said.err
    assert run(["evaluate", *runs]) == 2
    assert "give --acts" in " ".join(capsys.readouterr().err.split())
    assert run(["evaluate", str(atlas), str(atlas)]) == 2
    assert "one atlas at a time" in " ".join(capsys.readouterr().err.split())


def test_a_split_that_does_not_exist(atlas: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(atlas), "--split", "holdout"]) == 2
    assert "no split 'holdout'; it has: train, validation, test" in " ".join(capsys.readouterr().err.split())


def test_no_atlas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(tmp_path)]) == 2
    assert "is not a concept atlas" in " ".join(capsys.readouterr().err.split())


def test_missing_activations_are_extracted_once_and_kept(
    atlas: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """A small random CLIP on disk stands for the backbone; only the test split goes through it."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    from engine.backbones import load_backbone

    model = tmp_path / "clip"
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=16,
        projection_dim=8,
    )  # fmt: skip
    CLIPVisionModelWithProjection(config).save_pretrained(model)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(model)
    corpus = open_corpus(image_folder)
    meta = read_json(atlas / "atlas.json")
    meta["backbone"] = load_backbone(str(model), device="cpu").spec.to_dict()
    meta["corpus"] = {"hash": corpus.hash, "splits": corpus.splits, "path": f"../{image_folder.name}"}
    meta["activations"]["hash"] = "0" * 64
    write_json(atlas / "atlas.json", meta)

    assert run(["evaluate", str(atlas), "--json", "--device", "cpu"]) == 0
    figures = json.loads(capsys.readouterr().out)["saes"]["sparsemax"]
    assert figures["items"] == corpus.splits["test"] and figures["tokens"] == 5 * figures["items"]
    monkeypatch.setattr("engine.backbones.load_backbone_of", None)  # a second extraction would fail
    assert run(["evaluate", str(atlas), "--json", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["saes"]["sparsemax"] == figures

    shutil.rmtree(tmp_path / "cache")
    (image_folder / "round" / "2.jpg").unlink()
    assert run(["evaluate", str(atlas), "--device", "cpu"]) == 2
    assert "it has changed" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def classified(labelled_pictures: Path, tiny_clip: str, tmp_path: Path) -> tuple[Path, Path]:
    """A store of a tiny CLIP over labelled pictures, and a run on it."""
    from engine.activations import ActivationStore, extract
    from engine.backbones import load_backbone

    extract(load_backbone(tiny_clip, -2, device="cpu"), open_corpus(labelled_pictures), tmp_path / "store")
    store = ActivationStore.open(tmp_path / "store")
    sae = build_sae(SparsemaxConfig(d_model=16, n_atoms=32, scale=3.0, init="spread", normalise="standardise"))
    sae.initialise(torch.cat([store.item(row) for row in range(20)]), torch.Generator().manual_seed(0))
    return store.path, save_sae(sae, tmp_path / "run")


def test_fidelity_and_topn(classified: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    store, folder = classified
    given = ["evaluate", str(folder), "--acts", str(store), "--topn", "--threshold", "0", "--device", "cpu"]
    assert run([*given, "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    figures = document["saes"][str(folder)]
    assert document["classifier"]["kind"] == "linear probe" and document["classifier"]["classes"] == 3
    assert document["classifier"]["dropped_labels"] == {"rare": 3} and document["classifier"]["items"] == 9
    assert "left out: rare" in said.err and "classify with the SAE spliced in: 9 items" in said.err
    assert set(document["definitions"]) >= {"fvu", "fidelity", "topn", "label_entropy"}
    assert set(figures["topn"]["on"]) == {"1", "5", "10", "50", "all"}
    assert figures["topn"]["on"]["all"] == figures["fidelity"]["spliced"]["accuracy"]
    assert figures["fidelity"]["original"]["accuracy"] > figures["fidelity"]["zero"]["accuracy"]
    assert run(given) == 0
    said = capsys.readouterr()
    for words in ("accuracy, original", "spliced", "zero", "recovered accuracy", "top-n accuracy, on-1", "off-50"):
        assert words in said.out
    assert "logistic regression" in " ".join(said.err.split())


def test_stability_against_itself_and_another_seed(atlas: Path, make_store, tmp_path: Path, capsys) -> None:
    other = save_sae(build_sae(TopKConfig(d_model=16, n_atoms=32, k=3), seed=5), tmp_path / "seed-5")
    topk = atlas / "baselines" / "topk"
    given = ["evaluate", str(topk), "--acts", str(make_store("acts").path), "--stability", str(topk), "--json"]
    assert run(given) == 0
    figure = json.loads(capsys.readouterr().out)["saes"][str(topk)]["stability"]
    assert figure["cosine"] == pytest.approx(1) and figure["shared"] == 1
    assert run([*given, "--stability", str(other)]) == 0
    figure = json.loads(capsys.readouterr().out)["saes"][str(topk)]["stability"]
    assert len(figure["runs"]) == 2 and figure["cosine"] < 0.99
    assert run([*given[:-3], "--stability", str(atlas / "sae")]) == 2
    assert "is a sparsemax SAE, and none of that kind is measured" in " ".join(capsys.readouterr().err.split())


def test_classification_says_what_it_lacks(atlas: Path, make_store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(atlas), "--fidelity"]) == 2
    assert "holds no activations of an image model" in " ".join(capsys.readouterr().err.split())
    store = make_store("test-only", splits=("test",))
    assert run(["evaluate", str(atlas), "--topn", "--acts", str(store.path)]) == 2
    assert "has no training split" in " ".join(capsys.readouterr().err.split())
