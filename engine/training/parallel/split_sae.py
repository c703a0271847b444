"""An SAE whose dictionary is split over processes: all compute the same tokens, each for its own M / R atoms.

For dictionaries that do not fit on one device. A process scores the tokens against its own atoms, chooses among them, and the
few scores chosen are exchanged. That is exact, because a choice among all atoms is contained in the choices among the parts:

- the K largest of all are among the K largest of every part;
- tau of sparsemax only rises when atoms are added, so the support over all atoms is contained in the union of the supports over
  the parts, and sparsemax of that union has the same tau (Martins and Astudillo, arXiv 1602.02068, proposition 1).

Codes hold the chosen atoms of the process, numbered among its own. Parts of the reconstruction are added up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from engine.sae import SparseAutoencoder, SparsemaxConfig, SparsemaxSAE, TopKConfig, TopKSAE, build_sae
from engine.sae.base import TINY
from engine.sae.batch import BatchStatistics
from engine.training.parallel.placement import from_parts, full_tensor, gather_columns, local_rows, placed, to_parts
from engine.training.trainee import named_tensors
from kernels import linear, sparse_attention_with_threshold, sparse_decode, topk_attention
from kernels.codes import SparseCodes


class SplitSAE(SparseAutoencoder):
    """What split SAEs share: tensors with a row for each atom are placed over ``mesh``, see ``placement``.

    Made of an SAE with all its atoms, which is the same on every process.
    """

    def __init__(self, sae: SparseAutoencoder, mesh: DeviceMesh) -> None:
        with torch.device("meta"):  # the tensors are those of ``sae``
            super().__init__(sae.config)
        self.mesh = mesh
        for name, tensor in named_tensors(sae).items():
            owner, _, last = name.rpartition(".")
            value = placed(name, tensor, mesh)
            setattr(self.get_submodule(owner), last, nn.Parameter(value) if isinstance(tensor, nn.Parameter) else value)

    @torch.no_grad()
    def whole(self) -> SparseAutoencoder:
        """The SAE with all atoms again, of the plain class, on the CPU. Every process calls it."""
        result, held = build_sae(self.config), named_tensors(self)
        for name, tensor in named_tensors(result).items():
            tensor.copy_(full_tensor(held[name]))
        return result.eval()

    @torch.no_grad()
    def _count(self, codes: SparseCodes, batch: BatchStatistics) -> None:
        if self.training:
            tokens_since_fired = local_rows(self.tokens_since_fired)
            tokens_since_fired += batch.tokens(len(codes))
            tokens_since_fired[codes.col.long()] = 0


class SplitTopK(SplitSAE, TopKSAE):
    """A ``TopKSAE`` split over processes."""

    config: TopKConfig

    def _codes(self, u: Tensor) -> SparseCodes:
        q = to_parts(u - self.b_pre, self.mesh)
        codes = self._chosen(q, local_rows(self.w_encoder), local_rows(self.b_encoder), self.config.k)
        return codes.kept(codes.val > 0) if self.config.relu else codes

    def _chosen(self, q: Tensor, encoder: Tensor, bias: Tensor, k: int) -> SparseCodes:
        """Of the k largest scores over the parts, those of this one."""
        width = min(k, len(encoder))
        codes = topk_attention(q, encoder, width, bias) if width else _nothing(q)
        candidates = q.new_full((len(q), k), -torch.inf)
        candidates[:, :width] = codes.val.detach().view(len(q), width)
        smallest = gather_columns(candidates, self.mesh).topk(k, dim=1).values[:, -1]
        return codes.kept(codes.val >= smallest[codes.row])

    def _decode(self, codes: SparseCodes, norm: Tensor | None) -> Tensor:
        return from_parts(sparse_decode(codes, local_rows(self.atoms)), self.mesh) + self.b_pre

    def _further_losses(
        self, u: Tensor, codes: SparseCodes, u_hat: Tensor, batch: BatchStatistics
    ) -> dict[str, Tensor]:
        """The auxiliary loss of ``AuxiliarySAE``, with the dead atoms of all parts."""
        if not self.training or self.config.aux_weight == 0:
            return {}
        dead = (local_rows(self.tokens_since_fired) > self.config.dead_after).nonzero()[:, 0]
        k = min(self.config.aux_k, int(from_parts(torch.tensor(dead.numel(), device=u.device), self.mesh)))
        if k == 0:
            return {}
        residual = (u - u_hat).detach()
        q = to_parts(u - self.b_pre, self.mesh)
        chosen = self._chosen(q, local_rows(self.w_encoder)[dead], local_rows(self.b_encoder)[dead], k)
        # Without a dead atom of its own a process still takes part in the sums, backward too.
        part = sparse_decode(chosen, local_rows(self.atoms)[dead]) if dead.numel() else 0 * q
        error = (from_parts(part, self.mesh) - residual).square().sum()
        auxiliary = error / batch.variance(residual).clamp_min(TINY)
        return {"auxiliary": self.config.aux_weight * torch.nan_to_num(auxiliary, 0.0, 0.0, 0.0)}


class SplitSparsemax(SplitSAE, SparsemaxSAE):
    """A ``SparsemaxSAE`` without a gate, split over processes."""

    config: SparsemaxConfig

    def _attend(self, u: Tensor) -> tuple[SparseCodes, Tensor]:
        q = to_parts(self._queries(u), self.mesh)
        codes, _ = sparse_attention_with_threshold(q, local_rows(self.atoms), values="score")
        tau = self._threshold(codes)
        codes = codes.kept(codes.val > tau[codes.row])
        if self.config.values == "score":
            return codes, tau
        # sparsemax(z) = z - (sum of the support - 1) / its size, with the gradient through that sum
        added = codes.val.new_zeros(len(codes)).index_add(0, codes.row, codes.val)
        exact = (to_parts(from_parts(added, self.mesh), self.mesh) - 1) / from_parts(codes.l0, self.mesh)
        return SparseCodes(codes.crow, codes.col, codes.val - exact[codes.row], codes.n_atoms), tau

    def _threshold(self, codes: SparseCodes) -> Tensor:
        """tau [N] of sparsemax over the scores that any of the parts chose."""
        width = int(from_parts(codes.l0.max(), self.mesh, "max"))
        place = torch.arange(codes.nnz, device=codes.col.device) - codes.crow[codes.row]
        chosen = codes.val.new_full((len(codes), width), -torch.inf)
        chosen[codes.row, place] = codes.val.detach()
        z = gather_columns(chosen, self.mesh).double().sort(dim=1, descending=True).values
        rank = torch.arange(1, z.shape[1] + 1, device=z.device)
        added = z.masked_fill(z == -torch.inf, 0).cumsum(1)
        size = (1 + rank * z > added).sum(1, keepdim=True)
        return ((added.gather(1, size - 1) - 1) / size).squeeze(1).float()

    def _mixed(self, codes: SparseCodes) -> Tensor:
        return linear(from_parts(sparse_decode(codes, local_rows(self.atoms)), self.mesh), self.w_value.T)


def split_over(sae: SparseAutoencoder, mesh: DeviceMesh) -> SplitSAE:
    """``sae``, a TopK or sparsemax SAE that is the same on every process, split over them, in training mode."""
    kind = SplitTopK if isinstance(sae, TopKSAE) else SplitSparsemax
    return kind(sae, mesh).train()


def _nothing(q: Tensor) -> SparseCodes:
    empty = q.new_zeros(0)
    return SparseCodes(torch.zeros(len(q) + 1, dtype=torch.int64, device=q.device), empty.int(), empty, 0)
