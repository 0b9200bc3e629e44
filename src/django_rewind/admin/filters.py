"""What the list can be narrowed down by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.db import connections
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_rewind.inventory.snapshot import FileStatus
from django_rewind.models import MigrationCode, Origin
from django_rewind.utils.printable import printable_name
from django_rewind.utils.types import Key

from .databases import DATABASE, alias_of, aliases, survey_of
from .states import word_of


class _Filter(admin.SimpleListFilter):
    """A filter that knows which migrations it lets through."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        if value is None:
            return queryset
        survey = survey_of(request)
        return only(queryset, survey.pks(self.keys(survey, value)))

    def keys(self, survey: Any, value: str) -> Iterable[Key]:
        raise NotImplementedError


def only(queryset: Any, pks: Iterable[int]) -> Any:
    # Written out: as parameters they would be more than a statement takes on SQLite.
    numbers = ", ".join(str(int(pk)) for pk in pks)
    if not numbers:
        return queryset.none()
    quote = connections[queryset.db].ops.quote_name
    where = f"{quote(MigrationCode._meta.db_table)}.{quote('id')} IN ({numbers})"
    return queryset.extra(where=[where])  # noqa: S610 (numbers alone)


class DatabaseFilter(admin.SimpleListFilter):
    """Which database is looked at; there is always one."""

    title = _("database")
    parameter_name = DATABASE

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(alias, alias) for alias in aliases()]

    def choices(self, changelist: Any) -> Iterator[Any]:
        alias = alias_of(self.request) if hasattr(self, "request") else self.value()
        for value, title in self.lookup_choices:
            yield {
                "selected": value == alias,
                "query_string": changelist.get_query_string({DATABASE: value}, ["p"]),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset


class AppFilter(_Filter):
    """Which app is looked at: a list of links, or one to choose from where there are many."""

    title = _("app")
    parameter_name = "app_label"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.lookup_choices) > _MANY:
            self.template = "admin/django_rewind/choice_filter.html"
        # What else is in the address, and stays in it.
        self.others: list[tuple[str, str]] = []

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        labels = sorted({key[0] for key in survey_of(request).stored})
        return [(label, printable_name(label)) for label in labels]

    def choices(self, changelist: Any) -> Iterator[Any]:
        self.others = [pair for pair in changelist.params.items() if pair[0] != self.parameter_name]
        values = ["", *(value for value, _ in self.lookup_choices)]
        for value, choice in zip(values, super().choices(changelist)):
            yield {**choice, "value": value}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(app_label=self.value()) if self.value() else queryset


# So many links are more than anybody reads.
_MANY = 30


class AppliedFilter(_Filter):
    title = _("applied")
    parameter_name = "applied"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("applied")), ("no", _("not applied"))]

    def keys(self, survey: Any, value: str) -> Iterable[Key]:
        return [key for key in survey.stored if survey.is_applied(key) == (value == "yes")]


class FileFilter(_Filter):
    title = _("file")
    parameter_name = "file"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            (status.slug, word_of(status)) for status in FileStatus if status is not FileStatus.NOT_COMPARED
        ]

    def keys(self, survey: Any, value: str) -> Iterable[Key]:
        status = next((status for status in FileStatus if status.slug == value), None)
        if status in _TOLD_BY_TEXT:
            survey.compare(survey.stored)
        elif status in _TOLD_BY_WHAT_IS_MADE:
            survey.read(survey.apps_to_look_at)
        return [key for key in survey.stored if survey.file_status(key) is status]


# What can be told by comparing texts alone: each file is read once, and again when it has changed.
_TOLD_BY_TEXT = (
    FileStatus.ON_DISK,
    FileStatus.MODIFIED,
    FileStatus.MODIFIED_OPERATIONS,
    FileStatus.UNREADABLE,
)

# What can be told by reading, in the same way, what the files of an app make.
_TOLD_BY_WHAT_IS_MADE = (
    FileStatus.MISSING,
    FileStatus.TABLE_IN_USE,
    FileStatus.RECREATED,
    FileStatus.MISSING_BEFORE_INSTALL,
)


class OriginFilter(_Filter):
    title = _("origin")
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        origins = {stored.origin for stored in survey_of(request).stored.values()}
        return [(value, word) for value, word in Origin.choices if value in origins]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset if self.value() is None else queryset.filter(provenance=self.value())


FILTERS: list[Any] = [DatabaseFilter, AppFilter, AppliedFilter, FileFilter, OriginFilter]
