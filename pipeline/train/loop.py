"""Deterministic local training.

The same model, samples, study, round and hospital give the same bits on one CPU family.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.datasets import Samples
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
    """Take the study's steps of SGD on class-balanced batches.

    The learning rate decays with the rounds `finished` in the lineage.
    """
    import torch

    torch.set_num_threads(1)  # the order of a sum, hence its last bit, depends on the number of threads
    torch.use_deterministic_algorithms(True)
    settings = study.training
    network = module(study.network, model)
    inputs, labels = tensors(samples)
    classes = [torch.from_numpy(np.flatnonzero(samples.labels == label)) for label in np.unique(samples.labels)]
    per_class = max(1, settings.batch_size // len(classes))
    generator = torch.Generator().manual_seed(seed(study, round_id, hospital))
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate * settings.decay**finished,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    for _ in range(settings.steps * effort):
        batch = torch.cat([rows[torch.randint(len(rows), (per_class,), generator=generator)] for rows in classes])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network
