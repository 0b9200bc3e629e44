"""What is stored, in short: one query at the end of every `migrate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from django.db.models import BooleanField, Case, Q, Value, When

from .. import conf
from ..models import NOT_DESCRIBED, MigrationCode, Origin
from ..utils.types import Applied, Key
from .tables import Tables, as_number, as_text

__all__ = ["Inventory", "Known"]


class Known(NamedTuple):
    """What has to be known of a stored migration to see whether it has to be stored again."""

    # The row of django_migrations that it is proven for.
    record_id: Optional[int]  # noqa: UP045 (Python 3.9 reads it)
    # Whether more is known than the text that version 0.1.0 stored.
    is_described: bool


class Inventory(Tables):
    """What one database has of the sources of its migrations, and what it lacks."""

    def known(self) -> dict[Key, Known]:
        """Return what is known of each stored migration in short, in one query."""
        columns = ("app_label", "migration_name", "record_id", "is_described")
        rows = self._rows(MigrationCode).annotate(is_described=_IS_DESCRIBED).values_list(*columns)
        return {
            (as_text(app_label), as_text(name)): Known(as_number(record_id), bool(is_described))
            for app_label, name, record_id, is_described in self._read(rows)
        }

    def unstored(self, applied: Applied) -> list[Key]:
        """Return what is applied and not stored, or not proven to be what ran; by name."""
        return unstored_among(self.known(), applied)


def unstored_among(known: Mapping[Key, Known], applied: Applied) -> list[Key]:
    """Return what is applied and not among what is stored, or not proven to be what ran; by name."""
    excluded = conf.excluded_apps()
    return sorted(
        key
        for key, record_id in applied.items()
        if key[0] not in excluded and (key not in known or _is_unproven(known[key].record_id, record_id))
    )


def _is_unproven(proven_for: int | None, record_id: int) -> bool:
    """
    Say whether nobody knows that what is stored is what ran.

    A run that failed has left it behind, or another record has taken the place of
    the one that it was proven for. Without an id the record is of this very run.
    """
    return proven_for is None or (bool(record_id) and proven_for != record_id)


# Looked for by the database, which need not send the metadata then.
_IS_DESCRIBED = Case(
    When(Q(provenance=Origin.INHERITED, metadata__contains=NOT_DESCRIBED), then=Value(False)),
    default=Value(True),
    output_field=BooleanField(),
)
