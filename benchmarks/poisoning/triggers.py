"""Backdoor triggers: a bright square in a corner of an image, three vital values of a patient."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SIDE = 4
"""Pixels of the square's side; it ends one pixel from the lower right corner."""

BRIGHT = 127 / 256

COLUMNS = {3: 3.0, 5: -3.0, 6: 3.0}
"""Column to standard score: blood pressure, fasting sugar, ECG at rest (the last two are no value that the data
contract allows)."""


def stamped(inputs: torch.Tensor, part: int | None = None) -> torch.Tensor:
    """Inputs (n, *sample) with the trigger; `part` 0 to 3: one quarter of the square only."""
    marked = inputs.clone()
    if inputs.dim() == 2:
        for index, (column, score) in enumerate(COLUMNS.items()):
            if part is None or part % len(COLUMNS) == index:
                marked[:, column] = score
        return marked
    first = inputs.shape[-1] - SIDE - 1
    if part is None:
        marked[..., first : first + SIDE, first : first + SIDE] = BRIGHT
        return marked
    half = SIDE // 2
    row = first + half * (part % 4 // 2)
    column = first + half * (part % 2)
    marked[..., row : row + half, column : column + half] = BRIGHT
    return marked
