"""One chain's JSON-RPC: foreign exceptions end here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BadFunctionCallOutput,
    ContractLogicError,
    MismatchedABI,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import RPCEndpoint, RPCResponse

from pipeline.chain.contract import refusal
from pipeline.errors import EvidenceRejected, Misconfigured, Unavailable
from pipeline.evidence.canonical import read_object
from pipeline.host import trust

_TIMEOUT_SECONDS = 30


def connect(rpc_url: str, chain_id: int, authority: Path | None = None) -> Web3:
    """A client of the chain `chain_id`; raises Misconfigured when another chain answers, Unavailable when none does."""
    web3 = _client(rpc_url, authority)
    with border(f"chain id of {rpc_url}"):
        got = web3.eth.chain_id
    if got != chain_id:
        raise Misconfigured(
            f"{rpc_url}: got chain id {got}, want {chain_id}; correct the RPC URL, or the ledger in the consortium file"
        )
    return web3


def chain_id(rpc_url: str, authority: Path | None = None) -> int:
    """The number of the chain that answers; raises Unavailable when none does."""
    with border(f"chain id of {rpc_url}"):
        return int(_client(rpc_url, authority).eth.chain_id)


class _Provider(HTTPProvider):
    """HTTP whose answers are read like everybody else's JSON."""

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        return cast(RPCResponse, read_object(raw_response))


def _client(rpc_url: str, authority: Path | None) -> Web3:
    # web3 asks for the chain's id twice with every read; `connect` has checked it.
    cached = {RPCEndpoint("eth_chainId")}
    options = {"timeout": _TIMEOUT_SECONDS, "verify": trust.checked(authority) or True}
    web3 = Web3(_Provider(rpc_url, request_kwargs=options, cache_allowed_requests=True, cacheable_requests=cached))
    # A QBFT block carries its validators and their seals where Ethereum has 32 bytes; other chains' blocks pass
    # unchanged.
    web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
    return web3


@contextmanager
def border(what: str) -> Iterator[None]:
    """Turn web3's and the transport's exceptions into ours; `what` names the call."""
    try:
        yield
    except ContractLogicError as error:
        raise refusal(what, error.data if isinstance(error.data, str) else None) from error
    except BadFunctionCallOutput as error:
        raise Misconfigured(
            f"{what}: got no answer of the ledger's contract; check the contract's address in the consortium file"
        ) from error
    except MismatchedABI as error:
        raise EvidenceRejected(
            f"{what}: got a value that the ledger's contract does not take; its numbers have at most 64 bits"
        ) from error
    except Web3RPCError as error:
        raise Unavailable(f"{what}: the chain answered with an error: {error.message or error}; try again") from error
    except EvidenceRejected as error:
        raise Unavailable(f"{what}: {error}; is this the JSON-RPC of a chain?") from error
    except (requests.RequestException, Web3Exception, OSError) as error:
        if trouble := trust.bad_certificate(error):
            raise Misconfigured(f"{what}: the chain's address: {trouble}") from error
        raise Unavailable(
            f"{what}: the chain did not answer ({type(error).__name__}); check that it runs (`wardround status`)"
        ) from error
