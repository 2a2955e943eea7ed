"""An older copy of a development chain, put back on a machine that has no outbox of before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.audit.rollback import refuse_forgotten
from pipeline.chain.ledger import Ledger
from pipeline.chain.outbox import Outbox
from pipeline.domain import RoundId
from pipeline.errors import Refused
from pipeline.evidence.canonical import sha256
from pipeline.host import ports
from pipeline.views.observer import Observer
from tests.adversary import attack
from tests.support.chains import CHAIN_ID, Devchain
from tests.support.finished_rounds import RoundMaker, consortium, key, model, study
from tests.support.minio import StoreServer

from .conftest import ChainDriver

pytestmark = [pytest.mark.minio, pytest.mark.anvil]


@attack(
    by="provider",
    to="change",
    tries="to make a round unhappen, by an older copy of the development chain",
    costs="its chain: no node makes another key on it",
    seen="the round that is missing, and who signed its result",
)
def test_a_restored_older_chain_is_refused_where_no_outbox_remembers_the_newer_one(
    tmp_path: Path, own_minio: StoreServer
) -> None:
    of = study()
    store = own_minio.as_root()
    chain = Devchain(tmp_path / "chain", ports.choose())
    chain.start()
    try:
        initial = model(0)
        driver = ChainDriver(chain.url, tmp_path / "outboxes", of.hospitals, of.nodes, of.name, sha256(initial))
        maker = RoundMaker(of, consortium(of, CHAIN_ID, driver.ledger.contract), store.put_once, driver)
        maker.start(initial)
        maker.finish(RoundId(1))
        chain.stop()
        shutil.copytree(chain.home, tmp_path / "copy")
        chain.start()
        maker.finish(RoundId(2))
        refuse_forgotten(Ledger.connect(chain.url, driver.location), store)
        chain.stop()
        shutil.rmtree(chain.home)
        shutil.copytree(tmp_path / "copy", chain.home)
        chain.start()

        restored = Ledger.connect(chain.url, driver.location)
        assert [state.round for state in restored.rounds()] == [1]
        elsewhere = Outbox(tmp_path / "elsewhere", key("provider"), chain.url, CHAIN_ID)
        elsewhere.send(restored.revoke_hospitals([]), "sees-nothing-wrong")
        with pytest.raises(
            Refused, match=r"^round 2: .* signed its result, but the ledger says none: the chain lost blocks"
        ):
            refuse_forgotten(restored, store)
        with pytest.raises(Refused, match=r"^round 2: "):
            Observer(restored, store, {}).audit(RoundId(1))
    finally:
        chain.kill_supervisor()
