"""What an exported file holds, whatever its form: a round's model, and all that says where it comes from."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.domain import Address, Context, RoundId, Sha256
from pipeline.errors import EvidenceRejected
from pipeline.evidence.canonical import read_json, sha256
from pipeline.evidence.membership import study_digest
from pipeline.host.documents import first_problem
from pipeline.layers.table import to_plain
from pipeline.model_file import Model, Scale, Vector, read_model
from pipeline.study.study import Study
from pipeline.views.model_card import WARNING

LABEL, SHARES = "label", "shares"
"""What the graph answers."""

_LARGEST_DESCRIPTION = 4 << 20
"""Bytes: the terms of a study of 1,000 columns and 200 hospitals are below a tenth."""


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Lineage(_Form):
    chain_id: int
    contract: str
    study_digest: str
    round: int = Field(ge=1)
    previous_model: str


class _Scale(_Form):
    means: list[float]
    deviations: list[float]


class _Described(_Form):
    lineage: _Lineage
    terms: dict[str, Any]
    scale: _Scale | None
    made_with: dict[str, str]


@dataclass(frozen=True)
class Origin:
    """Where a file says that it comes from: the round, the terms under which it ran, and the scale of its model."""

    context: Context
    terms: Mapping[str, Any]
    scale: Scale | None
    made_with: Mapping[str, str]
    """Packages that wrote the file, to their versions."""

    @classmethod
    def read(cls, description: bytes) -> Origin:
        """The origin that a file's description gives; raises EvidenceRejected when it is no such description."""
        value = read_json(description, _LARGEST_DESCRIPTION)
        try:
            said = _Described.model_validate(value)
        except ValidationError as error:
            raise EvidenceRejected(f"description: {first_problem(error, 'description')}") from error
        lineage = said.lineage
        context = Context(
            lineage.chain_id,
            Address(lineage.contract),
            Sha256(lineage.study_digest),
            RoundId(lineage.round),
            Sha256(lineage.previous_model),
        )
        scale = Scale(tuple(said.scale.means), tuple(said.scale.deviations)) if said.scale else None
        return cls(context, said.terms, scale, said.made_with)

    @property
    def terms_digest(self) -> Sha256:
        """The digest of the terms; raises EvidenceRejected where they have none."""
        try:
            return study_digest(self.terms)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EvidenceRejected(
                f"description: got terms of a form that no study has ({type(error).__name__})"
            ) from error


@dataclass(frozen=True)
class Content:
    """A round's model, the round, and the terms of its study."""

    context: Context
    terms: Mapping[str, Any]
    model: Model
    backbone: bytes | None = None
    """The file of ONNX that makes features of pictures, where the study names one."""

    @cached_property
    def approved(self) -> Study:
        """The study by its terms; raises EvidenceRejected."""
        return Study.of_terms(self.terms)

    @cached_property
    def study(self) -> Study:
        """The study with the constants that the model holds; raises EvidenceRejected, Refused."""
        return self.approved.at(self.model)

    @property
    def parameters(self) -> Vector:
        """The network's."""
        return self.model.parameters

    @property
    def preparation(self) -> bytes:
        """What has to be done to a record, as the file beside the model says it."""
        return (json.dumps(self._preparation, indent=2, ensure_ascii=False) + "\n").encode()

    @property
    def _preparation(self) -> dict[str, Any]:
        source = self.study.source
        outputs = {
            LABEL: f"(records,) int64: the place of the largest share among {', '.join(source.classes)}, from 0",
            SHARES: "(records, classes) float32: the softmax, which is no probability of illness",
        }
        return {**source.preparation, "classes": list(source.classes), "outputs": outputs, "warning": WARNING}

    def description(self, made_with: Mapping[str, str]) -> bytes:
        """What the file says of itself: equal contents have equal bytes, since none of it depends on who exports."""
        scale = self.model.scale
        described = {
            "lineage": {"study": self.study.name, **asdict(self.context), "model": sha256(self.model.to_bytes())},
            "network": to_plain(self.study.network),
            "preparation": self._preparation,
            "scale": None if scale is None else {name: list(values) for name, values in vars(scale).items()},
            "terms": self.terms,
            "made_with": dict(made_with),
        }
        return json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    def to_json(self) -> bytes:
        """For another process of this machine."""
        model = base64.b64encode(self.model.to_bytes()).decode()
        backbone = None if self.backbone is None else base64.b64encode(self.backbone).decode()
        whole = {"context": asdict(self.context), "terms": self.terms, "model": model, "backbone": backbone}
        return json.dumps(whole).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Content:
        """What `to_json` wrote."""
        value = read_json(data, len(data))
        backbone = None if value["backbone"] is None else base64.b64decode(value["backbone"])
        model = read_model(base64.b64decode(value["model"]))
        return cls(Context(**value["context"]), value["terms"], model, backbone)
