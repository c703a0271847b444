"""Language models whose blocks go by other names: the residual stream is read of all, the rest where it adds up."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from engine.backbones import load_backbone
from engine.backbones.blocks import find_blocks
from engine.errors import InputError
from tests.engine.backbones.language_models import FAMILIES, save_language_model

CONTEXT = 8
IDS = torch.arange(2, 2 + 3 * CONTEXT).reshape(3, CONTEXT)
ADDS_UP = ("gpt_neox", "xglm", "biogpt")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("families")
    return {kind: str(save_language_model(root / kind, kind)) for kind in FAMILIES}


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_residual_stream_is_hidden_states(folders: dict[str, str], kind: str) -> None:
    for layer in (0, 1):
        backbone = load_backbone(folders[kind], layer, device="cpu", modality="text", context=CONTEXT)
        ids = backbone.with_lead(IDS)
        model = transformers.AutoModelForCausalLM.from_pretrained(folders[kind]).eval()
        with torch.no_grad():
            states = model.base_model(ids, output_hidden_states=True).hidden_states
        output = backbone.run(ids)
        lead = ids.shape[1] - CONTEXT
        torch.testing.assert_close(output.activations, states[layer + 1][:, lead:])
        assert backbone.spec.d_model == 16 and output.embeddings.shape == (3, backbone.spec.embedding_dim)


@pytest.mark.parametrize("site", ["attention", "mlp"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_other_sites_add_up_or_are_refused(folders: dict[str, str], kind: str, site: str) -> None:
    if kind == "opt" and site == "mlp":
        with pytest.raises(InputError, match=r"the mlp does not keep its tokens as \[chunks, tokens, width\]"):
            load_backbone(folders[kind], 1, site, device="cpu", modality="text", context=CONTEXT)
        return
    if kind == "opt":
        backbone = load_backbone(folders[kind], 1, site, device="cpu", modality="text", context=CONTEXT)
        assert backbone.run(backbone.with_lead(IDS)).activations.shape == (3, CONTEXT, 16)
        return
    if kind not in ADDS_UP:
        with pytest.raises(InputError, match=rf"the {site} output does not add up .*; use --site residual\.$"):
            load_backbone(folders[kind], 1, site, device="cpu", modality="text", context=CONTEXT)
        return
    attention, mlp, before, after = (
        load_backbone(folders[kind], layer, part, device="cpu", modality="text", context=CONTEXT)
        for layer, part in ((1, "attention"), (1, "mlp"), (0, "residual"), (1, "residual"))
    )
    a, m, x, y = (one.run(one.with_lead(IDS)).activations for one in (attention, mlp, before, after))
    torch.testing.assert_close(x + a + m, y)
    assert float(a.abs().max()) > 0 and float(m.abs().max()) > 0


def test_a_context_is_as_long_as_the_model_reads_whatever_its_config_calls_that(
    folders: dict[str, str], tmp_path: Path
) -> None:
    for kind in ("mpt", "opt"):
        backbone = load_backbone(folders[kind], device="cpu", modality="text")
        assert backbone.spec.context + len(backbone.with_lead(IDS)[0]) - CONTEXT == 64
        with pytest.raises(InputError, match=r"--context must be 2 to 6[23] tokens"):
            load_backbone(folders[kind], device="cpu", modality="text", context=64)
    assert load_backbone(folders["bloom"], device="cpu", modality="text").spec.context == 128  # it states none


def test_what_is_no_stack_of_equal_blocks_is_refused() -> None:
    linear = torch.nn.Linear(2, 2)
    stages = torch.nn.ModuleList([torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([linear])}) for _ in range(2)])
    assert find_blocks(torch.nn.Sequential(stages), 2) == []
    mixed = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Identity()])
    assert find_blocks(torch.nn.Sequential(mixed), 2) == []
    assert len(find_blocks(torch.nn.Sequential(torch.nn.ModuleList([linear, linear])), 2)) == 2
