"""A study: what its members agree on, in one YAML file that every worker's owner approves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Unit
from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo

from pipeline.datasets import DATASETS, Dataset
from pipeline.datasets.grouping import Grouping
from pipeline.datasets.schema import BackboneSchema, ImagesSchema, TableSchema
from pipeline.domain import Sha256, tries
from pipeline.errors import EvidenceRejected, InvalidStudy, Refused
from pipeline.evidence.membership import study_digest
from pipeline.host.documents import first_problem, read_fields
from pipeline.layers import Network, Plan, plan
from pipeline.layers.table import layer
from pipeline.measures.subgroups import Layout
from pipeline.model_file import Model, Scale
from pipeline.site.consortium import Consortium
from pipeline.study.checks import check
from pipeline.study.code_digest import code_digest
from pipeline.study.fields import (
    MOST_LAYERS,
    Continues,
    Course,
    DataContract,
    Deadlines,
    HospitalField,
    LayerArguments,
    Name,
    NodeField,
    Partition,
    Rule,
    StudyModel,
    Subgroups,
    Title,
    Training,
    group,
    protocols_in_words,
)
from pipeline.study.groupings import grouping
from pipeline.study.modes import MODES, Mode


class Study(StudyModel):
    """One study as its YAML file says it, checked against data set, layers and protocol."""

    name: Annotated[Name, Field(title="Name", json_schema_extra={"default": "the file's name"})]
    """The file's name without .yaml. This line may be left out."""
    title: Annotated[Title, Field(title="Title")]
    """What people read in the console and in reports. It changes no result."""
    dataset: Annotated[
        Name,
        Field(
            title="Data set",
            json_schema_extra={"default": "the study's name, where `table` or `images` is"},
            description=(
                "A bundled data set of docs/reference/study.md. Without this line the hospitals' own data, which"
                " `table` or `images` describes."
            ),
        ),
    ]
    table: Annotated[TableSchema | None, Field(title="The hospitals' own tables")] = None
    """Columns and classes of the hospitals' own tables."""
    images: Annotated[ImagesSchema | None, Field(title="The hospitals' own pictures")] = None
    """Size and classes of the hospitals' own pictures."""
    backbone: Annotated[BackboneSchema | None, Field(title="Backbone")] = None
    """A public network whose weights stay as they are: each hospital runs it on its own pictures, in the clear, and
    `model` is what is trained on its features. Every worker fetches the file by its digest, and it is inspected at
    approval (docs/adr/0031-a-public-backbone.md)."""
    hospitals: Annotated[tuple[HospitalField, ...], Field(title="Hospitals", min_length=3, max_length=200)]
    """Names as in the consortium file. Each hospital trains on its own records."""
    nodes: Annotated[tuple[NodeField, ...], Field(title="Nodes", min_length=3, max_length=4)]
    """Names as in the consortium file. Each node runs one party of the encrypted computation; the protocol says how
    many there are."""
    engine: Annotated[Literal["spu", "mp-spdz"], Field(title="Engine of the encrypted computation")]
    """What computes under encryption. Nothing substitutes it: where it is missing, no round starts."""
    protocol: Annotated[
        str,
        Field(
            title="Protocol of the encrypted computation",
            description=(
                f"{protocols_in_words()}. Of 3 nodes each is trusted to follow the protocol; of 4 one may do anything,"
                " which can stop a round, but neither learn nor change anything."
            ),
        ),
    ]
    model: Annotated[
        tuple[Mapping[str, LayerArguments], ...],
        Field(
            title="Layers of the model",
            min_length=1,
            max_length=MOST_LAYERS,
            description=(
                "Layers of a torch.nn.Sequential under torch's own names; docs/reference/study.md lists those with an"
                " encrypted form. The input's shape comes from the data set; the last layer has one output per class."
            ),
        ),
    ]
    mode: Annotated[Literal["full", "large"], Field(title="Mode", examples=["large"])] = "full"
    """full: the whole rule under encryption and a trimmed mean, up to 100,000 parameters. large, for more: size and
    direction are checked on random projections, and nothing is trimmed from the mean; every model is tried on the
    hospitals' samples as in the full mode (docs/adr/0032-large-models-are-tried-too.md)."""
    continues: Annotated[
        Continues | None,
        Field(title="Continues another study's model", examples=[{"study": "breast_cancer", "round": 7}]),
    ] = None
    """The study, and the round of it, whose model the first round starts from. Without this line it starts from a model
    that the seed draws."""
    training: Training = Training()
    rule: Rule = Rule()
    data_contract: DataContract = DataContract()
    partition: Partition = Partition()
    deadlines: Deadlines = Deadlines()
    min_accepted: Annotated[
        int | None,
        Field(title="Fewest accepted hospitals with which a round ends in a model", ge=1, le=200, examples=[3]),
        Unit("hospitals"),
    ] = None
    """Fewest accepted hospitals with which a round ends in a model: at least 3 and a majority. Without this line, that
    least number."""
    schedule: Annotated[
        str | None, Field(title="Rounds start by themselves", examples=["0 3 * * 0"]), Unit("as a cron expression")
    ] = None
    """When rounds start by themselves: five fields of cron, or a name such as @daily. Without this line, by hand. It
    changes no result."""
    measures: Annotated[
        Literal["accuracy", "confusion", "scores"],
        Field(title="What hospitals tell of the model", examples=["scores"]),
    ] = "confusion"
    """What a hospital publishes of the new model on its own test records. accuracy: how many are right. confusion: also
    how many of each class got which answer, from which sensitivity and specificity follow; a hospital with fewer than 5
    test records of a class keeps that to itself. scores: also histograms of each class's scores in 10 bins, from which
    AUC and calibration follow; a hospital with fewer than 10 keeps those to itself. The threat model says what each
    reveals."""
    subgroups: Annotated[
        Subgroups | None,
        Field(title="Subgroups", examples=[{"by": {"sex": {}, "age": {"bands": [40, 65]}}, "floor": 10}]),
    ] = None
    """Whom the model fails: what `measures` says, by sex, age or whatever columns `by` names, of the test records of
    all hospitals together. Hospitals share their counts in secret beside their update, of the model that the round
    starts from, and only the totals of groups above the floor are opened. Without this line nobody counts."""
    course: Annotated[
        Course | None,
        Field(
            title="Course",
            examples=[{"target": {"measure": "accuracy", "value": 0.9}, "patience": 5, "most_rounds": 50}],
        ),
    ] = None
    """When the study is done, by what hospitals confirmed: a target is reached by the lower end of its 95 % interval,
    none of `patience` rounds lies above the interval of the round before them, or there were `most_rounds`. Its nodes
    then conclude it on the ledger, and no round of it opens any more. Without this line it goes on as long as rounds
    are started. A measure is accuracy, balanced_accuracy, auc, or with a class (`of`) sensitivity or
    specificity."""
    seed: Annotated[int, Field(title="Public seed of the first model, the batches and the dealing", ge=0, lt=2**32)] = 1
    """Public: deals out a demonstration's data, draws the first model and the training batches. No share, key or
    validation draw comes from it."""

    @classmethod
    def load(cls, path: Path) -> Study:
        """Read and check a study file; raises InvalidStudy naming file, field, value and what is allowed."""
        try:
            content = read_fields(path.read_bytes(), str(path), raising=InvalidStudy)
        except FileNotFoundError as error:
            studies = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
            raise InvalidStudy(str(path), "file", "nothing", f"one of the studies there: {studies}") from error
        try:
            implied = {"dataset": content.get("name", path.stem)} if {"table", "images"} & content.keys() else {}
            study = cls.model_validate({"name": path.stem} | implied | content)
        except ValidationError as error:
            raise InvalidStudy(str(path), *first_problem(error, "study")) from error
        check(study, str(path))
        return study

    @property
    def source(self) -> Dataset:
        """The data set plug-in."""
        if self.images and self.backbone:
            return self.backbone.dataset(self.images.dataset(self.dataset))
        if schema := self.table or self.images:
            return schema.dataset(self.dataset)
        return DATASETS[self.dataset]

    def at(self, model: Model) -> Study:
        """The study in a round that starts from `model`: with the constants that it holds, where they are measured.

        Raises Refused where it holds other ones than the study measures.
        """
        return self if model.scale is None else self.scaled(model.scale)

    def scaled(self, scale: Scale) -> Study:
        """The study with these constants of the inputs that it measures, as if its file gave them; raises Refused."""
        schema = self.table or self.images
        measured = self.source.measured
        if schema is None or len(scale.means) != len(measured):
            raise Refused(
                f"study {self.name}: its model has the scale of {len(scale.means)} inputs, and its file leaves"
                f" {len(measured)} to be measured; give the constants of new ones in the file, or register the study"
                " under another name"
            )
        constants = zip(scale.means, scale.deviations, strict=True)
        given = schema.scaled({one.name: pair for one, pair in zip(measured, constants, strict=True)})
        return self.model_copy(update={"table" if self.table else "images": given})

    @property
    def network(self) -> Network:
        """The model's layers on this data set's samples."""
        return Network(self.source.shape, tuple(layer(item) for item in self.model))

    @property
    def plan(self) -> Plan:
        """The network in integers, step by step; raises ValueError where one could leave 64 bits."""
        largest = max(abs(bound) for bound in self.source.input_range)
        return plan(self.network, largest, self.evaluation_mode.weights)

    @property
    def tries(self) -> int:
        """Of a model on a sample, in a round."""
        return tries(len(self.hospitals), self.rule.images_per_hospital, self.rule.panel)

    @property
    def work(self) -> int:
        """Million comparisons of all tries of a round, rounded up; `rule.most_work` bounds it."""
        return -(-(self.plan.work() * self.tries).in_comparisons // 1_000_000)

    @property
    def evaluation_mode(self) -> Mode:
        """What the study's mode takes and asks."""
        return MODES[self.mode]

    @property
    def draws_seed(self) -> bool:
        """Whether its rounds have a seed that the nodes draw: they commit to its parts with their sealing keys."""
        return self.evaluation_mode.projects or self.rule.panel is not None

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The groups of patients that its columns make; none without subgroups."""
        if self.subgroups is None:
            return ()
        # By name: the terms, from which an auditor reads the study again, keep no order.
        return tuple(grouping(self.source, name, column) for name, column in sorted(self.subgroups.by.items()))

    @property
    def counted(self) -> Layout | None:
        """How a hospital's counts by group are laid out in a round.

        None without subgroups, and in the round that measures the inputs' scale, whose model has answered nobody yet.
        """
        return None if self.source.measured else self.layout

    @property
    def layout(self) -> Layout | None:
        """The same of a round that trains."""
        if not self.groupings:
            return None
        sizes = tuple(len(one.names) for one in self.groupings)
        return Layout(self.source.classes, self.measures == "scores", sizes)

    @property
    def accepted_floor(self) -> int:
        """Fewest accepted hospitals with which a round ends in a model."""
        return self.min_accepted if self.min_accepted is not None else max(3, len(self.hospitals) // 2 + 1)

    def terms(self, consortium: Consortium) -> dict[str, Any]:
        """What owners approve: this study, the members' keys and certificates, the ledger and the code that runs."""
        return {
            "study": self._plain(),
            "hospitals": {name: consortium.hospital(name) for name in self.hospitals},
            "nodes": {
                name: {"address": consortium.node(name).address, "certificate": consortium.fingerprint(name)}
                for name in self.nodes
            },
            "ledger": consortium.ledger.model_dump(mode="json"),
            "code": dict(code_digest()),
        }

    @classmethod
    def of_terms(cls, terms: Mapping[str, Any]) -> Study:
        """The study that owners approved with these terms.

        Raises EvidenceRejected where this version of Wardround reads them otherwise.
        """
        try:
            # Some fields only go with others: what nobody has given is left out again.
            fields = {
                name: _beyond_defaults(cls.model_fields.get(name), value) for name, value in terms["study"].items()
            }
            if fields["table"] is not None:
                fields["table"] = TableSchema.from_plain(fields["table"])
            study = cls.model_validate(fields)
            check(study, study.name)
        except (AttributeError, KeyError, TypeError, ValueError, InvalidStudy) as error:
            raise EvidenceRejected(
                f"terms: got no study that this version of Wardround reads ({type(error).__name__}); take the version"
                " that its owners approved"
            ) from error
        if study._plain() != terms["study"]:
            raise EvidenceRejected(
                f"terms: this version of Wardround reads study {study.name} otherwise; take the version that its owners"
                " approved"
            )
        return study

    def _plain(self) -> dict[str, Any]:
        """The study's own part of the terms."""
        table = {"table": self.table.plain()} if self.table else {}
        plain: dict[str, Any] = _without_floats(self.model_dump(mode="json") | table)
        return plain

    def digest(self, consortium: Consortium) -> Sha256:
        """The digest of `terms`, which names them everywhere."""
        return study_digest(self.terms(consortium))


def _beyond_defaults(field: FieldInfo | None, plain: Any) -> Any:
    """A group of fields without those that say what their defaults say."""
    model = group(field) if field else None
    if model is None:
        return plain
    defaults = _without_floats(model().model_dump(mode="json"))
    return {name: value for name, value in plain.items() if name not in defaults or value != defaults[name]}


def _without_floats(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: _without_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_floats(item) for item in value]
    return value
