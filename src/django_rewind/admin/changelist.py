"""The list of a database: its rows with what is known of each, and the line above that counts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from django_rewind.inventory.snapshot import FileStatus
from django_rewind.models import MigrationCode
from django_rewind.sources.stored import StoredMigration
from django_rewind.storage.facts import Verification
from django_rewind.utils.types import Key

from .databases import address_of, alias_of, in_database, survey_of
from .states import sign_of, word_of
from .survey import Survey


@dataclass(frozen=True)
class Known:
    """What is known of a row that is shown."""

    key: Key
    stored: StoredMigration
    is_applied: bool
    file_status: FileStatus
    verified: Verification | None


@dataclass(frozen=True)
class Count:
    """How many stored migrations are in a state, and where they are listed."""

    number: int
    word: Any
    address: str
    state: str = ""

    @property
    def sign(self) -> str:
        return sign_of(self.state) if self.state else ""


class StoredMigrationsList(ChangeList):
    """A list that reads the files of the rows that it shows, and no others."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.survey = survey_of(request)
        self.alias = alias_of(request)
        rows = self.survey.store.shown(self.result_list) if self.survey.has_store else []
        self.survey.compare(map(_key, rows))
        for row in rows:
            vars(row)["known"] = known_of(row, self.survey)
        self.result_list = rows

    def url_for_result(self, result: Any) -> str:
        return in_database(super().url_for_result(result), self.alias)

    @property
    def graph(self) -> str:
        return address_of("graph", alias=self.alias, admin_name=self.model_admin.admin_site.name)

    @cached_property
    def counts(self) -> list[Count]:
        """The line above: each is a link to those that it counts."""
        survey = self.survey
        statuses = Counter(survey.file_status(key) for key in survey.stored)
        applied = sum(survey.is_applied(key) for key in survey.stored)
        unseen = statuses.pop(FileStatus.NOT_COMPARED, 0)
        counts = [
            self._count(len(survey.stored), _("stored")),
            self._count(applied, _("applied"), "applied", applied="yes"),
            *(
                self._count(number, word_of(status), status.slug, file=status.slug)
                for status in FileStatus
                if (number := statuses[status])
            ),
        ]
        if unseen:
            not_compared = _("not compared with their files yet")
            counts.append(self._count(unseen, not_compared, file=FileStatus.MODIFIED.slug))
        return counts

    def _count(self, number: int, word: Any, state: str = "", **filters: str) -> Count:
        return Count(number, word, in_database("", self.alias, **filters) or "?", state)


def known_of(row: MigrationCode, survey: Survey) -> Known:
    key = _key(row)
    stored = survey.store.as_stored(row, newest=survey.newest_serials.get(key, 0))
    status = survey.file_status(key)
    return Known(
        key=key,
        stored=stored,
        is_applied=survey.is_applied(key),
        # It was asked for: then there is nothing that could be compared.
        file_status=FileStatus.UNREADABLE if status is FileStatus.NOT_COMPARED else status,
        verified=survey.verified(key),
    )


def _key(row: MigrationCode) -> Key:
    return (str(row.app_label), str(row.migration_name))
