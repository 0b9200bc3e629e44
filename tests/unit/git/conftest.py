from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.workdir import WorkDir


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    """A work tree with one commit."""
    work = WorkDir(tmp_path / "work")
    work.commit(README="Read me.\n")
    return work
