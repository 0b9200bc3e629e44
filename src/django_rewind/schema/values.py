"""
What the column of a field can hold, as data, and whether its values fit into another one.

It is written down with the effects of a migration, so that a plan can tell what a reversed
`AlterField` does to values without executing stored code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from django.db.models import Field

# JSON: {"type": …, "null"?, "key"?, "generated"?, "size"?, "to"?, "more"?}
Holds = dict[str, Any]

# Returns what the column holds that a foreign key points to, if that is known.
Resolve = Callable[[Any], Optional[Holds]]

_TEXTS = {"CharField", "CommaSeparatedIntegerField", "FileField", "FilePathField", "SlugField", "TextField"}

# The most digits of each. A number that does not fit is an error, never another number.
_DIGITS = {
    "SmallAutoField": 5,
    "SmallIntegerField": 5,
    "PositiveSmallIntegerField": 5,
    "AutoField": 10,
    "IntegerField": 10,
    "PositiveIntegerField": 10,
    "BigAutoField": 19,
    "BigIntegerField": 19,
    "PositiveBigIntegerField": 19,
}

# What a double holds exactly.
_DIGITS_OF_FLOAT = 15

# Arguments of a field that say nothing of its values.
_NOT_OF_VALUES = {
    *(
        "auto_created",
        "blank",
        "choices",
        "db_collation",
        "db_column",
        "db_comment",
        "db_default",
        "db_index",
    ),
    *("db_tablespace", "default", "editable", "error_messages", "help_text", "limit_choices_to", "null"),
    *("on_delete", "primary_key", "related_name", "related_query_name", "serialize", "unique"),
    *("unique_for_date", "unique_for_month", "unique_for_year", "validators", "verbose_name"),
}


def holds(field: Field[Any, Any]) -> Holds:
    """Return what the column of a field can hold, ready to be written as JSON."""
    kind = field.get_internal_type()
    described: Holds = {"type": kind}
    flags = {
        "null": field.null,
        "key": field.primary_key,
        "generated": getattr(field, "generated", False),
    }
    described.update((name, True) for name, is_set in flags.items() if is_set)
    remote = field.remote_field
    if remote is not None:
        # A text where no app is loaded.
        model: Any = remote.model
        target = model if isinstance(model, str) else model._meta.label
        described["to"] = [target.lower(), getattr(remote, "field_name", None)]
    elif not type(field).db_type.__module__.startswith("django.db.models."):
        described["more"] = _in_words(field)
    elif kind == "DecimalField":
        described["size"] = [getattr(field, "max_digits", None), getattr(field, "decimal_places", None)]
    elif kind in _TEXTS and kind != "TextField":
        described["size"] = field.max_length
    return described


def _in_words(value: Any) -> str:
    """Return what a field of somebody's own was made with, as far as it may be of its values."""
    if not isinstance(value, Field):
        return repr(value) if not callable(value) else getattr(value, "__qualname__", type(value).__name__)
    _, path, args, options = value.deconstruct()
    named = {name: options[name] for name in sorted(options) if name not in _NOT_OF_VALUES}
    return f"{path}({[_in_words(one) for one in args]}, { {name: _in_words(one) for name, one in named.items()} })"


def change(now: Holds | None, then: Holds | None, resolve: Resolve) -> str:
    """
    Return what may change when a column holds what it held then: "values", those that are NULL, or nothing.

    What is not known may change.
    """
    if not now or not then:
        return "values"
    if not _fits(_settled(now, resolve), _settled(then, resolve)):
        return "values"
    return "nulls" if now.get("null") and not then.get("null") else ""


def _settled(held: Holds, resolve: Resolve) -> Holds:
    """Return what a column holds as the one that it points to has it, without what does not matter."""
    for _ in range(9):  # Keys that point to keys, in a circle where somebody has written that by hand.
        target = resolve(held["to"]) if held.get("to") else None
        if target is None:
            break
        held = target
    kind = {"OneToOneField": "ForeignKey", "NullBooleanField": "BooleanField"}.get(held["type"], held["type"])
    return {**{name: value for name, value in held.items() if name not in ("null", "key")}, "type": kind}


def _fits(now: Holds, then: Holds) -> bool:
    """Say whether each value has its like in another column."""
    if now == then:
        return True
    if any(held.get("more") or held.get("to") for held in (now, then)):
        return False
    kinds = (now["type"], then["type"])
    if kinds == ("DateField", "DateTimeField"):
        return True
    if then["type"] in _TEXTS:
        return _is_short(now, then)
    if then["type"] == "FloatField":
        return _DIGITS.get(now["type"], _DIGITS_OF_FLOAT + 1) <= _DIGITS_OF_FLOAT
    if now["type"] in _DIGITS and then["type"] in _DIGITS:
        return True
    digits, room = _digits(now), _digits(then)
    return None not in (*digits, *room) and digits[0] <= room[0] and digits[1] <= room[1]


def _is_short(now: Holds, then: Holds) -> bool:
    """Say whether each value fits into a column for texts."""
    digits = _DIGITS.get(now["type"])
    # With the sign.
    length = digits + 1 if digits else now.get("size")
    is_text = digits is not None or now["type"] in _TEXTS
    room = None if then["type"] == "TextField" else then.get("size")
    return is_text and (room is None or (length is not None and length <= room))


def _digits(held: Holds) -> tuple[Any, Any]:
    """Return how many digits a number has before and behind its point; None where it is no number."""
    if held["type"] in _DIGITS:
        return _DIGITS[held["type"]], 0
    digits, places = held.get("size", (None, None)) if held["type"] == "DecimalField" else (None, None)
    return (None, None) if digits is None or places is None else (digits - places, places)


def are_holds(value: Any) -> bool:
    """Say whether a value that was read from JSON is what `holds` returns."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    size, to = value.get("size"), value.get("to")
    is_size = _is_number(size) or (isinstance(size, list) and len(size) == 2 and all(map(_is_number, size)))
    is_target = to is None or (
        isinstance(to, list)
        and len(to) == 2
        and isinstance(to[0], str)
        and isinstance(to[1], (str, type(None)))
    )
    return is_size and is_target and isinstance(value.get("more", ""), str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, type(None)))
