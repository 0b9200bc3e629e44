"""What data a rewind would lose: the rows behind the tables and columns that go with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..inventory.snapshot import Snapshot
from ..schema.effects import Loss, Made, Names, effects_of, thing
from ..sources.recovered import RecoveredMigration
from ..utils.types import Applied, Effect, Key, Plan, key_of, label

__all__ = ["BOUND", "Losses", "Lost", "effects_of_step"]

#: Where counting stops, so that it stays cheap in tables of any size.
BOUND = 10_000


@dataclass(frozen=True)
class Lost:
    """A table, or a column of one, that goes with a step and holds something."""

    key: Key
    table: str
    # None when the whole table goes.
    column: str | None
    rows: int
    # Whether there are more rows than were counted.
    more: bool = False

    @property
    def thing(self) -> str:
        """What goes, in words."""
        return thing((self.table, self.column))

    @property
    def amount(self) -> str:
        """How many rows lose something, in words."""
        if self.more:
            return f"more than {self.rows:,} rows"
        return "1 row" if self.rows == 1 else f"{self.rows:,} rows"

    def __str__(self) -> str:
        return f"{self.thing} ({self.amount}; {label(self.key)})"

    def as_data(self) -> dict[str, Any]:
        return {"table": self.table, "column": self.column, "rows": self.rows, "more": self.more}


class Losses:
    """
    Look for what the steps of a plan have made, under its name of now, and count.

    A column that holds nothing but its default holds data; one that holds nothing
    but NULL does not.

    Args:
        connection: the database.
        snapshot: for the effects of what is not undone.
        applied: the order in which everything was applied.
    """

    def __init__(self, connection: Any, snapshot: Snapshot, applied: Applied) -> None:
        self.connection = connection
        self.snapshot = snapshot
        self.applied = applied

    def of(self, plan: Plan) -> list[Lost]:
        """Return what the plan would lose, in the order in which it was made."""
        going = list(self._going(plan))
        with self.connection.cursor() as cursor:
            tables = set(self.connection.introspection.table_names(cursor))
            dropped = {table for _, (table, column) in going if column is None}
            found = []
            for key, (table, column) in going:
                if table in tables and (column is None or table not in dropped):
                    found.append(self._count(cursor, key, table, column))
        return [lost for lost in found if lost is not None]

    def _going(self, plan: Plan) -> Iterator[tuple[Key, Loss]]:
        """Yield what the steps have made, followed through whatever was renamed since."""
        steps = {key_of(migration): migration for migration, backwards in plan if backwards}
        names = Names()
        made: list[Made] = []
        for key, _ in sorted(self.applied.items(), key=lambda item: item[1]):
            effects = effects_of_step(steps[key]) if key in steps else self.snapshot.effects(key)
            for effect in effects:
                for one in made:
                    one.follow(key[0], effect)
                if key in steps:
                    made += Made.by_effect(key, effect, names)
                names.follow(key[0], [effect])
        for one in made:
            loss = names.loss(one)
            if loss is not None:
                yield one.by, loss

    def _count(self, cursor: Any, key: Key, table: str, column: str | None) -> Lost | None:
        """Count the rows that hold something, up to the bound."""
        quote = self.connection.ops.quote_name
        condition = ""
        if column is not None:
            columns = self.connection.introspection.get_table_description(cursor, table)
            if column not in {one.name for one in columns}:
                return None
            condition = f" WHERE {quote(column)} IS NOT NULL"
        rows = f"SELECT 1 AS one FROM {quote(table)}{condition} LIMIT {BOUND + 1}"  # noqa: S608 (quoted)
        cursor.execute(f"SELECT COUNT(*) FROM ({rows}) bounded")  # noqa: S608
        (count,) = cursor.fetchone()
        return Lost(key, table, column, min(count, BOUND), count > BOUND) if count else None


def effects_of_step(migration: Any) -> Iterable[Effect]:
    """Return what a step does, of stored code as it was written down unless it is loaded."""
    if isinstance(migration, RecoveredMigration) and not migration.is_loaded:
        return migration.stored.metadata.effects
    return effects_of(migration)
