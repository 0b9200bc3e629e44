"""
Somebody who may write to the database and has no key, at random: `scripts/attack.py` tries as many as there is time for.

These are a few, the same ones each time, and what it has found, made smaller.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.helpers import Project

pytestmark = [pytest.mark.deep]

ROOT = Path(__file__).parents[3]


@pytest.mark.alone
@pytest.mark.once
def test_at_random(tmp_path):
    """Nothing is executed that was not signed for this place, nothing goes unsaid, nothing crashes or blocks `migrate`."""
    options = ["--seed=7000", "--rows=40", "--no-shrink", f"--world={tmp_path}"]

    done = subprocess.run(
        [sys.executable, "scripts/attack.py", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is wrong." in done.stdout


def test_no_key_is_stored(left: Project):
    """What can be read in the database, in a backup or a dump, has no key in it."""
    left.manage("verify_migrations")

    contents = repr(left.db().contents())

    assert "shop.migrations.0002_price" in contents
    assert str(left.settings["SECRET_KEY"]) not in contents


def test_a_key_is_all_it_takes(left: Project):
    """Who has a key and may write has whatever they like executed, as ever with Django."""
    left.run(
        """
        from django_rewind.models import MigrationCode
        from django_rewind.sources.description import Metadata
        from django_rewind.sources.stored import NewSource
        from django_rewind.storage.store import Store
        from django.db import connection
        row = MigrationCode.objects.get(migration_name="0002_price")
        text = row.source_code + "\\nopen('executed', 'a').close()\\n"
        metadata = Metadata.from_text(row.metadata)
        Store(connection).put([NewSource(("shop", "0002_price"), row.module, text, metadata, "captured", record_id=row.record_id)])
        """
    )

    left.manage("migrate", "shop", "0001")

    assert (left.path / "executed").exists()
