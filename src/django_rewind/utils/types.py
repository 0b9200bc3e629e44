"""Names for the shapes that travel between the modules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from django.db.migrations import Migration

from .printable import printable_name

APP_LABEL = "django_rewind"

# (app label, migration name), as Django's graph and recorder have it.
Key = tuple[str, str]

# What Django calls a target: the name is None for "zero".
Target = tuple[str, Optional[str]]

# [(migration, backwards), …], as Django's executor has it.
Steps = list[tuple[Migration, bool]]

# key -> id of its row in django_migrations; the ids are the order of application.
Applied = dict[Key, int]

# What a migration does to a model, as data. See the module `effects`.
Effect = dict[str, Any]


@dataclass(frozen=True)
class RecordChanges:
    """What a run is going to do to the records of applied migrations, before it is done."""

    # The new names, by the old ones.
    renamed: Mapping[Key, Key] = field(default_factory=dict)
    # Under their new names.
    unapplied: Collection[Key] = ()
    # Modified ones whose files are going to be applied: until then, what was applied counts.
    redone: Collection[Key] = ()

    def __bool__(self) -> bool:
        return bool(self.renamed or self.unapplied or self.redone)

    def made_to(self, records: Mapping[Key, Any]) -> dict[Key, Any]:
        """Return the records as they are afterwards."""
        renamed = {self.renamed.get(key, key): record for key, record in records.items()}
        return {key: record for key, record in renamed.items() if key not in self.unapplied}


NO_CHANGES = RecordChanges()


def label(key: Key) -> str:
    """Return the key the way Django prints a migration, to be read: ``shop.0001_initial``."""
    return f"{printable_name(key[0])}.{printable_name(key[1])}"


def key_of(migration: Migration) -> Key:
    """Return the key of a migration."""
    return (migration.app_label, migration.name)


def names_of(keys: Iterable[Key]) -> str:
    """Return keys as one readable list: ``shop.0002_a, shop.0003_b``."""
    return ", ".join(label(key) for key in keys)


def some_names_of(keys: Iterable[Key], most: int = 3) -> str:
    """Return the first keys as one readable list, and how many more there are."""
    return some_of([label(key) for key in keys], most)


def some_of(texts: Sequence[str], most: int = 3) -> str:
    """Return the first texts as one readable list, and how many more there are: ``a, b, c and 2 more``."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
