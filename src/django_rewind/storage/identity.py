"""The identity of one database, which its first signature makes."""

from __future__ import annotations

import secrets
from functools import cached_property
from itertools import count
from typing import Any

from django.db import IntegrityError, transaction

from ..models import DatabaseIdentity
from ..sources import signing
from ..sources.identity import ABSENT, UNREADABLE, Identity
from ..sources.signing import Verdict
from .tables import Tables, Unreadable

_COLUMNS = ("identity", "signature", "key_fingerprint")
# More of them nobody has written who means well.
_LOOKED_AT = 100


class IdentifiedTables(Tables):
    """The tables of one database in which what is written is signed for that database."""

    def __init__(self, connection: Any, identity: Identity | None = None) -> None:
        super().__init__(connection)
        if identity is not None:
            # It was read already.
            self.identity = identity

    @cached_property
    def identity(self) -> Identity:
        """Which database this is, as of the first time that it matters."""
        return Identities(self.connection).read()

    def identify(self) -> str:
        """Return the identity that is signed for, made where none is ours; nothing where that cannot be."""
        if not (self.identity.value or signing.problem_with_keys()):
            self.identity = Identities(self.connection).make()
        return self.identity.value

    def sign_fact(self, *values: Any) -> str:
        """Return the signature of what this process knows or was told; nothing where it cannot be signed."""
        database = self.identify()
        is_possible = database and not signing.problem_with_keys()
        return signing.sign_fact([database, *values]) if is_possible else ""

    def verifies_fact(self, signature: str, *values: Any) -> bool:
        """Say whether it was signed for this database, and counts."""
        return signing.verifies_fact([self.identity.value, *values], signature) and bool(self.identity.value)


class Identities(Tables):
    """
    Reads the identity of one database, and makes it where there is none.

    It is the first one that one of our keys has signed. A database that was restored from
    another environment, with another key, has one more: what was signed there for the
    first one counts as soon as the key is there.
    """

    def read(self) -> Identity:
        try:
            rows = self._values(self._in_order()[:_LOOKED_AT], *_COLUMNS)
        except Unreadable:
            return UNREADABLE
        judged = [Identity.judged(*(row[column] for column in _COLUMNS)) for row in rows]
        return next((identity for identity in judged if identity.value), next(iter(judged), ABSENT))

    def _in_order(self) -> Any:
        return self._rows(DatabaseIdentity).order_by("pk")

    def make(self) -> Identity:
        """Give the database an identity unless it has one by now, and return which it has."""
        identity = self.read()
        attempts = 3 if self.exists(DatabaseIdentity) else 0
        for _ in range(attempts):
            if identity.value:
                break
            identity = self._made()
        return identity

    def _made(self) -> Identity:
        value = secrets.token_hex(16)
        signature, fingerprint = signing.sign_identity(value)
        taken = list(self._in_order().values_list("pk", flat=True)[:_LOOKED_AT])
        if len(taken) == _LOOKED_AT:
            # Each process seems to have a key of its own: of what is no use to the next one, the newest goes.
            self._rows(DatabaseIdentity).filter(pk__gte=taken.pop()).delete()
        made = DatabaseIdentity(
            pk=next(pk for pk in count(1) if pk not in taken),
            identity=value,
            signature=signature,
            key_fingerprint=fingerprint,
        )
        try:
            with transaction.atomic(using=self.connection.alias):
                self._manager(DatabaseIdentity).bulk_create([made])
        except IntegrityError:
            # Another process was first.
            return self.read()
        return Identity(value)

    def renew(self) -> bool:
        """Sign anew, with the first key, what an older one has signed: nothing new is trusted. Return whether any was."""
        is_renewed = False
        for row in self._values(self._in_order()[:_LOOKED_AT], "pk", *_COLUMNS):
            value, *signed = (row[column] for column in _COLUMNS)
            if signing.verify_identity(value, *signed) is Verdict.VERIFIED:
                signature, fingerprint = signing.sign_identity(value)
                same = self._rows(DatabaseIdentity).filter(pk=row["pk"], identity=value, signature=signed[0])
                if signature != signed[0]:
                    is_renewed |= same.update(signature=signature, key_fingerprint=fingerprint) > 0
        return is_renewed
