"""Where the rows of a dictionary lie: every process holds M / R of the atoms, as a ``DTensor`` sharded over its rows.

Sums over the parts and their gradients are DTensor's too. With the two pairs below every process has the same gradient of
what all hold alike (biases, d x d matrices), as in Shoeybi et al., "Megatron-LM", arXiv 1909.08053, section 3.
``torch.distributed.nn.functional`` could do it with sums both ways, but torch 2.13 calls its functions deprecated and names no
public ones in their stead.
"""

from __future__ import annotations

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

BY_ATOM = ("atoms", "w_encoder", "b_encoder", "tokens_since_fired")
"""Parameters and buffers with one row for each atom."""


def placed(name: str, tensor: Tensor, mesh: DeviceMesh) -> Tensor:
    """The tensor called ``name``, or what Adam keeps of it, which is the same on all processes, without its gradient.

    One with a row for each atom comes back as a ``DTensor`` of which this process keeps a copy of its own rows.
    """
    if name not in BY_ATOM or tensor.ndim == 0:
        return tensor.detach()
    return distribute_tensor(tensor.detach(), mesh, [Shard(0)], src_data_rank=None)


def local_rows(tensor: Tensor) -> Tensor:
    """This process's rows of a placed tensor; their gradient is the placed tensor's."""
    assert isinstance(tensor, DTensor)
    return tensor.to_local()


def full_tensor(tensor: Tensor) -> Tensor:
    """A placed tensor with the rows of all processes, which all call this; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def to_parts(x: Tensor, mesh: DeviceMesh) -> Tensor:
    """``x``, the same on all processes; its gradient is the sum of what they find for it."""
    same = DTensor.from_local(x, mesh, [Replicate()], run_check=False)
    return same.to_local(grad_placements=[Partial()])


def from_parts(part: Tensor, mesh: DeviceMesh, operation: str = "sum") -> Tensor:
    """The sum (or "max") of every process's ``part``; the gradient of each is that of the sum."""
    return DTensor.from_local(part, mesh, [Partial(operation)], run_check=False).full_tensor()


def gather_columns(columns: Tensor, mesh: DeviceMesh) -> Tensor:
    """The ``columns`` [N, w] of every process in one tensor [N, R w], without gradient."""
    return DTensor.from_local(columns.detach(), mesh, [Shard(1)], run_check=False).full_tensor()
