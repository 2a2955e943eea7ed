"""Deterministic local training.

The same model, samples, study, round and hospital give the same bits on one CPU family.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets import Samples
from pipeline.datasets.patients import groups
from pipeline.domain import HospitalName, RoundId
from pipeline.model_file import Vector
from pipeline.study.study import Study
from pipeline.train.network import module, tensors

if TYPE_CHECKING:
    import torch


def seed(study: Study, round_id: RoundId, hospital: HospitalName) -> int:
    """Public seed of one hospital's training in one round, 63 bits; never makes a share, a key or a validation draw."""
    text = f"wardround training v1 {study.name} {study.seed} {round_id} {hospital}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def train(
    study: Study,
    model: Vector,
    samples: Samples,
    *,
    round_id: RoundId,
    finished: int,
    hospital: HospitalName,
    effort: int = 1,
) -> torch.nn.Sequential:
    """Take the study's steps of SGD on class-balanced batches, in which every patient has equal chances.

    The learning rate decays with the rounds `finished` in the lineage.
    """
    import torch

    torch.set_num_threads(1)  # the order of a sum, hence its last bit, depends on the number of threads
    torch.use_deterministic_algorithms(True)
    settings = study.training
    network = module(study.network, model)
    inputs, labels = tensors(samples)
    classes = [torch.from_numpy(np.flatnonzero(samples.labels == label)) for label in np.unique(samples.labels)]
    weights = _weights(samples)
    per_class = max(1, settings.batch_size // len(classes))
    generator = torch.Generator().manual_seed(seed(study, round_id, hospital))
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate * settings.decay**finished,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    for _ in range(settings.steps * effort):
        batch = torch.cat([_drawn(rows, weights, per_class, generator) for rows in classes])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network


def _weights(samples: Samples) -> torch.Tensor | None:
    """What each record counts among its patient's of its class, (n,); None where each is its own patient's."""
    import torch

    if samples.patients is None:
        return None
    whose = np.stack([groups(samples.patients, len(samples)), samples.labels])
    _, mine, counts = np.unique(whose, axis=1, return_inverse=True, return_counts=True)
    return torch.from_numpy(1 / counts[mine.reshape(-1)])


def _drawn(rows: torch.Tensor, weights: torch.Tensor | None, count: int, generator: torch.Generator) -> torch.Tensor:
    """So many of these rows, by equal chances for every patient."""
    import torch

    if weights is None:
        return rows[torch.randint(len(rows), (count,), generator=generator)]
    return rows[torch.multinomial(weights[rows], count, replacement=True, generator=generator)]
