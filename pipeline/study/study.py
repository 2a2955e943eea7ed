"""A study: what its members agree on, in one YAML file that every worker's owner approves.

What a field is called, its unit and its meaning stand here alone: the comments of the files in studies/, the console and
docs/reference/study.md take them from here (`python -m handbook`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Unit
from croniter import croniter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.fields import FieldInfo

from pipeline.datasets import DATASETS, Dataset
from pipeline.datasets.schema import ImagesSchema, TableSchema
from pipeline.domain import LEAST_FOR_RESULT, HospitalName, NodeName, Sha256
from pipeline.errors import InvalidStudy
from pipeline.evidence.canonical import digest, sha256
from pipeline.evidence.membership import study_digest
from pipeline.host.documents import first_problem, read_fields
from pipeline.layers import LAYERS, Layer, Network
from pipeline.layers.plan import plan
from pipeline.site.consortium import Consortium
from pipeline.site.settings import PROJECT
from pipeline.store import object_keys

PROTOCOLS: Mapping[str, Mapping[str, int]] = {
    "spu": {"aby3": 3},
    "mp-spdz": {"replicated-ring": 3, "rep4-ring": 4},
}
"""Engine to protocol to the number of nodes that it takes."""

LARGEST_MODEL = 100_000
"""Parameters up to which the whole rule is evaluated under encryption."""

LARGE_FROM, LARGEST_LARGE_MODEL = 100_000, 16_000_000
"""Parameters between which a study may name the large-model mode: fewer need no weaker checks, more no node takes in."""

UNUSED_IN_LARGE = (
    "images_per_hospital",
    "early_rounds",
    "below_global_early_percent",
    "below_global_percent",
    "below_peers_early_percent",
    "below_peers_percent",
    "weakest_class_below_global_early_percent",
    "weakest_class_below_global_percent",
    "weakest_class_below_peers_early_percent",
    "weakest_class_below_peers_percent",
)
"""Fields of the rule that the large-model mode does not read."""

_CRON_FIELDS, _SOME_DAY = 5, datetime(2026, 1, 1, tzinfo=UTC)

_NAME = StringConstraints(pattern=r"^[a-z][a-z0-9_-]{1,31}$")  # names become folders, queues and object keys
_Name = Annotated[str, _NAME]
_HospitalName = Annotated[HospitalName, _NAME]
_NodeName = Annotated[NodeName, _NAME]

MOST_STEPS, LARGEST_BATCH, MOST_RECORDS = 100_000, 65_536, 1_000_000
"""What no hospital trains or is dealt in a round: hours of the smallest model's steps, more records than a demonstration has."""

LONGEST_ROUND = 7 * 24 * 3600
"""Seconds; the store keeps an envelope for a week, so that a later deadline could not be met."""

MOST_ROUNDS = 10_000
"""Rounds that a rule looks ahead or back: at one a day, a study's whole course several times over."""

_Size = Annotated[int, Field(le=1 << 16)]  # of a layer: wider ones have no encrypted form in any mode
_Title = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]
_Points = Annotated[int, Field(ge=1, le=100), Unit("percentage points")]
_BLOCK_TIME = Unit("seconds of block time from the opening")


def _protocols() -> str:
    """The table of protocols in words."""
    nodes = {engine: ", ".join(f"{name} of {count} nodes" for name, count in each.items()) for engine, each in PROTOCOLS.items()}
    return "; ".join(f"with engine {engine} {known}" for engine, known in nodes.items()).capitalize()


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def group(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a group of fields, such as `training`; None for a single one."""
    model = field.annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


class Training(_Model):
    """Local training by SGD on class-balanced batches: the same number of steps for everyone, so that an update's size tells nothing."""

    steps: Annotated[int, Field(title="Training steps per round", ge=1, le=MOST_STEPS), Unit("steps")] = 12
    """Steps that each hospital takes in a round."""
    batch_size: Annotated[int, Field(title="Records per training step", ge=1, le=LARGEST_BATCH), Unit("records")] = 32
    """Records in a step, as many of each class."""
    learning_rate: Annotated[float, Field(title="Learning rate", gt=0, le=1)] = 0.05
    """Learning rate of the first round."""
    decay: Annotated[float, Field(title="Factor on the learning rate per round", gt=0, le=1)] = 0.87
    """Factor on the learning rate per finished round."""
    momentum: Annotated[float, Field(title="Momentum", ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    weight_decay: Annotated[float, Field(title="Weight decay", ge=0, lt=1)] = 1e-4
    """Weight decay of SGD."""


class Rule(_Model):
    """The rule against poisoning: it compares accuracies on the hospitals' secret validation samples, in percentage points."""

    images_per_hospital: Annotated[
        int, Field(title="Secret validation samples that each hospital shares", ge=4, le=256), Unit("samples per round")
    ] = 32
    """Fresh samples of each hospital in a round. The encrypted work grows with them; with few of them honest hospitals are rejected."""
    early_rounds: Annotated[int, Field(title="Rounds under the early, looser thresholds", ge=0, le=MOST_ROUNDS), Unit("rounds")] = 3
    """First rounds, under the looser thresholds (`early`): models differ most while they learn fastest."""
    below_global_early_percent: Annotated[_Points, Field(title="A model may fall below the current one, early")] = 20
    """How far a model may fall below the current global one, in the early rounds."""
    below_global_percent: Annotated[_Points, Field(title="A model may fall below the current one, later")] = 10
    """How far a model may fall below the current global one, in later rounds."""
    below_peers_early_percent: Annotated[_Points, Field(title="A model may fall below the other hospitals' models, early")] = 20
    """How far a model may fall below the median of the hospitals' models, in the early rounds."""
    below_peers_percent: Annotated[_Points, Field(title="A model may fall below the other hospitals' models, later")] = 10
    """How far a model may fall below the median of the hospitals' models, in later rounds."""
    weakest_class_below_global_early_percent: Annotated[_Points, Field(title="On its weakest class: below the current one, early")] = 45
    """On the one class that a model answers worst, below the global model, in the early rounds. Overall accuracy can hide a flip of
    one class."""
    weakest_class_below_global_percent: Annotated[_Points, Field(title="On its weakest class: below the current one, later")] = 20
    """On the weakest class, below the global model, in later rounds."""
    weakest_class_below_peers_early_percent: Annotated[_Points, Field(title="On its weakest class: below the others' models, early")] = 30
    """On the weakest class, below the median of the hospitals' models, in the early rounds."""
    weakest_class_below_peers_percent: Annotated[_Points, Field(title="On its weakest class: below the others' models, later")] = 19
    """On the weakest class, below the median of the hospitals' models, in later rounds."""
    strikes: Annotated[int, Field(title="Rejections that lead to quarantine", ge=1, le=100), Unit("rejections")] = 4
    """Rejections within the window after which a hospital is out, until a majority of nodes releases it."""
    strike_window: Annotated[int, Field(title="Rounds among which they count", ge=1, le=100), Unit("rounds")] = 5
    """The window: the study's last rounds, in which rejections count."""
    reveal_condition: Annotated[bool, Field(title="A rejection names which of size, direction and peers failed"), Unit("true or false")] = (
        False
    )
    """true: a rejection names the first condition that failed. Each further bit tells an attacker more about the secret thresholds."""


class Deadlines(_Model):
    """When a round ends, in seconds of block time from its opening."""

    commit_seconds: Annotated[int, Field(title="Hospitals hand in within", ge=5, le=LONGEST_ROUND), _BLOCK_TIME] = 180
    """Until then hospitals have handed in."""
    result_seconds: Annotated[int, Field(title="The nodes' result is there within", ge=10, le=LONGEST_ROUND), _BLOCK_TIME] = 600
    """Until then the nodes' result is on the ledger; 10 seconds or more after `commit_seconds`. A direct commit may take half of these."""

    @model_validator(mode="after")
    def _ordered(self) -> Deadlines:
        if self.result_seconds < self.commit_seconds + LEAST_FOR_RESULT:
            raise ValueError(f"result_seconds must exceed commit_seconds ({self.commit_seconds}) by {LEAST_FOR_RESULT} or more")
        return self


class Partition(_Model):
    """How set-up deals out a demonstration's data; a hospital with records of its own ignores it."""

    by: Annotated[Literal["class", "site"], Field(title="A demonstration's data are dealt out by")] = "class"
    """class: dealt by the seed, skewed by class. site: each hospital has the records of the publisher's site of its name."""
    alpha: Annotated[float, Field(title="Skew of a demonstration's data (small is skewed)", ge=0.001, le=1_000_000)] = 0.5
    """Dirichlet concentration: 0.5 is strongly skewed, 100 nearly even. Only with `by: class`."""
    per_class: Annotated[int, Field(title="Fewest records of a class dealt to a hospital", ge=0, le=MOST_RECORDS), Unit("records")] = 20
    """Fewest training records of each class that every hospital is dealt. Only with `by: class`."""

    @model_validator(mode="after")
    def _one_way(self) -> Partition:
        if self.by == "site" and self.model_fields_set & {"alpha", "per_class"}:
            raise ValueError("alpha and per_class go with `by: class`; `by: site` takes the sites as they are")
        return self


class DataContract(_Model):
    """What every hospital's records must satisfy, beside the data set's own contract; a hospital that fails it is absent."""

    min_per_class: Annotated[int, Field(title="Fewest records of each class at a hospital", ge=1, le=MOST_RECORDS), Unit("records")] = 10
    """Fewest training records of each class: an update from a handful of one class looks like poison. A third of each class is
    the hospital's private validation pool, never trained on."""


class Study(_Model):
    """One study as its YAML file says it, checked against data set, layers and protocol."""

    name: Annotated[_Name, Field(title="Name", json_schema_extra={"default": "the file's name"})]
    """The file's name without .yaml. This line may be left out."""
    title: Annotated[_Title, Field(title="Title")]
    """What people read in the console and in reports. It changes no result."""
    dataset: Annotated[
        _Name,
        Field(
            title="Data set",
            json_schema_extra={"default": "the study's name, where `table` or `images` is"},
            description=f"A bundled data set: {', '.join(sorted(DATASETS))}. Without this line the hospitals' own data, which `table` or "
            "`images` describes.",
        ),
    ]
    table: Annotated[TableSchema | None, Field(title="The hospitals' own tables")] = None
    """Columns and classes of the hospitals' own tables."""
    images: Annotated[ImagesSchema | None, Field(title="The hospitals' own pictures")] = None
    """Size and classes of the hospitals' own pictures."""
    hospitals: Annotated[tuple[_HospitalName, ...], Field(title="Hospitals", min_length=3, max_length=200)]
    """Names as in the consortium file. Each hospital trains on its own records."""
    nodes: Annotated[tuple[_NodeName, ...], Field(title="Nodes", min_length=3, max_length=4)]
    """Names as in the consortium file. Each node runs one party of the encrypted computation; the protocol says how many there are."""
    engine: Annotated[Literal["spu", "mp-spdz"], Field(title="Engine of the encrypted computation")]
    """What computes under encryption. Nothing substitutes it: where it is missing, no round starts."""
    protocol: Annotated[
        str,
        Field(
            title="Protocol of the encrypted computation",
            description=f"{_protocols()}. Of 3 nodes each is trusted to follow the protocol; of 4 one may do anything, which can stop a "
            "round, but neither learn nor change anything.",
        ),
    ]
    model: Annotated[
        tuple[Mapping[str, Mapping[str, _Size]], ...],
        Field(
            title="Layers of the model",
            min_length=1,
            max_length=100,
            description=f"Layers of a torch.nn.Sequential under torch's own names: {', '.join(LAYERS)}. The input's shape comes from "
            "the data set; the last layer has one output per class.",
        ),
    ]
    mode: Annotated[Literal["full", "large"], Field(title="Mode", examples=["large"])] = "full"
    """full: the whole rule under encryption and a trimmed mean, up to 100,000 parameters. large, for more: size and direction are
    checked on random projections and the mean is plain. There is no peer validation then, hence none of the rule's lines on samples
    and percentages (docs/adr/0007-large-models.md)."""
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
    """Fewest accepted hospitals with which a round ends in a model: at least 3 and a majority. Without this line, that least number."""
    schedule: Annotated[str | None, Field(title="Rounds start by themselves", examples=["0 3 * * 0"]), Unit("as a cron expression")] = None
    """When rounds start by themselves: five fields of cron, or a name such as @daily. Without this line, by hand. It changes no result."""
    target_accuracy: Annotated[float | None, Field(title="Accuracy shown as the goal; decides nothing", gt=0, le=1, examples=[0.9])] = None
    """Shown as the goal in reports, from 0 to 1. It changes no result."""
    seed: Annotated[int, Field(title="Public seed of the first model, the batches and the dealing", ge=0, lt=2**32)] = 1
    """Public: deals out a demonstration's data, draws the first model and the training batches. No share, key or validation draw
    comes from it."""

    @classmethod
    def load(cls, path: Path) -> Study:
        """Read and check a study file; raises InvalidStudy naming file, field, value and what is allowed."""
        try:
            content = read_fields(path.read_bytes(), str(path), raising=InvalidStudy)
        except FileNotFoundError as error:
            known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
            raise InvalidStudy(str(path), "file", "nothing", f"one of the studies there: {known}") from error
        try:
            own = {"dataset": content.get("name", path.stem)} if {"table", "images"} & content.keys() else {}
            study = cls.model_validate({"name": path.stem} | own | content)
        except ValidationError as error:
            raise InvalidStudy(str(path), *first_problem(error, "study")) from error
        _check(study, str(path))
        return study

    @property
    def source(self) -> Dataset:
        """The data set plug-in."""
        if own := self.table or self.images:
            return own.dataset(self.dataset)
        return DATASETS[self.dataset]

    @property
    def network(self) -> Network:
        """The model's layers on this data set's samples."""
        return Network(self.source.shape, tuple(_layer(item) for item in self.model))

    @property
    def samples_shared(self) -> int:
        """Validation samples that each hospital shares in a round: none where no model is evaluated on them."""
        return 0 if self.mode == "large" else self.rule.images_per_hospital

    @property
    def accepted_floor(self) -> int:
        """Fewest accepted hospitals with which a round ends in a model."""
        return self.min_accepted if self.min_accepted is not None else max(3, len(self.hospitals) // 2 + 1)

    def terms(self, consortium: Consortium) -> dict[str, Any]:
        """What owners approve: this study, the members' keys and certificates, the ledger and the code that runs."""
        return {
            "study": _without_floats(self.model_dump(mode="json")),
            "hospitals": {name: consortium.hospital(name) for name in self.hospitals},
            "nodes": {name: {"address": consortium.node(name).address, "certificate": consortium.fingerprint(name)} for name in self.nodes},
            "ledger": consortium.ledger.model_dump(mode="json"),
            "code": code_digest(),
        }

    def digest(self, consortium: Consortium) -> Sha256:
        """The digest of `terms`, which names them everywhere."""
        return study_digest(self.terms(consortium))


def code_digest() -> Sha256:
    """SHA-256 over the names and bytes of all of our code and of the locks that rounds run by: whatever can change a result, and more."""
    files = [
        *PROJECT.glob("pipeline/**/*.py"),
        *PROJECT.glob("mpc-programs/**/*.mpc"),
        *PROJECT.glob("mpc-programs/**/*.py"),
        *PROJECT.glob("contracts/abi/*.json"),
        *PROJECT.glob("requirements/*.txt"),
    ]
    return digest({str(file.relative_to(PROJECT)): sha256(file.read_bytes()) for file in files})


def _check(study: Study, file: str) -> None:
    def refuse(field: str, got: object, wanted: str) -> None:
        raise InvalidStudy(file, field, got, wanted)

    if study.name != Path(file).stem:
        refuse("name", study.name, f"the file's own name, {Path(file).stem}")
    own = [field for field in ("table", "images") if getattr(study, field)]
    if len(own) > 1:
        refuse("images", "a table too", "one kind of data in a study")
    if own and study.dataset in DATASETS:
        refuse("dataset", study.dataset, f"another name than those of the package: {', '.join(sorted(DATASETS))}")
    if not own and study.dataset not in DATASETS:
        refuse("dataset", study.dataset, f"one of {', '.join(sorted(DATASETS))}")
    for field, members in (("hospitals", study.hospitals), ("nodes", study.nodes)):
        if len(set(members)) != len(members):
            refuse(field, list(members), "every name once")
        if taken := sorted(object_keys.WORDS.intersection(members)):
            refuse(field, taken, "names that are no words of the store's paths")
    if both := set(study.hospitals) & set(study.nodes):
        refuse("nodes", sorted(both), "names that no hospital has: a signed statement names its maker")
    protocols = PROTOCOLS[study.engine]
    if study.protocol not in protocols:
        refuse("protocol", study.protocol, f"one of {', '.join(protocols)} for engine {study.engine}")
    if protocols[study.protocol] != len(study.nodes):
        refuse("nodes", list(study.nodes), f"{protocols[study.protocol]} nodes for protocol {study.protocol}")
    if study.partition.by == "site" and not set(study.hospitals) <= set(study.source.sites):
        known = ", ".join(study.source.sites) or f"none: {study.dataset} names no sites, use `by: class`"
        refuse("partition.by", f"site, hospitals {', '.join(study.hospitals)}", f"hospitals named as the data set's sites: {known}")
    floor = study.min_accepted
    if floor is not None and not max(3, len(study.hospitals) // 2 + 1) <= floor <= len(study.hospitals):
        refuse("min_accepted", floor, f"at least 3 and a majority of {len(study.hospitals)} hospitals, and no more than there are")
    if study.schedule is not None and (trouble := _no_schedule(study.schedule)):
        refuse("schedule", study.schedule, f"five fields of cron, such as 0 3 * * 0, or @daily: {trouble}")
    if study.rule.strikes > study.rule.strike_window:
        refuse("rule.strikes", study.rule.strikes, f"at most strike_window ({study.rule.strike_window})")
    for index, item in enumerate(study.model):
        try:
            _layer(item)
        except (TypeError, ValueError) as error:
            refuse(f"model.{index}", dict(item), f"one layer of {', '.join(LAYERS)} with its arguments ({error})")
    try:
        classes, size = study.network.classes, study.network.size
    except ValueError as error:
        raise InvalidStudy(file, "model", [next(iter(item)) for item in study.model], f"layers that fit one another: {error}") from None
    if classes != len(study.source.classes):
        refuse("model", f"{classes} outputs", f"{len(study.source.classes)}, one per class of {study.dataset}")
    if study.mode == "large":
        _check_large(study, size, refuse)
        return
    if size > LARGEST_MODEL:
        refuse(
            "model", f"{size} parameters", f"at most {LARGEST_MODEL}, the limit for the encrypted rule; `mode: large` checks less, on more"
        )
    if study.rule.images_per_hospital < classes:
        refuse("rule.images_per_hospital", study.rule.images_per_hospital, f"at least {classes}, one per class of {study.dataset}")
    try:
        plan(study.network, max(abs(bound) for bound in study.source.input_range))
    except ValueError as error:
        refuse("model", [next(iter(item)) for item in study.model], f"values that stay within 64 bits under encryption: {error}")


def _check_large(study: Study, size: int, refuse: Callable[[str, object, str], None]) -> None:
    if not LARGE_FROM < size <= LARGEST_LARGE_MODEL:
        refuse(
            "mode",
            f"large with {size} parameters",
            f"a model of more than {LARGE_FROM} and at most {LARGEST_LARGE_MODEL}; without `mode` below",
        )
    for field in UNUSED_IN_LARGE:
        if field in study.rule.model_fields_set:
            refuse(f"rule.{field}", getattr(study.rule, field), "no such line: the large-model mode has no peer validation")


def _no_schedule(text: str) -> str | None:
    """Why Airflow's own parser of cron finds no next round in `text`; None where it finds one."""
    try:
        parsed = croniter(text, _SOME_DAY)
        if len(parsed.expanded) != _CRON_FIELDS:
            return f"got {len(parsed.expanded)} fields, and rounds do not start by the second"
        parsed.get_next()
    except ValueError as error:
        return str(error)
    return None


def _layer(item: Mapping[str, Mapping[str, int]]) -> Layer:
    if len(item) != 1:
        raise ValueError(f"got {len(item)} names in one list item")
    ((name, arguments),) = item.items()
    if name not in LAYERS:
        raise ValueError(f"{name} has no encrypted form")
    wrong = {key: value for key, value in arguments.items() if value < (0 if key == "padding" else 1)}
    if wrong:
        raise ValueError(f"{name}: got {wrong}, want whole numbers from 1, padding from 0")
    return LAYERS[name](**arguments)


def _without_floats(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: _without_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_floats(item) for item in value]
    return value
