"""One picture, ready for prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

_PIXELS = "pixel_"
"""What the vision tower reads begins so; everything else a processor says of a picture goes to the decoder too."""


@dataclass
class PreparedPicture:
    """One picture, ready for prompts.

    Attributes
    ----------
    key : str
        Stable id of its bytes; "" when it is not to be kept.
    block : str
        What stands for it in a prompt: marks, and one image token a patch.
    inputs : dict of Tensor
        What the processor made of it: pixels and grids.
    encoded : dict or None
        The vision tower's output.
    reused : bool
        Whether the vision tower's output came from memory or disk.
    """

    key: str
    block: str
    inputs: dict[str, Tensor]
    encoded: dict[str, Any] | None = None
    reused: bool = False

    @property
    def grids(self) -> dict[str, Tensor]:
        """Inputs the decoder needs besides the tower's output."""
        return {name: value for name, value in self.inputs.items() if not name.startswith(_PIXELS)}
