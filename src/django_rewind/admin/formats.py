"""What is stored, in the words and forms that the pages show."""

from __future__ import annotations

from typing import Any

from django.template.defaultfilters import date
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_rewind.models import Origin
from django_rewind.sources.signing import Verdict
from django_rewind.utils.printable import in_local_time, printable_name

from .states import Knowledge, as_html


def applied_as_html(is_applied: bool) -> SafeString:
    return as_html("applied", _("applied")) if is_applied else as_html("unapplied", _("not applied"))


def moment(value: Any) -> str:
    """Return a time of here, with the name of its zone."""
    return (
        f"{date(in_local_time(value), 'DATETIME_FORMAT')} {date(in_local_time(value), 'T')}" if value else "-"
    )


def short_moment(value: Any) -> str:
    """Return a time of here for a column of a table."""
    return date(in_local_time(value), "SHORT_DATETIME_FORMAT") if value else "-"


def origin(value: str) -> str:
    """Return where a stored source came from."""
    return str(dict(Origin.choices).get(value, printable_name(value)))


def signature(verdict: Verdict) -> SafeString:
    word = Knowledge[verdict.name]
    return as_html(word.value, word.label)
