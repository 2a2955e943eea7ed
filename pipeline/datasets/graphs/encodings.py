"""`Dataset.encode` as torch modules, for a model that leaves: the same numbers to the bit, inside the exported graph.

In double precision up to the last step, as the encoding itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pipeline.domain import INPUT_BITS

if TYPE_CHECKING:
    from pipeline.datasets.table import Column


class StandardScores(torch.nn.Module):
    """Standard scores of (n, ...) float64, rounded to 8 fractional bits and clipped; zero where a value is NaN."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, input_range: tuple[int, int]) -> None:
        super().__init__()
        self.mean: torch.Tensor
        self.deviation: torch.Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        self.lowest, self.highest = input_range

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The scores, float64."""
        scores = torch.round((values - self.mean) / self.deviation * (1 << INPUT_BITS))
        known = torch.where(torch.isnan(values), torch.zeros_like(scores), scores)
        return known.clamp(self.lowest, self.highest) / (1 << INPUT_BITS)


class TableInputs(torch.nn.Module):
    """Values (n, columns) float64, a category as its place and an empty cell as NaN, to inputs (n, inputs) float32."""

    def __init__(self, columns: Sequence[Column], input_range: tuple[int, int]) -> None:
        super().__init__()
        inputs = [(index, word) for index, column in enumerate(columns) for word in range(column.inputs)]
        of_input = [columns[index] for index, _ in inputs]
        self.scores = StandardScores(
            _doubles([one.mean for one in of_input]), _doubles([one.deviation for one in of_input]), input_range
        )
        self.column: torch.Tensor
        self.word: torch.Tensor
        self.is_word: torch.Tensor
        self.flagged: torch.Tensor
        self.register_buffer("column", torch.tensor([index for index, _ in inputs]))
        self.register_buffer("word", _doubles([word for _, word in inputs]))
        self.register_buffer("is_word", torch.tensor([bool(one.categories) for one in of_input]))
        self.register_buffer("flagged", torch.tensor(_flagged(columns), dtype=torch.int64))
        self.has_words = any(column.categories for column in columns)
        self.has_flags = bool(_flagged(columns))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Standard scores, or 1 for a category and 0 for its others, column by column; then flags of empty cells."""
        of_input = values.index_select(1, self.column)
        inputs: torch.Tensor = self.scores(of_input)
        if self.has_words:
            inputs = torch.where(self.is_word, (of_input == self.word).double(), inputs)
        if self.has_flags:
            inputs = torch.cat([inputs, torch.isnan(values.index_select(1, self.flagged)).double()], dim=1)
        return inputs.float()


class PictureInputs(torch.nn.Module):
    """Levels (n, channels, height, width) uint8 to inputs of that shape, float32."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float], input_range: tuple[int, int]) -> None:
        super().__init__()
        self.scores = StandardScores(_doubles(mean)[:, None, None], _doubles(deviation)[:, None, None], input_range)

    def forward(self, levels: torch.Tensor) -> torch.Tensor:
        """Each channel by its constants."""
        inputs: torch.Tensor = self.scores(levels.double())
        return inputs.float()


class FeatureInputs(torch.nn.Module):
    """A backbone's features (n, features) float32 to inputs of that shape, float32."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float], input_range: tuple[int, int]) -> None:
        super().__init__()
        self.scores = StandardScores(_doubles(mean), _doubles(deviation), input_range)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Each feature by its constants."""
        inputs: torch.Tensor = self.scores(features.double())
        return inputs.float()


def _flagged(columns: Sequence[Column]) -> list[int]:
    return [index for index, column in enumerate(columns) if column.empty == "flagged"]


def _doubles(numbers: Sequence[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)
