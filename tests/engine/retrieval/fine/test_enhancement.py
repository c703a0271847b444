"""Visual enhancement against direct formulas, its trigger a row at a time, and the architectures that cannot have it."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from engine.retrieval.fine.mllm_scorer import CandidateView, FineScorer

Views = Callable[..., "list[CandidateView]"]


def run(scorer: FineScorer, views: list[CandidateView], batch: int = 4, **options: Any) -> list[Any]:
    """Events of a text query, none of them a failure."""
    from engine.retrieval.search.query import Query, SearchOptions

    events = list(scorer.score(Query("a red square"), views, SearchOptions(batch=batch, **options)))
    assert not [event.record.error for event in events if event.record.error]
    return events


def captured(scorer: FineScorer, view: CandidateView) -> dict[str, Any]:
    """What the decoder's parts read and give for one candidate without enhancement."""
    import torch

    model, seen = scorer.mllm.model, {}
    decoder = model.get_decoder()
    hooks = [
        decoder.register_forward_pre_hook(
            lambda _m, _a, kwargs: seen.update(z=kwargs["inputs_embeds"][0].clone()), with_kwargs=True
        )
    ]
    for index, layer in enumerate(decoder.layers):
        hooks.append(
            layer.register_forward_hook(
                lambda _m, _a, out, index=index: seen.update(
                    {("h", index): (out[0] if isinstance(out, tuple) else out)[0].clone()}
                )
            )
        )
        hooks.append(
            layer.mlp.register_forward_hook(
                lambda _m, args, out, index=index: seen.update({("mlp", index): (args[0][0].clone(), out[0].clone())})
            )
        )
    ids: dict[str, torch.Tensor] = {}
    hooks.append(
        model.get_input_embeddings().register_forward_hook(lambda _m, args, _o: ids.update(ids=args[0][0].clone()))
    )
    run(scorer, [view], trace=True)
    for hook in hooks:
        hook.remove()
    seen["visual"] = seen["z"][ids["ids"] == scorer.mllm.image_token_id]
    return seen


def mlp_output(scorer: FineScorer, view: CandidateView, index: int, **options: Any) -> Any:
    """The output of one layer's MLP with enhancement, [L, d]: a hook registered after ours sees what ours returned."""
    outputs: list[Any] = []
    decoder = scorer.mllm.model.get_decoder()
    norm_input = decoder.layers[index].register_forward_hook(
        lambda _m, _a, out: outputs.append((out[0] if isinstance(out, tuple) else out)[0].clone())
    )
    run(scorer, [view], **options)
    norm_input.remove()
    return outputs[0]


@pytest.mark.parametrize("preset", ["paper", "published-code"])
def test_output_is_the_formula(preset: str, scorer: Callable[..., FineScorer], views: Views) -> None:
    import torch

    from engine.retrieval.search.query import Enhancement

    model, (view,) = scorer("llava"), views(1)
    plain = captured(model, view)
    after, acts = 1, 2  # 6 layers: the published window 5 to 16 of 28 begins after layer 1
    x, ffn = plain[("mlp", acts)]
    mlp = model.mllm.model.get_decoder().layers[acts].mlp
    silu = torch.nn.functional.silu
    if preset == "paper":
        alpha, z = 0.3, plain["visual"]
        assert len(z) == 16  # 4 x 4 patches
        delta = torch.stack([sum(silu(row @ token) * token for token in z) for row in x])  # type: ignore[misc]
    else:
        alpha, z = 0.12, plain["z"]
        w1 = z * mlp.gate_proj.weight.abs().mean() / z.abs().mean()
        w2 = z * mlp.down_proj.weight.abs().mean() / z.abs().mean()
        delta = silu(x @ w1.T) @ w2
    delta = delta * ffn.abs().mean() / delta.abs().mean()
    wanted = plain[("h", acts)] - ffn + alpha * delta + (1 - alpha) * ffn
    found = mlp_output(scorer("llava"), view, acts, enhancement=Enhancement(preset=preset, threshold=0.0))  # type: ignore[arg-type]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    (event,) = run(scorer("llava"), [view], enhancement=Enhancement(preset=preset, threshold=0.0))  # type: ignore[arg-type]
    assert event.record.fired_layer == after
    assert event.plain.fired_layer is None
    assert event.plain.score != event.record.score


@pytest.mark.parametrize("norm", [True, False])
def test_lens_entropy_is_that_of_ten_logits(norm: bool, scorer: Callable[..., FineScorer], views: Views) -> None:
    import torch

    from engine.retrieval.search.query import Enhancement

    model, (view,) = scorer("llava"), views(1)
    plain = captured(model, view)
    decoder, head = model.mllm.model.get_decoder(), model.mllm.model.get_output_embeddings()
    enhancement = Enhancement(lens_norm=norm, threshold=1.0)
    (event,) = run(scorer("llava"), [view], enhancement=enhancement)
    wanted = []
    for index in range(6):
        last = plain[("h", index)][-1]
        chances = torch.sort(head(decoder.norm(last) if norm else last), descending=True).values[:10].softmax(0)
        wanted.append(-sum(float(p) * math.log(float(p)) for p in chances) / math.log(10))
    assert event.record.layer_entropy == pytest.approx(wanted, abs=1e-5)
    assert event.record.fired_layer is None


def test_rows_of_a_batch_fire_each_for_itself(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Enhancement

    traced = run(scorer(), views(), trace=True)
    peaks = sorted(max(event.record.layer_entropy[1:4]) for event in traced)
    threshold = (peaks[1] + peaks[2]) / 2  # two of five stay below
    enhancement = Enhancement(threshold=threshold)
    events = run(scorer(), views(), batch=4, enhancement=enhancement)
    fired = [event.record.fired_layer for event in events]
    assert fired.count(None) == 2
    for event, before in zip(events, traced, strict=True):
        if event.record.fired_layer is None:
            assert event.record.score == before.record.score  # not a bit
        else:
            assert event.record.score != before.record.score
            first = next(i for i in range(1, 4) if before.record.layer_entropy[i] > threshold)
            assert event.record.fired_layer == first
        assert event.plain is not None
        assert event.plain.score == before.record.score
    alone = run(scorer(), views(), batch=1, enhancement=enhancement)
    assert [event.record.fired_layer for event in alone] == fired
    assert [e.record.score for e in alone] == pytest.approx([e.record.score for e in events], abs=1e-5)


def test_gate_every_acts_more_often_than_once(scorer: Callable[..., FineScorer], views: Views) -> None:
    from engine.retrieval.search.query import Enhancement

    once = run(scorer(), views(2), enhancement=Enhancement(threshold=0.0))
    every = run(scorer(), views(2), enhancement=Enhancement(threshold=0.0, gate="every"))
    assert [e.record.fired_layer for e in once] == [e.record.fired_layer for e in every] == [1, 1]
    assert once[0].record.score != every[0].record.score


@pytest.mark.parametrize("form", ["paper", "published_code"])
def test_nothing_to_inject_leaves_the_output_alone(form: str) -> None:
    import torch

    from engine.retrieval.fine.enhancement import injection

    mlp = SimpleNamespace(gate_proj=torch.nn.Linear(4, 4), down_proj=torch.nn.Linear(4, 4))
    x, ffn = torch.randn(3, 4), torch.randn(3, 4)
    for z in (torch.zeros(2, 4), torch.zeros(0, 4)):
        assert torch.equal(getattr(injection, form)(x, z, ffn, mlp, 0.3), ffn)


def test_a_prompt_without_picture_does_not_fire(scorer: Callable[..., FineScorer], views: Views) -> None:
    from dataclasses import replace

    from engine.retrieval.search.query import Enhancement

    words = [replace(view, image=None) for view in views(2)]
    events = run(scorer(), words, enhancement=Enhancement(threshold=0.0))
    assert [event.record.fired_layer for event in events] == [None, None]


def test_faults_name_the_reason(loaded: Callable[[str], Any]) -> None:
    from dataclasses import replace

    import torch

    from engine.retrieval.fine.enhancement import fault

    mllm = loaded("llava")
    assert fault(mllm) == ""

    def with_layer(**parts: Any) -> Any:
        layer = torch.nn.Module()
        for name, part in parts.items():
            setattr(layer, name, part)
        decoder = SimpleNamespace(layers=torch.nn.ModuleList([layer]), norm=torch.nn.Identity())
        head = torch.nn.Linear(2, 2)
        model = SimpleNamespace(
            config=SimpleNamespace(is_encoder_decoder=False),
            get_decoder=lambda: decoder,
            get_output_embeddings=lambda: head,
        )
        return replace(mllm, model=model)  # type: ignore[arg-type]

    experts = torch.nn.Module()
    experts.experts = torch.nn.ModuleList()
    assert "mixtures of experts" in fault(with_layer(mlp=experts))
    assert "cross-attention" in fault(with_layer(mlp=torch.nn.Module(), cross_attn=torch.nn.Module()))
    assert "no gated MLP" in fault(with_layer(mlp=torch.nn.Linear(2, 2)))
    assert "no gated MLP" in fault(with_layer())
    bare = replace(mllm, model=SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=True)))  # type: ignore[arg-type]
    assert "encoder-decoder" in fault(bare)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"alpha": 1.5}, "share between 0 and 1"),
        ({"layers": (0.6, 0.2)}, "ascending"),
        ({"preset": "mine"}, "no enhancement preset"),
    ],
)
def test_senseless_values_are_refused(
    values: dict[str, Any], sentence: str, scorer: Callable[..., FineScorer], views: Views
) -> None:
    from engine.errors import InputError
    from engine.retrieval.search.query import Enhancement, Query, SearchOptions

    options = SearchOptions(enhancement=Enhancement(**values))
    with pytest.raises(InputError, match=sentence):
        list(scorer().score(Query("a"), views(1), options))
