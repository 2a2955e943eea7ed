"""A hospital's manifest: the signed digests of everything that it shares in one round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.domain import HospitalName, NodeName, Sha256, sha256_text
from pipeline.errors import EvidenceRejected
from pipeline.host.documents import first_problem


@dataclass(frozen=True)
class Sealed:
    """Digest and size in bytes of one sealed envelope."""

    sha256: Sha256
    size: int


@dataclass(frozen=True)
class Manifest:
    """What one hospital dealt: component digests by index, envelopes by node, and the validation it stands on."""

    hospital: HospitalName
    length: int
    """64-bit words of the shared vector."""
    components: tuple[Sha256, ...]
    envelopes: Mapping[NodeName, Sealed]
    validation: Sha256
    tested: int | None = None
    """Test records of which its counts by subgroup are; None where the study has none."""

    def body(self) -> dict[str, Any]:
        """The JSON body that the hospital signs."""
        return {
            "hospital": self.hospital,
            "length": self.length,
            "components": list(self.components),
            "envelopes": {
                node: {"sha256": sealed.sha256, "size": sealed.size} for node, sealed in self.envelopes.items()
            },
            "validation": self.validation,
            **({} if self.tested is None else {"tested": self.tested}),
        }

    @classmethod
    def parse(cls, body: Mapping[str, Any], nodes: tuple[NodeName, ...]) -> Manifest:
        """Read a signed body; raises EvidenceRejected unless it covers exactly `nodes`."""
        try:
            read = _Body.model_validate(dict(body))
        except ValidationError as error:
            raise EvidenceRejected(f"manifest: {first_problem(error)}") from error
        if set(read.envelopes) != set(nodes) or len(read.components) != len(nodes):
            raise EvidenceRejected(
                f"manifest of {read.hospital}: got {len(read.components)} components and envelopes for "
                f"{', '.join(sorted(read.envelopes))}, want {len(nodes)} and {', '.join(nodes)}"
            )
        if len(set(read.components)) != len(read.components):
            raise EvidenceRejected(
                f"manifest of {read.hospital}: got one component twice, want {len(nodes)} that differ"
            )
        return cls(
            hospital=HospitalName(read.hospital),
            length=read.length,
            components=tuple(sha256_text(text, "component digest") for text in read.components),
            envelopes={
                NodeName(node): Sealed(sha256_text(sealed.sha256, "envelope digest"), sealed.size)
                for node, sealed in read.envelopes.items()
            },
            validation=sha256_text(read.validation, "validation digest"),
            tested=read.tested,
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Sealed(_Strict):
    sha256: str
    size: int


class _Body(_Strict):
    hospital: str
    length: int
    components: list[str]
    envelopes: dict[str, _Sealed]
    validation: str
    tested: int | None = None
