"""`wardround report`, `proof` and `verify`: one round in a file, to be read or checked anywhere without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline.audit import proof_bundle
from pipeline.audit.audit_round import AuditReport
from pipeline.audit.proof_bundle import LARGEST_BUNDLE, Bundle
from pipeline.audit.round_evidence import RoundEvidence
from pipeline.chain.transcript import Transcript
from pipeline.cli.arguments import JsonOption, RoundNumber
from pipeline.cli.audit import print_audit
from pipeline.cli.files import read_file, write_file
from pipeline.domain import Address, RoundId
from pipeline.errors import EvidenceRejected, Misconfigured
from pipeline.host.documents import LARGEST_YAML, read_fields
from pipeline.site.settings import Settings
from pipeline.store.objects import MAX_BYTES
from pipeline.views.observer import Observer

_FEWEST_NODES = 3

_console = Console(highlight=False, soft_wrap=True)


def proof(round_id: RoundNumber, out: Annotated[Path, typer.Option("--out", "-o", help="Zip file to write.")]) -> None:
    """Write a finalised round's transactions, statements, Merkle proofs, record and report to one file."""
    observer = Observer.open(Settings.load())
    evidence = RoundEvidence(RoundId(round_id), observer.ledger, observer.store)
    write_file(out, proof_bundle.pack(evidence, observer.ledger.transcript(observer.ledger.round(evidence.round))))
    typer.echo(f"{out}: round {round_id}; check it anywhere with `wardround verify {out.name} --nodes FILE`")


def report(
    round_id: RoundNumber, out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")]
) -> None:
    """Write the page of a round that ended, with a model or without one, from the ledger and the store."""
    settings = Settings.load()
    write_file(out, Observer.open(settings).page(RoundId(round_id), settings).encode())
    typer.echo(f"{out}: round {round_id}")


def verify(
    file: Annotated[
        Path,
        typer.Argument(metavar="ROUND.zip", exists=True, dir_okay=False, help="A file that `wardround proof` wrote."),
    ],
    nodes: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The members' file, or YAML of the nodes: name to address."),
    ],
    model: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A model that the round should have ended with.")
    ] = None,
    json_: JsonOption = False,
) -> None:
    """Check a proof bundle with no network, trusting nobody but the nodes in FILE.

    Exit code 1 naming the first thing that does not fit.
    """
    report, _, transcript = checked(file, nodes, None if model is None else read_file(model, MAX_BYTES))
    if json_:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_audit(report, Console(highlight=False), f"Proof of round {report.round}")
        kind = "development chain, which its one operator can rewrite" if transcript.development else "chain"
        _console.print(
            f"  signed for {kind} {transcript.chain_id}, contract {transcript.contract}; receipts are the chain's own"
            " word"
        )
    if not report.passed:
        raise typer.Exit(1)


def checked(file: Path, nodes: Path, model: bytes | None = None) -> tuple[AuditReport, Bundle, Transcript]:
    """A proof bundle and what was found of it, by the nodes of the file `nodes`; raises EvidenceRejected."""
    held = Bundle(read_file(file, LARGEST_BUNDLE))
    trusted, ledger = _trusted(nodes)
    content = held.json("ledger.json")
    round_id = Transcript.read(content, ()).round_id
    transcript = Transcript.read(content, _in_order(held, round_id, trusted))
    if ledger is not None and ledger != (transcript.chain_id, transcript.contract):
        raise EvidenceRejected(
            f"{file}: got a round of chain {transcript.chain_id}, contract {transcript.contract}; want {ledger}"
        )
    return proof_bundle.verify(round_id, held, transcript, model), held, transcript


def _trusted(path: Path) -> tuple[Mapping[str, str], tuple[int, str] | None]:
    """Addresses of nodes by name, and the ledger when the file names one."""
    content = read_fields(read_file(path, LARGEST_YAML), str(path))
    try:
        listed = content.get("nodes", content)
        addresses = {
            str(name): str(node["address"] if isinstance(node, dict) else node) for name, node in listed.items()
        }
        ledger = content.get("ledger")
        return addresses, (int(ledger["chain_id"]), str(ledger["contract"])) if ledger else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Misconfigured(
            f"{path}: got no list of nodes ({error}), want the members' file, or YAML of name to address"
        ) from error


def _in_order(held: Bundle, round_id: RoundId, trusted: Mapping[str, str]) -> tuple[Address, ...]:
    """The trusted addresses of the nodes that the record names, in its order."""
    names = [node.name for node in held.record(round_id).nodes]
    strangers = [name for name in names if name not in trusted]
    if strangers or len(names) < _FEWEST_NODES:
        raise EvidenceRejected(
            f"round {round_id}: the record names nodes {', '.join(names)}, the file {', '.join(trusted)}"
        )
    return tuple(Address(trusted[name]) for name in names)
