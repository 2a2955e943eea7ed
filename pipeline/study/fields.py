"""The fields of a study's file in their groups, each with its words, unit and bounds.

What a field is called, its unit and its meaning stand here and in `pipeline.study.study` alone: the comments of the
files in studies/, the console and docs/reference/study.md take them from here (`python -m handbook`).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from annotated_types import Unit
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.fields import FieldInfo

from pipeline.datasets.schema import CellNumber, CellText
from pipeline.domain import LEAST_FOR_RESULT, NAME_PATTERN, HospitalName, NodeName
from pipeline.measures.subgroups import LEAST_FLOOR

PROTOCOLS: Mapping[str, Mapping[str, int]] = {
    "spu": {"aby3": 3},
    "mp-spdz": {"replicated-ring": 3, "rep4-ring": 4},
}
"""Engine to protocol to the number of nodes that it takes."""

_NAME = StringConstraints(pattern=f"^{NAME_PATTERN}$")
Name = Annotated[str, _NAME]
HospitalField = Annotated[HospitalName, _NAME]
NodeField = Annotated[NodeName, _NAME]

MOST_STEPS, LARGEST_BATCH, MOST_RECORDS = 100_000, 65_536, 1_000_000
"""What no hospital trains or is dealt in a round: hours of the smallest model's steps, more records than a
demonstration has."""

LONGEST_ROUND = 7 * 24 * 3600
"""Seconds; the store keeps an envelope for a week, so that a later deadline could not be met."""

MOST_ROUNDS = 10_000
"""Rounds that a rule looks ahead or back: at one a day, a study's whole history several times over."""

LONGEST_PATIENCE = 20
"""Rounds; the confirmations of so many by 200 hospitals are named in one signed statement."""

MOST_WORK = 1_000_000
"""Million comparisons; days of processor time under any protocol."""

LEAST_PANEL = 3
"""Of which one may lie."""

MOST_GROUPS = 20
"""That a column makes, beside that of empty cells: few patients are left for each of more."""

MOST_LAYERS = 100
_LayerSize = Annotated[int, Field(le=1 << 16)]  # of a layer: wider ones have no encrypted form in any mode
_Block = Annotated[
    tuple[Annotated[Mapping[str, Mapping[str, _LayerSize]], Field(max_length=1)], ...], Field(max_length=MOST_LAYERS)
]
_SIZE, _BLOCK = TypeAdapter[int](_LayerSize), TypeAdapter[tuple[Any, ...]](_Block)


def _argument(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
    # By what it is: a union would name all of its members where one of them is wrong.
    return (_BLOCK if isinstance(value, list | tuple) else _SIZE).validate_python(value)


LayerArguments = Mapping[str, Annotated[_LayerSize | _Block, WrapValidator(_argument)]]
"""Of one layer of a study's model; a block holds layers that hold no block."""
Title = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")]
_Points = Annotated[int, Field(ge=1, le=100), Unit("percentage points")]
_BLOCK_TIME = Unit("seconds of block time from the opening")


def protocols_in_words() -> str:
    """The table of protocols in words."""
    nodes = {
        engine: ", ".join(f"{name} of {count} nodes" for name, count in node_counts.items())
        for engine, node_counts in PROTOCOLS.items()
    }
    return "; ".join(f"with engine {engine} {words}" for engine, words in nodes.items()).capitalize()


class StudyModel(BaseModel):
    """What each group of fields is: frozen, without unknown fields, its words beside its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def group(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a group of fields, such as `training`; None for a single one."""
    model = field.annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None


class Training(StudyModel):
    """Local training by SGD on class-balanced batches.

    The same number of steps for everyone, so that an update's size tells nothing.
    """

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


class Rule(StudyModel):
    """The rule against poisoning.

    It compares accuracies on the hospitals' secret validation samples, in percentage points.
    """

    images_per_hospital: Annotated[
        int, Field(title="Secret validation samples that each hospital shares", ge=4, le=256), Unit("samples per round")
    ] = 32
    """Fresh samples of each hospital in a round. The encrypted work grows with them; with few of them honest hospitals
    are rejected."""
    panel: Annotated[
        int | None,
        Field(title="Hospitals on whose samples each model is tried", ge=LEAST_PANEL, le=199, examples=[7]),
        Unit("hospitals"),
    ] = None
    """So many for each model, drawn by all nodes together once the round's updates and samples are committed. Without
    this line every model is tried on all hospitals' samples, and the encrypted work grows with the square of the
    hospitals; with it, in proportion to them. `wardround study show` says how often a draw errs
    (docs/adr/0035-a-panel-for-each-model.md)."""
    most_work: Annotated[
        int,
        Field(title="Most work of trying a round's models", ge=1, le=MOST_WORK),
        Unit("million comparisons"),
    ] = 1000
    """Every hospital's model and the current one are tried on the hospitals' samples under encryption; 200 products
    weigh as much as one comparison. A model that takes more is refused. `wardround study show` says what it takes."""
    early_rounds: Annotated[
        int, Field(title="Rounds under the early, looser thresholds", ge=0, le=MOST_ROUNDS), Unit("rounds")
    ] = 3
    """First rounds, under the looser thresholds (`early`): models differ most while they learn fastest."""
    below_global_early_percent: Annotated[_Points, Field(title="A model may fall below the current one, early")] = 20
    """How far a model may fall below the current global one, in the early rounds."""
    below_global_percent: Annotated[_Points, Field(title="A model may fall below the current one, later")] = 15
    """How far a model may fall below the current global one, in later rounds."""
    below_peers_early_percent: Annotated[
        _Points, Field(title="A model may fall below the other hospitals' models, early")
    ] = 20
    """How far a model may fall below the median of the hospitals' models, in the early rounds."""
    below_peers_percent: Annotated[
        _Points, Field(title="A model may fall below the other hospitals' models, later")
    ] = 15
    """How far a model may fall below the median of the hospitals' models, in later rounds."""
    weakest_class_below_global_early_percent: Annotated[
        _Points, Field(title="On its weakest class: below the current one, early")
    ] = 45
    """On the one class that a model answers worst, below the global model, in the early rounds. Overall accuracy can
    hide a flip of one class."""
    weakest_class_below_global_percent: Annotated[
        _Points, Field(title="On its weakest class: below the current one, later")
    ] = 30
    """On the weakest class, below the global model, in later rounds."""
    weakest_class_below_peers_early_percent: Annotated[
        _Points, Field(title="On its weakest class: below the others' models, early")
    ] = 30
    """On the weakest class, below the median of the hospitals' models, in the early rounds."""
    weakest_class_below_peers_percent: Annotated[
        _Points, Field(title="On its weakest class: below the others' models, later")
    ] = 30
    """On the weakest class, below the median of the hospitals' models, in later rounds."""
    strikes: Annotated[int, Field(title="Rejections that lead to quarantine", ge=1, le=100), Unit("rejections")] = 4
    """Rejections within the window after which a hospital is out, until a majority of nodes releases it."""
    strike_window: Annotated[int, Field(title="Rounds among which they count", ge=1, le=100), Unit("rounds")] = 5
    """The window: the study's last rounds, in which rejections count."""
    reveal_condition: Annotated[
        bool, Field(title="A rejection names which of size, direction and peers failed"), Unit("true or false")
    ] = False
    """true: a rejection names the first condition that failed. Each further bit tells an attacker more about the secret
    thresholds."""


class Continues(StudyModel):
    """The model that the first round starts from, where it is another study's."""

    study: Annotated[Name, Field(title="Continues the model of study")]
    """The study that made the model, with the same layers and classes. Its file lies beside this one."""
    round: Annotated[int, Field(title="Continues the model of round", ge=1, lt=1 << 40)]
    """The round of that study that ended with the model. Budget, strikes, quarantine and the count of rounds go on from
    it."""


class Target(StudyModel):
    """What a model is to be worth, on the test records of all hospitals together."""

    measure: Annotated[str, Field(title="Measure that is to be reached")]
    """accuracy, balanced_accuracy, auc, sensitivity or specificity."""
    of: Annotated[str | None, Field(title="Class that the measure is about")] = None
    """The class whose sensitivity or specificity it is."""
    value: Annotated[Decimal, Field(title="Value that is to be reached", gt=0, lt=1, max_digits=6)]
    """From 0 to 1. It is reached by the lower end of the 95 % interval."""


class Course(StudyModel):
    """When the study is done."""

    target: Annotated[Target | None, Field(title="Done when this is reached")] = None
    """Done with the round whose model reaches it."""
    patience: Annotated[
        int | None, Field(title="Done after so many rounds without a gain", ge=1, le=LONGEST_PATIENCE), Unit("rounds")
    ] = None
    """Done when none of so many rounds lies above the 95 % interval of the round before them, by the target's measure
    or else by accuracy."""
    most_rounds: Annotated[
        int | None, Field(title="Done after so many rounds", ge=1, le=MOST_ROUNDS), Unit("rounds")
    ] = None
    """Done after so many rounds that trained a model; a first round that measures the inputs' scale is none."""

    @model_validator(mode="after")
    def _ends(self) -> Course:
        if self.target is None and self.patience is None and self.most_rounds is None:
            raise ValueError("a course names target, patience or most_rounds, or the study has none")
        return self

    @property
    def measure(self) -> str:
        """What it goes by."""
        return self.target.measure if self.target else "accuracy"


class GroupColumn(StudyModel):
    """A column by which patients are told apart: nothing more of one whose words or codes the study gives anyway."""

    bands: Annotated[
        tuple[CellNumber, ...], Field(title="Lowest number of each band but the first", max_length=MOST_GROUPS - 1)
    ] = ()
    """Of a column of numbers. [40, 65] makes three: below 40, 40 to below 65, 65 or more."""
    lowest: Annotated[CellNumber | None, Field(title="Lowest number of the column")] = None
    """Of a column of numbers that is no input of the model, with `highest`: what the data contract allows."""
    highest: Annotated[CellNumber | None, Field(title="Highest number of the column")] = None
    """Of the same column."""
    categories: Annotated[tuple[CellText, ...], Field(title="Words of the column", max_length=MOST_GROUPS)] = ()
    """Of a column of words that is no input of the model. A cell may be empty."""
    names: Annotated[tuple[CellText, ...], Field(title="What people read for each group", max_length=MOST_GROUPS)] = ()
    """In the order of bands, words or codes, such as [women, men] for codes 0 and 1."""

    @model_validator(mode="after")
    def _one_kind(self) -> GroupColumn:
        if self.bands and self.categories:
            raise ValueError("bands of numbers or categories of words, not both")
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError("bands rise, each once")
        if (self.lowest is None) != (self.highest is None) or (self.lowest is not None and not self.bands):
            raise ValueError("lowest and highest go together, and with bands")
        for words in (self.categories, self.names):
            if len(words) == 1 or len(set(words)) != len(words):
                raise ValueError("two groups or more, each once")
        return self


class Subgroups(StudyModel):
    """By which groups of patients the model is measured, summed over hospitals under encryption."""

    by: Annotated[
        Mapping[CellText, GroupColumn],
        Field(title="Columns", min_length=1, max_length=8),
    ]
    """Columns of the hospitals' records, inputs of the model or not, each with the groups that it makes."""
    floor: Annotated[
        int,
        Field(title="Fewest patients of each class in a group that is told", ge=LEAST_FLOOR, le=1000),
        Unit("patients"),
    ] = LEAST_FLOOR
    """Of all hospitals together, whichever of them is left out. A smaller group is withheld, and with it one that would
    give it away."""


class Deadlines(StudyModel):
    """When a round ends, in seconds of block time from its opening."""

    commit_seconds: Annotated[int, Field(title="Hospitals hand in within", ge=5, le=LONGEST_ROUND), _BLOCK_TIME] = 180
    """Until then hospitals have handed in."""
    result_seconds: Annotated[
        int, Field(title="The nodes' result is there within", ge=10, le=LONGEST_ROUND), _BLOCK_TIME
    ] = 600
    """Until then the nodes' result is on the ledger; 10 seconds or more after `commit_seconds`. A direct commit may
    take half of these."""

    @model_validator(mode="after")
    def _ordered(self) -> Deadlines:
        if self.result_seconds < self.commit_seconds + LEAST_FOR_RESULT:
            raise ValueError(
                f"result_seconds must exceed commit_seconds ({self.commit_seconds}) by {LEAST_FOR_RESULT} or more"
            )
        return self


class Partition(StudyModel):
    """How set-up deals out a demonstration's data; a hospital with records of its own ignores it."""

    by: Annotated[Literal["class", "site"], Field(title="A demonstration's data are dealt out by")] = "class"
    """class: dealt by the seed, skewed by class. site: each hospital has the records of the publisher's site of its
    name."""
    alpha: Annotated[float, Field(title="Skew of a demonstration's data (small is skewed)", ge=0.001, le=1_000_000)] = (
        0.5
    )
    """Dirichlet concentration: 0.5 is strongly skewed, 100 nearly even. Only with `by: class`."""
    per_class: Annotated[
        int, Field(title="Fewest records of a class dealt to a hospital", ge=0, le=MOST_RECORDS), Unit("records")
    ] = 20
    """Fewest training records of each class that every hospital is dealt. Only with `by: class`."""

    @model_validator(mode="after")
    def _one_way(self) -> Partition:
        if self.by == "site" and self.model_fields_set & {"alpha", "per_class"}:
            raise ValueError("alpha and per_class go with `by: class`; `by: site` takes the sites as they are")
        return self


class DataContract(StudyModel):
    """What every hospital's records must satisfy, beside the data set's own contract.

    A hospital that fails it is absent.
    """

    min_per_class: Annotated[
        int, Field(title="Fewest records of each class at a hospital", ge=1, le=MOST_RECORDS), Unit("records")
    ] = 10
    """Fewest training records of each class: an update from a handful of one class looks like poison. A third of each
    class is the hospital's private validation pool, never trained on."""
