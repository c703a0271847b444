"""A dictionary split over processes: every one holds M / R of the atoms, and all compute the same tokens.

For dictionaries that do not fit on one device. A process scores the tokens against its own atoms, chooses among them, and the
few scores chosen are exchanged. That is exact, because a choice among all atoms is contained in the choices among the parts:

- the K largest of all are among the K largest of every part;
- tau of sparsemax only rises when atoms are added, so the support over all atoms is contained in the union of the supports over
  the parts, and sparsemax of that union has the same tau (Martins and Astudillo, arXiv 1602.02068, proposition 1).

Parts of the reconstruction are added up. The d x d matrices and biases are the same everywhere, and stay so: forward and
backward sums (``_to_parts``, ``_from_parts``) give every process the same gradient of them, as in Shoeybi et al.,
"Megatron-LM", arXiv 1909.08053, section 3.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from engine.distributed.group import Group
from engine.distributed.sharing import batch_variance
from engine.errors import InputError
from engine.sae.base import TINY, SAEConfig, SparseAutoencoder
from engine.sae.sparsemax import SparsemaxSAE
from engine.sae.topk import TopKSAE
from kernels import linear, sparse_attention_with_threshold, sparse_decode, topk_attention
from kernels.codes import SparseCodes

BY_ATOM = ("atoms", "w_encoder", "b_encoder", "tokens_since_fired")
"""Parameters and buffers with one row for each atom."""


class _SplitTopK(TopKSAE):
    group: ClassVar[Group]
    divided = False

    def _codes(self, u: Tensor) -> SparseCodes:
        if not self.divided:
            return super()._codes(u)
        return self._chosen(_to_parts(u - self.b_pre, self.group), self.w_encoder, self.b_encoder, self.config.k)

    def _chosen(self, q: Tensor, encoder: Tensor, bias: Tensor, k: int) -> SparseCodes:
        """Of the k largest scores over the parts, those of this one."""
        own = min(k, len(encoder))
        codes = topk_attention(q, encoder, own, bias) if own else _nothing(q)
        candidates = q.new_full((len(q), k), -torch.inf)
        candidates[:, :own] = codes.val.detach().view(len(q), own)
        smallest = torch.cat(self.group.gathered(candidates), 1).topk(k, dim=1).values[:, -1]
        return codes.kept(codes.val >= smallest[codes.row])

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        if not self.divided:
            return super()._decode(codes, norm)
        return _from_parts(sparse_decode(codes, self.atoms), self.group) + self.b_pre

    def _further_losses(self, u: Tensor, codes: SparseCodes, u_hat: Tensor) -> dict[str, Tensor]:
        if not self.divided or not self.training or self.config.aux_weight == 0:
            return super()._further_losses(u, codes, u_hat)
        dead = (self.tokens_since_fired > self.config.dead_after).nonzero()[:, 0]
        k = min(self.config.aux_k, int(self.group.sum(torch.tensor(dead.numel(), device=u.device))))
        if k == 0:
            return {}
        residual = (u - u_hat).detach()
        q = _to_parts(u - self.b_pre, self.group)
        chosen = self._chosen(q, self.w_encoder[dead], self.b_encoder[dead], k)
        # Without a dead atom of its own a process still takes part in the sums, backward too.
        part = sparse_decode(chosen, self.atoms[dead]) if dead.numel() else 0 * q
        error = (_from_parts(part, self.group) - residual).square().sum()
        auxiliary = error / batch_variance(residual).clamp_min(TINY)
        return {"auxiliary": self.config.aux_weight * torch.nan_to_num(auxiliary, 0.0, 0.0, 0.0)}


class _SplitSparsemax(SparsemaxSAE):
    group: ClassVar[Group]
    divided = False

    def _attend(self, u: Tensor) -> tuple[SparseCodes, Tensor]:
        if not self.divided:
            return super()._attend(u)
        q = _to_parts(self._queries(u), self.group)
        codes, _ = sparse_attention_with_threshold(q, self.atoms, values="score")
        tau = self._threshold(codes)
        codes = codes.kept(codes.val > tau[codes.row])
        if self.config.values == "score":
            return codes, tau
        # sparsemax(z) = z - (sum of the support - 1) / its size, with the gradient through that sum
        added = codes.val.new_zeros(len(codes)).index_add(0, codes.row, codes.val)
        size = self.group.sum(codes.l0)
        exact = (_SumBothWays.apply(added, self.group) - 1) / size
        return SparseCodes(codes.crow, codes.col, codes.val - exact[codes.row], codes.n_atoms), tau

    def _threshold(self, codes: SparseCodes) -> Tensor:
        """tau [N] of sparsemax over the scores that any of the parts chose."""
        width = int(max(int(part) for part in self.group.gathered(codes.l0.max())))
        place = torch.arange(codes.nnz, device=codes.col.device) - codes.crow[codes.row]
        own = codes.val.new_full((len(codes), width), -torch.inf)
        own[codes.row, place] = codes.val.detach()
        z = torch.cat(self.group.gathered(own), 1).double().sort(dim=1, descending=True).values
        rank = torch.arange(1, z.shape[1] + 1, device=z.device)
        added = z.masked_fill(z == -torch.inf, 0).cumsum(1)
        size = (1 + rank * z > added).sum(1, keepdim=True)
        return ((added.gather(1, size - 1) - 1) / size).squeeze(1).float()

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        if not self.divided:
            return super()._decode(codes, norm)
        mixed = linear(_from_parts(sparse_decode(codes, self.atoms), self.group), self.w_value.T)
        return mixed if norm is None else norm[:, None] * mixed


Split: TypeAlias = _SplitTopK | _SplitSparsemax


def check_splittable(config: SAEConfig, group: Group) -> None:
    """Raise an ``InputError`` for an SAE whose dictionary cannot be split over ``group``."""
    if config.architecture not in ("topk", "sparsemax"):
        raise InputError(
            f"The dictionary of {config.architecture} cannot be split over processes; topk and sparsemax can."
        )
    if getattr(config, "gate", "none") != "none":
        raise InputError("A sparsemax SAE with a gate cannot be split over processes: train it with --gate none.")
    if config.n_atoms % group.size:
        raise InputError(
            f"{config.n_atoms} atoms cannot be split evenly over {group.size} processes: choose --atoms so."
        )


def undivided(config: SAEConfig, generator: torch.Generator, group: Group) -> Split:
    """A fresh SAE that can be divided, with all atoms still, equal to the one a single process starts from."""
    base: Any = _SplitTopK if config.architecture == "topk" else _SplitSparsemax
    made: Split = type(base.__name__, (base,), {"group": group})(config, generator)
    return made


@torch.no_grad()
def divide(sae: Split) -> None:
    """Keep this process's atoms only."""
    for name in BY_ATOM:
        whole = getattr(sae, name, None)
        if whole is None:
            continue
        own = own_rows(whole.detach(), sae.group)
        setattr(sae, name, nn.Parameter(own) if isinstance(whole, nn.Parameter) else own)
    sae.divided = True


def own_rows(tensor: Tensor, group: Group) -> Tensor:
    """This process's rows of a tensor with one row for each atom: a copy."""
    return tensor[group.rank * len(tensor) // group.size : (group.rank + 1) * len(tensor) // group.size].clone()


@torch.no_grad()
def whole(sae: Split) -> SparseAutoencoder:
    """The SAE with all atoms again, of the plain class, on the CPU. Every process takes part."""
    from engine.sae import build_sae

    result = build_sae(sae.config)
    held = dict(sae.named_parameters()) | dict(sae.named_buffers())
    for name, tensor in (dict(result.named_parameters()) | dict(result.named_buffers())).items():
        parts = sae.group.gathered(held[name].detach()) if name in BY_ATOM else [held[name].detach()]
        tensor.copy_(torch.cat(parts) if name in BY_ATOM else parts[0])
    return result.eval()


def _nothing(q: Tensor) -> SparseCodes:
    empty = q.new_zeros(0)
    return SparseCodes(torch.zeros(len(q) + 1, dtype=torch.int64, device=q.device), empty.int(), empty, 0)


def _to_parts(x: Tensor, group: Group) -> Tensor:
    """``x``; its gradient is the sum of what the processes found for it."""
    result: Tensor = _ToParts.apply(x, group)
    return result


def _from_parts(part: Tensor, group: Group) -> Tensor:
    """The sum of every process's ``part``; the gradient of each is that of the sum."""
    result: Tensor = _FromParts.apply(part, group)
    return result


class _ToParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.group.sum(grads[0]), None


class _FromParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Group) -> Tensor:
        return group.sum(part)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _SumBothWays(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group.sum(part)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.group.sum(grads[0]), None
