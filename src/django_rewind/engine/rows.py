"""
Whether the rows of the tables meet what is demanded of them again, asked before the first statement.

What Django fills in by itself is no demand: `AddField` fills rows with a default, written down or
made up, `AlterField` only with one that is written down, unless the table is rebuilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.apps.registry import Apps
from django.core.exceptions import EmptyResultSet, FieldError
from django.db.migrations import Migration
from django.db.models import BigIntegerField, CheckConstraint, Model, UniqueConstraint
from django.db.models.expressions import OrderBy
from django.db.models.sql.query import Query

from ..backends import backend_for
from ..exceptions import BlockedRewind
from ..schema.demands import CONSTRAINT, NOT_NULL, REFERS, TYPE, UNIQUE, Column, Demand, lifted
from ..utils import compat

# How to have the rows of a table meet each kind.
_NEXT = {
    NOT_NULL: "Give these rows of '{}' a value or delete them, then try again.",
    UNIQUE: "Give these rows of '{}' different values or delete them, then try again.",
    REFERS: "Have these rows of '{}' point to rows that are there or delete them, then try again.",
    TYPE: "Give these rows of '{}' other values or delete them, then try again.",
    CONSTRAINT: "Give these rows of '{}' other values or delete them, then try again.",
}

# Words in the type of a column that has the database find a value for each row by itself.
_FILL_THEMSELVES = ("auto_increment", "autoincrement", "default ", "generated", "identity", "serial")


def check_rows(connection: Any, state: Any, undone: Sequence[Migration]) -> None:
    """
    Refuse to put back what the rows do not allow: NOT NULL, UNIQUE, foreign keys, checks, types.

    Args:
        state: the one before the first of `undone`, not rendered; it is changed.
        undone: the steps in the order of application.
    """
    rows = Rows(connection)
    for demand in lifted(state, undone):
        problem = rows.problem(demand)
        if problem:
            raise BlockedRewind(demand.step, problem, _NEXT[demand.kind].format(demand.table))


class Rows:
    """The rows of a database, of which it is asked whether they meet a demand."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.backend = backend_for(connection)
        self.features = connection.features
        self._ask = {
            NOT_NULL: self._not_null,
            UNIQUE: self._unique,
            REFERS: self._refers,
            TYPE: self._type,
            CONSTRAINT: self._constraint,
        }

    def problem(self, demand: Demand) -> str:
        """Return what the rows do not meet; empty where they do, or where nobody can tell."""
        return self._ask[demand.kind](demand)

    # NOT NULL ---------------------------------------------------------------

    def _not_null(self, demand: Demand) -> str:
        (column,) = demand.columns
        if self._is_filled(column) or not self.backend.has_rows(demand.table, column.now):
            return ""
        return (
            f"the column '{column.field.column}' of '{demand.table}' would be NOT NULL again, it has "
            "no default, and the table has rows without a value for it."
        )

    def _is_filled(self, column: Column) -> bool:
        """Say whether Django, or the database, puts something where there is no value."""
        if column.returns is not None and (
            self._fills_itself(column.returns) or self._value(column) is not None
        ):
            return True
        field = column.field
        if column.returns is not None and not column.returns.null:
            return self.backend.makes_up_values(field)
        if compat.has_db_default(field):
            return True
        if not field.has_default() and not self.backend.rebuilds_tables:
            # AlterField fills in a default that was written down, and none that Django makes up.
            return False
        return compat.effective_default(self.connection, field) is not None

    def _value(self, column: Column) -> Any:
        """Return what every row has in a column when it comes back; None for NULL, and for what nobody knows."""
        returns = column.returns
        if returns is None or compat.has_db_default(returns):
            return None
        return compat.effective_default(self.connection, returns)

    def _fills_itself(self, field: Any) -> bool:
        """Say whether the database finds a value for each row: a sequence, an expression, a default of its own."""
        if getattr(field, "generated", False) or compat.has_db_default(field):
            return True
        if field.remote_field is not None:
            # It has the type of what it points to, without what fills that.
            return False
        words = f"{field.db_type(self.connection)} {field.db_type_suffix(self.connection) or ''} ".lower()
        is_key = self.backend.rebuilds_tables and field.primary_key and words.startswith("integer ")
        return is_key or any(word in words for word in _FILL_THEMSELVES)

    # UNIQUE -----------------------------------------------------------------

    def _unique(
        self, demand: Demand, extra: str = "", params: Sequence[Any] = (), *, nulls_differ: bool = True
    ) -> str:
        names = [self.backend.column(column.now) for column in demand.columns if column.now]
        conditions = [extra] if extra else []
        for column in demand.columns:
            if column.now and column.field.null and nulls_differ:
                conditions.append(f"{self.backend.column(column.now)} IS NOT NULL")
            elif not column.now and not self._is_the_same(column):
                return ""
        if not self._has_twice(demand.table, names, conditions, params):
            return ""
        titles = " and ".join(f"'{column.title}'" for column in demand.columns)
        noun = "the column" if len(demand.columns) == 1 else "the columns"
        return f"{noun} {titles} of '{demand.table}' would be unique again, and rows of the table have the same in it."

    def _is_the_same(self, column: Column) -> bool:
        """Say whether a column that comes back has one and the same value in every row, and no NULL."""
        returns = column.returns
        if returns is None or self._fills_itself(returns):
            return False
        return self._value(column) is not None or (not returns.null and self.backend.makes_up_values(returns))

    def _has_twice(self, table: str, names: list[str], conditions: list[str], params: Sequence[Any]) -> bool:
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        # Of nothing but what is the same in every row, two rows are too many.
        grouped = ", ".join(names or ["(1 = 1)"])
        return self._finds(f"{self._from(table)}{where} GROUP BY {grouped} HAVING COUNT(*) > 1", params)

    # Foreign keys -----------------------------------------------------------

    def _refers(self, demand: Demand) -> str:
        (column,), target = demand.columns, demand.target
        if target is None or not self.features.supports_foreign_keys or not column.now:
            return ""
        value = self.backend.column(column.now)
        rest = f"{self._from(demand.table)} WHERE {value} IS NOT NULL"
        if target.now:
            pointed_to = self.backend.column(target.now, "pointed_to")
            of = self.connection.ops.quote_name(demand.target_table)
            there = f"SELECT 1 FROM {of} pointed_to WHERE {pointed_to} = {value}"  # noqa: S608
            rest += f" AND NOT EXISTS ({there})"
        if not self._finds(rest):
            return ""
        where = f"'{demand.target_table}'" if target.now else "a table that would be made anew"
        return (
            f"the column '{column.title}' of '{demand.table}' would be a foreign key again, and rows of the "
            f"table have values in it that are not in {where}."
        )

    # Types ------------------------------------------------------------------

    def _type(self, demand: Demand) -> str:
        (column,) = demand.columns
        if column.there is None or column.field.remote_field is not None:
            return ""
        against_type = self.backend.against_type(column.field, column.there)
        conditions = filter(None, [self._against_check(column), against_type])
        if not any(self._finds(f"{self._from(demand.table)} WHERE {one}") for one in conditions):
            return ""
        return (
            f"the column '{column.title}' of '{demand.table}' would be a {column.field.get_internal_type()} again, "
            "and rows of the table have values in it that this does not take."
        )

    def _against_check(self, column: Column) -> str:
        """Return the condition of rows that the check of a field keeps out; empty where it has none."""
        field = column.field.clone()
        field.set_attributes_from_name(column.name[-1])
        field.column = column.now
        check = field.db_check(self.connection) if self.features.supports_column_check_constraints else None
        return f"NOT ({check})" if check else ""

    # Constraints ------------------------------------------------------------

    def _constraint(self, demand: Demand) -> str:
        try:
            if isinstance(demand.constraint, UniqueConstraint):
                return self._unique_constraint(demand, demand.constraint)
            if isinstance(demand.constraint, CheckConstraint):
                return self._check_constraint(demand, demand.constraint)
        except (EmptyResultSet, FieldError, TypeError, ValueError):
            # It is about what is not there now, or no row can be against it.
            pass
        return ""

    def _unique_constraint(self, demand: Demand, constraint: Any) -> str:
        expressions = list(getattr(constraint, "expressions", ()))
        is_made = (self.features.supports_partial_indexes or not constraint.condition) and (
            self.features.supports_expression_indexes or not expressions
        )
        if not is_made:
            return ""
        compiled = _Compiled(self.connection, demand)
        condition, params = compiled.condition(constraint.condition) if constraint.condition else ("", ())
        if not expressions:
            columns = [
                column for column in demand.columns if column.name[-1] in map(str.lower, constraint.fields)
            ]
            is_distinct = getattr(constraint, "nulls_distinct", None) is not False
            return self._unique(replace(demand, columns=columns), condition, params, nulls_differ=is_distinct)
        sql = [compiled.expression(expression) for expression in expressions]
        names = [text for text, _ in sql]
        conditions = [*filter(None, [condition]), *(f"{name} IS NOT NULL" for name in names)]
        of_expressions = [value for _, values in sql for value in values]
        if not self._has_twice(demand.table, names, conditions, [*params, *of_expressions, *of_expressions]):
            return ""
        return self._against(demand)

    def _check_constraint(self, demand: Demand, constraint: Any) -> str:
        if not self.features.supports_table_check_constraints:
            return ""
        condition, params = _Compiled(self.connection, demand).condition(compat.condition_of(constraint))
        if not self._finds(f"{self._from(demand.table)} WHERE NOT ({condition})", params):
            return ""
        return self._against(demand)

    def _against(self, demand: Demand) -> str:
        return (
            f"the constraint '{demand.constraint.name}' of '{demand.table}' would be back, and there are rows "
            "of the table that it does not allow."
        )

    # Queries ----------------------------------------------------------------

    def _from(self, table: str) -> str:
        return f"{self.connection.ops.quote_name(table)} counted"

    def _finds(self, rest: str, params: Sequence[Any] = ()) -> bool:
        return self.backend.finds(f"SELECT 1 FROM {rest}", params)  # noqa: S608 (quoted names)


class _Compiled:
    """
    Conditions and expressions over the columns of a table as they are called now, as SQL.

    A model is made for them that has these columns and no relations; nothing of the state is rendered.
    """

    def __init__(self, connection: Any, demand: Demand) -> None:
        fields: dict[str, Any] = {}
        for column in demand.columns:
            if column.now:
                is_related = column.field.remote_field is not None
                plain = BigIntegerField() if is_related else column.field.clone()
                plain.db_column = column.now
                fields[column.field.name] = plain
        options = {"app_label": demand.model[0], "db_table": demand.table, "apps": Apps()}
        meta = type("Meta", (), options)
        self._model = type("Rows", (Model,), {**fields, "Meta": meta, "__module__": __name__})
        self._query = Query(self._model, alias_cols=False)
        self._compiler = self._query.get_compiler(connection=connection)

    def condition(self, condition: Any) -> tuple[str, Sequence[Any]]:
        return self._compiled(self._query.build_where(condition))

    def expression(self, expression: Any) -> tuple[str, Sequence[Any]]:
        if isinstance(expression, OrderBy):
            expression = expression.expression
        resolved = expression.resolve_expression(self._query, allow_joins=False)
        return self._compiled(resolved)

    def _compiled(self, node: Any) -> tuple[str, Sequence[Any]]:
        sql, params = self._compiler.compile(node)
        return sql, params
