"""What no field of a study's file can say alone.

That its fields fit one another, the data set, the layers and the protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from croniter import croniter

from pipeline.datasets import DATASETS
from pipeline.errors import InvalidStudy
from pipeline.layers import LAYERS
from pipeline.layers.table import layer
from pipeline.measures.table import LEVELS, MEASURES
from pipeline.store import object_keys
from pipeline.study.fields import PROTOCOLS, Course, Subgroups
from pipeline.study.groupings import grouping

if TYPE_CHECKING:
    from pipeline.study.study import Study

_CRON_FIELDS = 5
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def check(study: Study, file: str) -> None:
    """Raise InvalidStudy for the first field that does not fit, with its value and what is allowed."""

    def refuse(field: str, got: object, wanted: str) -> None:
        raise InvalidStudy(file, field, got, wanted)

    if study.name != Path(file).stem:
        refuse("name", study.name, f"the file's own name, {Path(file).stem}")
    if study.continues is not None and study.continues.study == study.name:
        refuse("continues.study", study.name, "another study; an edit of its own file goes on from its own model")
    own_data = [field for field in ("table", "images") if getattr(study, field)]
    if len(own_data) > 1:
        refuse("images", "a table too", "one kind of data in a study")
    if own_data and study.dataset in DATASETS:
        refuse("dataset", study.dataset, f"another name than those of the package: {', '.join(sorted(DATASETS))}")
    if not own_data and study.dataset not in DATASETS:
        refuse("dataset", study.dataset, f"one of {', '.join(sorted(DATASETS))}")
    if study.backbone is not None:
        _check_backbone(study, refuse)
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
        sites = ", ".join(study.source.sites) or f"none: {study.dataset} names no sites, use `by: class`"
        refuse(
            "partition.by",
            f"site, hospitals {', '.join(study.hospitals)}",
            f"hospitals named as the data set's sites: {sites}",
        )
    floor = study.min_accepted
    if floor is not None and not max(3, len(study.hospitals) // 2 + 1) <= floor <= len(study.hospitals):
        refuse(
            "min_accepted",
            floor,
            f"at least 3 and a majority of {len(study.hospitals)} hospitals, and no more than there are",
        )
    if study.course is not None:
        _check_course(study, study.course, refuse)
    if study.subgroups is not None:
        _check_subgroups(study, study.subgroups, refuse)
    if study.schedule is not None and (trouble := _no_schedule(study.schedule)):
        refuse("schedule", study.schedule, f"five fields of cron, such as 0 3 * * 0, or @daily: {trouble}")
    if study.rule.strikes > study.rule.strike_window:
        refuse("rule.strikes", study.rule.strikes, f"at most strike_window ({study.rule.strike_window})")
    for index, item in enumerate(study.model):
        try:
            layer(item)
        except (TypeError, ValueError) as error:
            refuse(f"model.{index}", dict(item), f"one layer of {', '.join(LAYERS)} with its arguments ({error})")
    try:
        classes = study.network.classes
        size = study.network.size
    except ValueError as error:
        raise InvalidStudy(
            file, "model", [next(iter(item)) for item in study.model], f"layers that fit one another: {error}"
        ) from None
    if classes != len(study.source.classes):
        refuse("model", f"{classes} outputs", f"{len(study.source.classes)}, one per class of {study.dataset}")
    mode = study.evaluation_mode
    if not mode.above < size <= mode.most:
        refuse("model", f"{size} parameters in mode {mode.name}", mode.takes)
    if study.rule.panel is not None and study.rule.panel >= len(study.hospitals):
        refuse(
            "rule.panel",
            study.rule.panel,
            f"fewer than the {len(study.hospitals)} hospitals; without this line all of them try every model",
        )
    if study.rule.images_per_hospital < classes:
        refuse(
            "rule.images_per_hospital",
            study.rule.images_per_hospital,
            f"at least {classes}, one per class of {study.dataset}",
        )
    try:
        steps = study.plan.steps
    except ValueError as error:
        raise InvalidStudy(
            file,
            "model",
            [next(iter(item)) for item in study.model],
            f"values that stay within 64 bits under encryption: {error}",
        ) from None
    work = study.work
    if work > study.rule.most_work:
        dearest = max(steps, key=lambda step: step.work().in_comparisons)
        refuse(
            "rule.most_work",
            study.rule.most_work,
            f"{work} (million comparisons) or more for this model, most of it for {dearest.name}; else a smaller model,"
            " pooling or stride in its first layers, a `backbone`, fewer `images_per_hospital`, a smaller `panel`",
        )


def _check_backbone(study: Study, refuse: Callable[[str, object, str], None]) -> None:
    if study.images is None:
        refuse("backbone", "no `images`", "`images` too: a backbone's input are the hospitals' own pictures")
    elif study.images.scale == "measured" and study.images.mean is None:
        refuse(
            "images.mean",
            "nothing",
            "`mean` and `deviation`, those with which the backbone was trained, or `scale: levels`: a round that"
            " measured others would give it pictures that it does not know",
        )


def _check_course(study: Study, course: Course, refuse: Callable[[str, object, str], None]) -> None:
    target = course.target
    if target is None:
        return
    if target.measure not in MEASURES:
        refuse("course.target.measure", target.measure, f"one of {', '.join(MEASURES)}")
    measure = MEASURES[target.measure]
    if LEVELS.index(study.measures) < LEVELS.index(measure.needs):
        refuse("course.target.measure", target.measure, f"`measures: {measure.needs}`, without which nobody tells it")
    classes = study.source.classes
    if measure.of_class and target.of not in classes:
        refuse("course.target.of", target.of or "nothing", f"the class that it is about: {', '.join(classes)}")
    if not measure.of_class and target.of is not None:
        refuse("course.target.of", target.of, f"no such line: {target.measure} is about all classes")


def _check_subgroups(study: Study, subgroups: Subgroups, refuse: Callable[[str, object, str], None]) -> None:
    if study.measures == "accuracy":
        refuse("subgroups", "`measures: accuracy`", "`measures: confusion` or `scores`, which each group is told by")
    for name, column in subgroups.by.items():
        try:
            grouping(study.source, name, column)
        except ValueError as error:
            refuse(f"subgroups.by.{name}", column.model_dump(exclude_defaults=True), str(error))


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
