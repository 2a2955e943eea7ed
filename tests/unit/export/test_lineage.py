"""A file that left is known again, offline; whatever was changed in it is refused, with the reason."""

from __future__ import annotations

import copy
import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rlp
from hexbytes import HexBytes
from web3 import Web3

from pipeline.chain import contract
from pipeline.chain.ledger import study_id
from pipeline.chain.transcript import Transcript
from pipeline.domain import UPDATE_BITS, Address, RoundId
from pipeline.errors import EvidenceRejected
from pipeline.export import lineage
from pipeline.export.content import Content
from pipeline.export.forms import FORMS
from pipeline.export.forms.base import Form
from pipeline.export.forms.safetensors_form import Safetensors
from pipeline.export.taking_out import write_folder
from pipeline.model_file import Model
from pipeline.site.settings import PROJECT
from pipeline.study.study import Study
from tests.adversary import attack

from .conftest import NAME, Left

if TYPE_CHECKING:
    import onnx

pytestmark = pytest.mark.timeout(1800)

ONNX, TORCHSCRIPT, SAFETENSORS = FORMS["onnx"], FORMS["torchscript"], FORMS["safetensors"]
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)

Graph = Callable[["onnx.ModelProto"], None]


NO_NETWORK = ("unshare", "--map-root-user", "--net")


@pytest.fixture(scope="module")
def _no_network() -> None:
    """Skips where no network namespace can be made: what a file is written by is a process of its own."""
    try:
        subprocess.run([*NO_NETWORK, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace: {error}")


def refused(left: Left, data: bytes, number: int = -1) -> str:
    with pytest.raises(EvidenceRejected) as caught:
        lineage.check(data, left.evidence(number))
    return str(caught.value)


def changed_graph(data: bytes, change: Graph) -> bytes:
    import onnx

    model = onnx.ModelProto.FromString(data)
    change(model)
    return bytes(model.SerializeToString(deterministic=True))


def initialiser(model: onnx.ModelProto, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def set_metadata(model: onnx.ModelProto, description: bytes) -> None:
    model.metadata_props[0].value = description.decode()


def changed_description(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """An ONNX file that says something else of itself."""
    described = json.loads(ONNX.description(data))
    change(described)
    text = json.dumps(described, sort_keys=True, separators=(",", ":")).encode()
    return changed_graph(data, lambda model: set_metadata(model, text))


def changed_archive(data: bytes, change: Callable[[dict[str, bytes]], None], packed: int = zipfile.ZIP_STORED) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    change(files)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", packed) as archive:
        for entry, content in files.items():
            archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), content, packed)
    return written.getvalue()


@pytest.mark.usefixtures("_no_network")
@each_form
def test_a_file_is_known_again_without_a_network(left: Left, form: Form) -> None:
    file = left.exported(form) / form.file
    command = [sys.executable, "-m", "pipeline.cli", "model", "verify", str(file), "--nodes", str(left.nodes)]
    done = subprocess.run([*NO_NETWORK, *command], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert f"the model of round {left.rounds[1]} of study {NAME}, as {form.name}" in done.stdout
    assert "preparation.json, card.json, README.md" in done.stdout


def holds(left: Left, file: Path) -> None:
    said = left.run("model", "verify", str(file), "--nodes", str(left.nodes))
    assert said.exit_code == 0, (said.output, said.exception)
    assert "preparation.json, card.json, README.md" in said.output


@pytest.mark.parametrize("form", [SAFETENSORS, TORCHSCRIPT], ids=lambda form: form.name)
def test_a_model_on_a_measured_scale_leaves_with_its_constants(measured: Left, form: Form) -> None:
    folder = measured.exported(form)
    holds(measured, folder / form.file)
    scale = measured.content().model.scale
    assert scale is not None
    pairs = zip(scale.means, scale.deviations, strict=True)
    wanted = {one.name: list(pair) for one, pair in zip(measured.study.source.measured, pairs, strict=True)}
    assert json.loads((folder / "card.json").read_text())["scale"] == wanted
    columns = {one["name"]: one for one in json.loads((folder / "preparation.json").read_text())["columns"]}
    assert {name: [columns[name]["mean"], columns[name]["deviation"]] for name in wanted} == wanted


def test_the_model_of_a_concluded_study_leaves_and_its_card_says_why(ended: Left) -> None:
    folder = ended.exported(SAFETENSORS)
    holds(ended, folder / SAFETENSORS.file)
    why = "it has had the 1 rounds that its course allows"
    assert json.loads((folder / "card.json").read_text())["conclusion"] == why
    card = (folder / "README.md").read_text()
    assert f"- It is the study's last: {why}." in card
    assert "- concluded\n" in card


def transcript(proof: Path) -> dict[str, Any]:
    with zipfile.ZipFile(proof) as archive:
        content: dict[str, Any] = json.loads(archive.read("ledger.json"))
    return content


def concluding(
    ended: Left, round_id: RoundId, study: str, *, called: RoundId, signatures: int, signers: int
) -> dict[str, Any]:
    """The transaction that concluded a study, as if it were another round's, or fewer nodes had signed it."""
    sent = copy.deepcopy(transcript(ended.exported(SAFETENSORS) / "proof.zip")["transactions"][-1])
    (log,) = sent["logs"]
    reason, evidence = (bytes.fromhex(log["data"])[start:][:32] for start in (0, 32))
    log["topics"][1:] = [round_id.to_bytes(32).hex(), study]
    log["data"] = (reason + evidence + signers.to_bytes(32)).hex()
    fields = rlp.decode(bytes.fromhex(sent["raw"]))
    _, arguments = Web3().eth.contract(abi=contract.abi()).decode_function_input(HexBytes(fields[5]))
    kept = [(one["r"], one["vs"]) for one in arguments["signatures"][:signatures]]
    fields[5] = contract.encode(Address("0x" + "0" * 40), "concludeWith", called, reason, evidence, kept).data
    return sent | {"raw": rlp.encode(fields).hex()}


@attack(
    by="stranger",
    to="change",
    tries="to have a round's proof say that a majority of nodes concluded its study",
    costs="nothing",
    seen="the call and the receipt that differ, or how many of the nodes signed",
)
def test_a_conclusion_that_no_majority_of_nodes_signed_is_refused(left: Left, ended: Left, tmp_path: Path) -> None:
    last, other = left.rounds[-1], ended.rounds[-1]
    ours = study_id(NAME)

    def add(content: dict[str, Any], **forged: Any) -> None:
        content["transactions"].append(concluding(ended, last, ours, **forged))

    def paste(content: dict[str, Any]) -> None:
        log = concluding(ended, last, ours, called=other, signatures=2, signers=3)["logs"][0]
        content["transactions"][-1]["logs"].append(log)

    forgeries: tuple[tuple[Callable[[dict[str, Any]], None], str], ...] = (
        (paste, "the call that concluded its study says ('finaliseRound', "),
        (lambda content: add(content, called=other, signatures=2, signers=3), "the call that concluded its study says"),
        (lambda content: add(content, called=last, signatures=2, signers=3), "counts nodes 11, of yours 0 signed"),
        (lambda content: add(content, called=last, signatures=0, signers=0), "of yours 0 signed, want 2 of them"),
    )
    file = left.exported(SAFETENSORS) / SAFETENSORS.file
    for change, wanted in forgeries:
        content = transcript(file.with_name("proof.zip"))
        change(content)
        proof = tmp_path / "proof.zip"
        packed = partial(dict.update, **{"ledger.json": json.dumps(content).encode()})
        proof.write_bytes(changed_archive(file.with_name("proof.zip").read_bytes(), packed))
        for command in (("verify", str(proof)), ("model", "verify", str(file), "--proof", str(proof))):
            said = left.run(*command, "--nodes", str(left.nodes))
            assert said.exit_code == 1, (command, wanted, said.output)
            assert wanted in " ".join((said.output + str(said.exception)).split())


def test_a_conclusion_counts_only_with_enough_of_the_nodes_that_its_reader_trusts(ended: Left) -> None:
    content = transcript(ended.exported(SAFETENSORS) / "proof.zip")
    nodes = ended.evidence().nodes.nodes
    assert Transcript.read(content, nodes).state.concluded is not None
    last, study = ended.rounds[-1], study_id(ended.name)
    said = set()
    for signers in (1, 2, 4):
        content["transactions"][-1] = concluding(ended, last, study, called=last, signatures=1, signers=signers)
        with pytest.raises(EvidenceRejected) as caught:
            _ = Transcript.read(content, nodes).state
        said.add(str(caught.value).partition("counts ")[2])
    assert said & {f"nodes {one:b}, of yours {one:b} signed, want 2 of them" for one in (1, 2, 4)}, said


def test_the_weights_are_the_anchored_ones_in_every_form(left: Left) -> None:
    content = left.content()
    for form in FORMS.values():
        network = content.study.network
        tensors = form.tensors(left.file(form), network)
        together = np.concatenate([tensors[one.name].astype(np.float64).ravel() for one in network.parameters])
        np.testing.assert_array_equal(together * (1 << UPDATE_BITS), content.model.parameters)


def test_an_export_tells_nothing_of_the_machine_that_made_it(left: Left) -> None:
    for form in FORMS.values():
        with zipfile.ZipFile(io.BytesIO(left.file(form))) if form is TORCHSCRIPT else io.BytesIO() as whole:
            parts = [whole.read(name) for name in whole.namelist()] if form is TORCHSCRIPT else [left.file(form)]
        for part in parts:
            assert str(Path(lineage.__file__).parents[2]).encode() not in part
            assert b"site-packages" not in part


@attack(
    by="stranger",
    to="change",
    tries="to pass off another graph, other preparation or other classes as a round's exported model",
    costs="nothing",
    seen="the first place that differs",
)
@pytest.mark.usefixtures("written_once")
def test_another_graph_another_preparation_and_other_classes_are_refused(left: Left) -> None:
    data = left.file(ONNX)

    def turn(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.op_type == "ArgMax").op_type = "ArgMin"

    def shift(model: onnx.ModelProto) -> None:
        mean = initialiser(model, "inputs.scores.mean")
        mean.raw_data = (np.frombuffer(mean.raw_data) + 1e-9).tobytes()

    def rename(model: onnx.ModelProto) -> None:
        model.graph.output[0].name = model.graph.node[-1].output[0] = "answer"

    for change in (turn, shift, rename, lambda model: model.graph.node.add(op_type="Identity")):
        assert refused(left, changed_graph(data, change)).startswith("graph: got the weights and the description")
    assert "graph" in refused(left, data + b"\x00\x00") or "no ONNX" in refused(left, data + b"\x00\x00")

    def swap(described: dict[str, Any]) -> None:
        described["preparation"]["classes"].reverse()

    def scale(described: dict[str, Any]) -> None:
        described["preparation"]["columns"][3]["mean"] += 1

    assert refused(left, changed_description(data, swap)).startswith("description: preparation.classes.0: got 'benign'")
    assert "description: preparation.columns.3.mean: got 655.889, want 654.889" in refused(
        left, changed_description(data, scale)
    )


@attack(
    by="stranger",
    to="change",
    tries="to pass off a round's exported model in which one bit of one weight is another",
    costs="nothing",
    seen="the weights' name, or the model's digest",
)
@pytest.mark.usefixtures("written_once")
def test_one_flipped_bit_of_a_weight_is_refused(left: Left) -> None:
    data = left.file(ONNX)
    for bit in range(32):

        def flip(model: onnx.ModelProto, bit: int = bit) -> None:
            weights = initialiser(model, "network.0.weight")
            words = np.frombuffer(weights.raw_data, "<u4").copy()
            words[5] ^= np.uint32(1 << bit)
            weights.raw_data = words.tobytes()

        assert refused(left, changed_graph(data, flip)).startswith("weights: ")

    def minus_zero(files: dict[str, bytes]) -> None:
        words = np.frombuffer(files["archive/data/1"], "<f4").copy()
        words[0] = -words[0]
        files["archive/data/1"] = words.tobytes()

    assert refused(left, changed_archive(left.file(TORCHSCRIPT), minus_zero)).startswith("weights: ")


@attack(
    by="stranger",
    to="change",
    tries="to pass off the exported model of another round, or of another study, as a round's",
    costs="nothing",
    seen="the round or the study that the file says, or the digest of its weights",
)
def test_another_rounds_file_and_another_studys_are_refused(left: Left) -> None:
    earlier, later = left.content(0), left.content(1)
    form = Safetensors()
    first = left.file(SAFETENSORS, 0)
    assert f"says round {left.rounds[0]}; the proof is of round {left.rounds[1]}" in refused(left, first)
    relabelled = form.write(replace(later, model=earlier.model))
    assert "weights: got those of the model with which round" in refused(left, relabelled)
    other = form.write(replace(later, model=Model(earlier.model.parameters + 1)))
    assert "weights: got a model with digest" in refused(left, other)
    study = left.study.model_copy(update={"name": "elsewhere"})
    foreign = foreign_content(left, study)
    assert "got a file of a study with digest" in refused(left, form.write(foreign))
    assert "terms: got ones with digest" in refused(left, form.write(replace(foreign, context=later.context)))
    abroad = replace(later, context=replace(later.context, chain_id=1))
    assert "got a file of chain 1" in refused(left, form.write(abroad))


def foreign_content(left: Left, study: Study) -> Content:
    """Another study's model, on the same ledger and by the same members."""
    from pipeline.evidence.membership import study_digest
    from pipeline.site.consortium import Consortium

    later = left.content()
    terms = study.terms(Consortium.load(left.nodes))
    return Content(replace(later.context, study_digest=study_digest(terms)), terms, later.model)


@attack(
    by="stranger",
    to="change",
    tries="to have whoever checks an exported model run code, by a TorchScript archive or a pickle in one",
    costs="nothing",
    seen="nothing is loaded: the archive's bytes are compared with those that the round's model has",
)
@pytest.mark.usefixtures("written_once")
def test_nothing_that_a_file_holds_is_run(left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    ran = tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (ran,))

    def poison(files: dict[str, bytes]) -> None:
        files["archive/data.pkl"] = pickle.dumps(Runs())

    def no_load(*_: object, **__: object) -> None:
        pytest.fail("loaded")

    monkeypatch.setattr(torch.jit, "load", no_load)
    monkeypatch.setattr(torch, "load", no_load)
    assert refused(left, changed_archive(left.file(TORCHSCRIPT), poison)).startswith("graph: ")
    assert not ran.exists()
    code = changed_archive(left.file(TORCHSCRIPT), lambda files: files.update({"archive/code/__torch__/more.py": b"1"}))
    assert refused(left, code).startswith("graph: ")


@pytest.mark.usefixtures("written_once")
@each_form
def test_a_damaged_file_is_refused_wherever_it_is_damaged(left: Left, form: Form) -> None:
    data = left.file(form)
    for length in (0, 1, 4, 9, 100, len(data) // 2, len(data) - 1):
        refused(left, data[:length])
    for place in range(0, len(data), max(1, len(data) // 150)):
        refused(left, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    refused(left, b"\x08" * 5000)
    refused(left, b"PK\x03\x04" + b"\x00" * 5000)
    refused(left, (2**62).to_bytes(8, "little") + b"{" * 5000)
    assert "none of onnx, torchscript, safetensors" in refused(left, b"MZ")


def test_what_a_file_announces_is_not_believed(left: Left) -> None:
    archive = left.file(TORCHSCRIPT)
    assert "packed entry" in refused(left, changed_archive(archive, lambda files: None, zipfile.ZIP_DEFLATED))

    crowd = changed_archive(archive, lambda files: files.update({f"archive/{n:06}": b"" for n in range(20_000)}))
    assert "archive of few entries" in refused(left, crowd)

    def outside(model: onnx.ModelProto) -> None:
        weights = initialiser(model, "network.0.weight")
        weights.data_location = type(weights).EXTERNAL
        weights.external_data.add(key="location", value="/etc/passwd")

    def huge(model: onnx.ModelProto) -> None:
        del initialiser(model, "network.0.weight").dims[:]
        initialiser(model, "network.0.weight").dims.extend([1 << 40, 1 << 20])

    for change in (outside, huge):
        assert "weights 0.weight of another shape or kind" in refused(left, changed_graph(left.file(ONNX), change))


def test_a_card_and_a_preparation_that_say_otherwise_are_refused(left: Left, tmp_path: Path) -> None:
    for name, old, new in (
        ("README.md", b"accepted: its update is in the mean", b"approved for clinical use"),
        ("card.json", b'"tested": ', b'"tested": 1'),
        ("preparation.json", b"half to even", b"up"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        for file in left.exported(SAFETENSORS).iterdir():
            data = file.read_bytes()
            assert file.name != name or old in data
            (folder / file.name).write_bytes(data.replace(old, new) if file.name == name else data)
        said = left.run("model", "verify", str(folder / SAFETENSORS.file), "--nodes", str(left.nodes), "--json")
        assert said.exit_code == 1, said.output
        answer = json.loads(said.output)
        assert answer["holds"] is False
        assert answer["reason"].startswith(f"{name}: says other than the model and the proof")


def test_a_card_that_is_not_there_or_counts_otherwise_is_told_apart_from_an_altered_one(
    left: Left, tmp_path: Path
) -> None:
    files = {file.name: file.read_bytes() for file in left.exported(SAFETENSORS).iterdir()}

    def said(name: str, changed: dict[str, bytes]) -> str:
        write_folder(tmp_path / name, changed)
        done = left.run("model", "verify", str(tmp_path / name / SAFETENSORS.file), "--nodes", str(left.nodes))
        assert done.exit_code == (0 if "does not hold" not in done.output else 1), done.output
        return " ".join(done.output.split())

    alone = {name: data for name, data in files.items() if name != "card.json"}
    assert "README.md: cannot be checked without card.json" in said("dropped", alone)
    del alone["README.md"]
    assert "beside it preparation.json" in said("bare", alone)
    for rounds in (b"-2", b"0", b"true", b"null", b"999999"):
        card = files["card.json"].replace(b'"rounds": 2', b'"rounds": ' + rounds)
        assert card != files["card.json"]
        assert "card.json: rounds: got " in said(f"rounds{rounds.decode()}", files | {"card.json": card})


def test_a_proof_that_does_not_hold_and_strange_nodes_prove_nothing(left: Left, tmp_path: Path) -> None:
    file = left.exported(SAFETENSORS) / SAFETENSORS.file
    strangers = tmp_path / "nodes.yaml"
    strangers.write_text("\n".join(f"{node}: '0x{'1' * 40}'" for node in left.study.nodes))
    said = left.run("model", "verify", str(file), "--nodes", str(strangers))
    assert said.exit_code == 1
    assert "does not hold" in said.output
    earlier = left.exported(SAFETENSORS, 0) / "proof.zip"
    said = left.run("model", "verify", str(file), "--nodes", str(left.nodes), "--proof", str(earlier))
    assert said.exit_code == 1
    assert "take that round's proof" in said.output
