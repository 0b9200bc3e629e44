"""Who is asked and presses Ctrl-C is told that nothing has been changed, and sees no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.deep


def interrupted(project, *args: str) -> tuple[int, str]:
    """Run manage.py until it asks, and press Ctrl-C; return exit status and all that it says."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", *args],
        cwd=project.path,
        env=project._environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        said = b""
        while not said.endswith(b"[y/N] ") and (one := process.stdout.read(1)):
            said += one
        # Between its question and its reading nothing would wake it.
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    return process.returncode, said.decode()


@pytest.mark.parametrize(
    "key, args",
    [
        ("a key of the story", ("rewind",)),
        ("another key", ("rewind",)),
        ("another key", ("verify_migrations", "--sign", "shop", "0002")),
    ],
)
def test_ctrl_c_at_a_question(left, key, args):
    """It ends as it does everywhere, with 130, and everything is as it was."""
    left.configure(SECRET_KEY=key)
    before = left.snapshot()
    status, said = interrupted(left, *args)

    assert status == 130, said
    assert "Traceback" not in said
    assert "Cancelled. Nothing has been changed." in said
    assert left.snapshot() == before


def test_ctrl_c_before_something_is_discarded(left):
    """The same goes for `prune_migration_code`."""
    left.manage("rewind", "--noinput")
    left.execute("UPDATE django_migrations_code_ledger SET at = '2001-01-01 00:00:00'")
    left.execute("UPDATE django_migrations_code SET stored_at = '2001-01-01 00:00:00'")
    status, said = interrupted(left, "prune_migration_code", "--before", "2002-01-01")

    assert (status, "Traceback" in said) == (130, False), said
    assert left.rows("SELECT 1 FROM django_migrations_code WHERE migration_name = '0002_price'")
