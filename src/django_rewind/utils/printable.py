"""
What is stored, in a form that may be sent to a terminal.

Names and texts come from the database. A control character in one of them could
move the cursor, give the window a title, or have a line read backwards.
"""

from __future__ import annotations

import re
from datetime import datetime

from django.utils.timezone import is_aware, localtime, make_aware

# Control characters but for tab and line feed; what changes the direction of a line;
# further ends of lines; and halves of a character, which cannot be encoded.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)

# Of a name: what the columns of Django and of ours hold.
_LONGEST_NAME = 255

# Of a reason that stored code has given.
_LONGEST_REASON = 500


def printable(text: str) -> str:
    """Return a text with its control characters written as in Python: ``\\x1b``."""
    # Hardly any text has one.
    return _CONTROL.sub(_escaped, text) if _CONTROL.search(text) else text


def printable_name(name: object) -> str:
    """Return a name in one line of bounded length."""
    text = printable(str(name)).replace("\n", "\\n").replace("\t", "\\t")
    return in_short(text, _LONGEST_NAME)


def why(error: BaseException) -> str:
    """Return the kind of an error and what it says, which stored code may have made up."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 (an error of somebody's own)
        said = "it does not say why"
    return f"{type(error).__name__}: {in_short(printable(said), _LONGEST_REASON)}"


def in_short(text: str, longest: int) -> str:
    """Return a text, cut where it is too long to be read."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def in_local_time(moment: datetime) -> datetime:
    """Return a time as it is here, with its zone; one without a zone is of here already."""
    try:
        return localtime(moment if is_aware(moment) else make_aware(moment))
    except Exception:  # noqa: BLE001 (pytz has errors of its own for the hour that comes twice)
        # At the end of time, and elsewhere already over.
        return moment


def with_zone(moment: datetime) -> str:
    """Return a time of here to be read, to the second, and how far it is from UTC."""
    return in_local_time(moment).isoformat(" ", "seconds")


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
