"""
Random feature branches that are rebased after they were applied, deployed with the command for a shared staging.

`scripts/histories.py` tries as many as there is time for; these are a few, the same ones each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.histories import Maker
from tests.support.rebases import INVALID, Trial

pytestmark = pytest.mark.deep

SEEDS = [1000, 1002, 1005, 1007, 1011, 1014, 1016, 1018, 1021, 1026, 1028, 1049]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_database_ends_as_the_files_say(tmp_path: Path, django_db_blocker: object, seed: int) -> None:
    history = Maker(seed).history()
    trial = Trial(history, tmp_path / "trial")
    try:
        # The schema is read by Django's introspection, not from the database of this process.
        with django_db_blocker.unblock():
            outcome = trial.outcome()
    finally:
        trial.close()
    if outcome.kind == INVALID:
        pytest.skip(f"Django cannot migrate with {outcome.detail}")
    assert outcome.is_right, f"{outcome.kind}\n{history.text()}\n{outcome.said}"
