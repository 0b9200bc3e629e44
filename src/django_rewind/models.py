"""
What is stored about applied migrations.

No table here is managed by Django: `flush` and `TransactionTestCase` empty the
tables of managed models, and what is kept here has to survive them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from .backends.fields import AnyTextField, NameField

__all__ = [
    "NOT_DESCRIBED",
    "BaselineMigration",
    "DatabaseIdentity",
    "Event",
    "MigrationCode",
    "MigrationCodeHistory",
    "MigrationEvent",
    "MigrationVerification",
    "Origin",
    "StoredContent",
]


#: How metadata are written down that were read out of a text, and of nothing that was executed.
NOT_DESCRIBED = '"django": ""'


class Origin(models.TextChoices):
    """How a source got into the store."""

    CAPTURED = "captured", _("captured when applied")
    BACKFILLED = "backfilled", _("backfilled from its file")
    INHERITED = "inherited", _("imported from 0.1.0")
    ACCEPTED = "accepted", _("accepted in place of the applied version")
    ADOPTED = "adopted", _("adopted under a new name")
    GIT = "git", _("found in Git")


class Event(models.TextChoices):
    """What can happen to a migration, or to its stored source."""

    BEGAN = "began", _("rollback started")
    CAPTURED = "captured", _("source captured")
    BACKFILLED = "backfilled", _("source backfilled")
    APPLIED = "applied", _("applied")
    UNAPPLIED = "unapplied", _("unapplied")
    MARKED_APPLIED = "marked_applied", _("marked as applied")
    MARKED_UNAPPLIED = "marked_unapplied", _("marked as unapplied")
    PRUNED = "pruned", _("record pruned")
    ROLLED_BACK = "rolled_back", _("rolled back")
    PARTIAL = "partial", _("partially unapplied")
    RENAMED = "renamed", _("renamed")
    ACCEPTED = "accepted", _("file accepted")
    REFUSED = "refused", _("refused")
    FAILED = "failed", _("failed")
    RESTORED = "restored", _("file restored")
    SIGNED = "signed", _("signed")
    DISCARDED = "discarded", _("stored data discarded")


class _NotDumpedQuerySet(models.QuerySet[Any]):
    """
    A queryset that `dumpdata` finds empty.

    `dumpdata` asks for the default manager (with ``--all`` for the base manager)
    and reads it with `iterator()`. Stored source is no data of the project: it
    may hold secrets, and loading it elsewhere would claim that it was applied.
    """

    def iterator(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        return iter(())


class _Ours(models.Model):
    """What all of our tables have in common: nobody but us makes, dumps or empties them."""

    objects = models.Manager()
    not_dumped = models.Manager.from_queryset(_NotDumpedQuerySet)()

    class Meta:
        abstract = True
        managed = False
        default_manager_name = "not_dumped"
        base_manager_name = "not_dumped"


class _StoredText(_Ours):
    """The columns that a stored text keeps when it moves into the history."""

    module = AnyTextField(_("module"), default="")
    metadata = models.TextField(_("metadata"), default="{}")
    provenance = models.CharField(
        _("origin"),
        max_length=16,
        choices=Origin.choices,
        default=Origin.CAPTURED,
    )
    digest = models.CharField(_("digest"), max_length=64, default="")
    signature = models.CharField(_("signature"), max_length=64, default="")
    key_fingerprint = models.CharField(_("key fingerprint"), max_length=16, default="")
    # The row of django_migrations for which this text is proven to be what ran,
    # and the signature that ties the two together.
    record_id = models.BigIntegerField(_("record"), null=True)
    proof = models.CharField(_("binding"), max_length=64, default="")
    # The how manieth text stored for this migration it is: an older one put back shows.
    serial = models.PositiveIntegerField(_("revision"), default=0)
    # The identity of the database that it was signed for: a row copied from another one shows.
    signed_for = models.CharField(_("identity of the database"), max_length=32, default="")

    class Meta(_Ours.Meta):
        abstract = True


class MigrationCode(_StoredText):
    """The source of a migration that was applied to this database."""

    app_label = NameField(_("app label"), max_length=255, db_index=True)
    migration_name = NameField(_("migration"), max_length=255, db_index=True)
    source_code = AnyTextField(_("source code"))
    stored_at = models.DateTimeField(_("stored at"), auto_now_add=True, db_index=True)

    class Meta(_Ours.Meta):
        db_table = "django_migrations_code"
        verbose_name = _("stored migration")
        verbose_name_plural = _("stored migrations")
        ordering = ["app_label", "migration_name"]
        unique_together = [["app_label", "migration_name"]]
        indexes = [
            models.Index(fields=["app_label", "migration_name"], name="django_migr_app_lab_d98bd3_idx"),
            models.Index(fields=["stored_at"], name="django_migr_stored__87212c_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.app_label}.{self.migration_name}"


class MigrationCodeHistory(_StoredText):
    """A text that was stored for a migration before it was applied with another."""

    app_label = NameField(_("app label"), max_length=255)
    migration_name = NameField(_("migration"), max_length=255)
    source_code = AnyTextField(_("source code"))
    stored_at = models.DateTimeField(_("stored at"))
    replaced_at = models.DateTimeField(_("replaced at"), auto_now_add=True)

    class Meta(_Ours.Meta):
        db_table = "django_migrations_code_history"
        verbose_name = _("earlier revision")
        verbose_name_plural = _("earlier revisions")
        ordering = ["app_label", "migration_name", "replaced_at", "id"]
        indexes = [
            models.Index(fields=["app_label", "migration_name"], name="django_migr_code_history_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.app_label}.{self.migration_name}"


class BaselineMigration(_Ours):
    """A migration that was applied and already without a file when we were installed."""

    app_label = NameField(_("app label"), max_length=255)
    migration_name = NameField(_("migration"), max_length=255)
    # A row of django_migrations with another id was applied later: no baseline.
    record_id = models.BigIntegerField(_("record"))
    # When somebody said that it is known to be so.
    forgotten_at = models.DateTimeField(_("acknowledged at"), null=True)
    signature = models.CharField(_("signature"), max_length=64, default="")

    class Meta(_Ours.Meta):
        db_table = "django_migrations_baseline"
        verbose_name = _("migration missing before install")
        verbose_name_plural = _("migrations missing before install")
        ordering = ["app_label", "migration_name"]
        unique_together = [["app_label", "migration_name"]]

    def __str__(self) -> str:
        return f"{self.app_label}.{self.migration_name}"


class DatabaseIdentity(_Ours):
    """
    What tells one database, and within PostgreSQL one schema, from all others: it is random.

    Every signature covers it, so that what was signed for one database is worth nothing in another.
    The first row that a key of ours has signed is the one that counts.
    """

    id = models.PositiveSmallIntegerField(primary_key=True)
    identity = models.CharField(_("identity"), max_length=32)
    signature = models.CharField(_("signature"), max_length=64, default="")
    key_fingerprint = models.CharField(_("key fingerprint"), max_length=16, default="")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta(_Ours.Meta):
        db_table = "django_migrations_identity"
        verbose_name = _("identity of the database")
        verbose_name_plural = _("identities of the database")

    def __str__(self) -> str:
        return self.identity


class StoredContent(_Ours):
    """
    A module or a data file that migrations carry along, once for all of them.

    Which migration carries it, and under which name, stands in the signed metadata
    of that migration; there it is named by its digest, which it has to match.
    """

    digest = models.CharField(_("digest"), max_length=64, unique=True)
    content = models.BinaryField(_("content"))
    stored_at = models.DateTimeField(_("stored at"), auto_now_add=True)

    class Meta(_Ours.Meta):
        db_table = "django_migrations_code_content"
        verbose_name = _("bundled content")
        verbose_name_plural = _("bundled contents")
        ordering = ["digest"]

    def __str__(self) -> str:
        return self.digest


class MigrationVerification(_Ours):
    """
    What came of a stored migration when it was verified last.

    It is about what was stored and what the file did at that moment; once one of them
    is another, nothing is known.
    """

    app_label = NameField(_("app label"), max_length=255)
    migration_name = NameField(_("migration"), max_length=255)
    verified_at = models.DateTimeField(_("verified at"))
    # Why it could not be recovered, and what helps; empty if it could.
    problem = AnyTextField(_("problem"), default="")
    next_step = AnyTextField(_("next step"), default="")
    # What the file would do otherwise: "operations", "dependencies", both or nothing.
    differs = models.CharField(_("differences"), max_length=64, default="")
    signature = models.CharField(_("signature of the stored source"), max_length=64)
    file_digest = models.CharField(_("digest of the file"), max_length=64, default="")
    # Of all of this.
    result_signature = models.CharField(_("signature"), max_length=64, default="")

    class Meta(_Ours.Meta):
        db_table = "django_migrations_code_verification"
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        ordering = ["app_label", "migration_name"]
        unique_together = [["app_label", "migration_name"]]

    def __str__(self) -> str:
        return f"{self.app_label}.{self.migration_name}"


class MigrationEvent(_Ours):
    """An audit log entry: something that happened, when, where and by whose hand. None is ever changed."""

    at = models.DateTimeField(_("at"), db_index=True)
    event = models.CharField(_("event"), max_length=16, choices=Event.choices)
    app_label = NameField(_("app label"), max_length=255)
    migration_name = NameField(_("migration"), max_length=255)
    # The row of django_migrations that it is about, where there is one.
    record_id = models.BigIntegerField(_("record"), null=True)
    # Of the text that ran or was stored.
    digest = models.CharField(_("digest"), max_length=64, default="")
    serial = models.PositiveIntegerField(_("revision"), null=True)
    # Where the code that ran came from: "stored" or "file".
    source = models.CharField(_("source"), max_length=8, default="")
    seconds = models.FloatField(_("duration in seconds"), null=True)
    detail = models.TextField(_("detail"), default="")
    # The circumstances.
    alias = models.CharField(_("database"), max_length=255)
    django = models.CharField(_("Django"), max_length=32)
    python = models.CharField(_("Python"), max_length=32)
    os_user = models.CharField(_("operating system user"), max_length=255, default="")
    host = models.CharField(_("host"), max_length=255, default="")
    pid = models.BigIntegerField(_("process"))
    commit = models.CharField(_("commit"), max_length=64, default="")
    branch = models.CharField(_("branch"), max_length=255, default="")
    # Of what decides anything: all but the time, the duration and the circumstances.
    signature = models.CharField(_("signature"), max_length=64, default="")

    class Meta(_Ours.Meta):
        db_table = "django_migrations_code_ledger"
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log entries")
        ordering = ["id"]
        indexes = [
            models.Index(fields=["app_label", "migration_name"], name="django_migr_code_ledger_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.app_label}.{self.migration_name}: {self.event}"
