"""What `rewind` would do, before it does it."""

from __future__ import annotations

from django_rewind.inventory.snapshot import WHY_SKIPPED, FileStatus


def test_what_is_skipped_says_why():
    """Whatever keeps a migration without a file applied has words."""
    with_file = {FileStatus.ON_DISK, FileStatus.NOT_COMPARED, FileStatus.UNREADABLE}
    with_file |= {FileStatus.MODIFIED, FileStatus.MODIFIED_OPERATIONS}
    assert WHY_SKIPPED.keys() == {*FileStatus} - with_file - {FileStatus.NO_FILE}
