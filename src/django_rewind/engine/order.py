"""
Which migrations can stay applied while a database goes over to the files of a checkout.

After a rebase, what is applied may have a place in the graph behind migrations that are not applied
yet. It may stay where the models come out as the files say, whether it is applied before those or
after. Where they do not, it has to be unapplied, and applied again in its new place. The states of
Django decide. They are built from files alone: nothing stored is executed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.migrations import Migration
from django.db.models import Field

from ..exceptions import StateNotBuilt
from ..schema.code import executes_code, lacking
from ..schema.graph import apps_by_setting, closure, inverted
from ..schema.operations import table_of
from ..utils import compat
from ..utils.types import Key, key_of
from .states import Models, Simulation, models_changed, models_needed

# The options of a model that the database knows.
_OPTIONS = ("managed", "proxy", "order_with_respect_to", "db_tablespace")
_TOGETHER = ("unique_together", "index_together")

# Of these arguments of a field the database knows nothing either.
_NOT_IN_DATABASE = {"auto_created", "choices", "default", "serialize"}


@dataclass(frozen=True)
class Order:
    """
    The files of a checkout, in the order of their graph and in that of a database.

    Args:
        files: in the order of the graph.
        parents: what each migration depends on.
        applied: the files that are applied, in the order in which they were, under their new names.
        renamed: those of them that get their name now.
    """

    files: Mapping[Key, Migration]
    parents: Mapping[Key, Collection[Key]]
    applied: list[Key]
    renamed: Collection[Key]
    simulation: Simulation

    def early(self, unapplied: Collection[Key] = ()) -> list[Key]:
        """Return what stays applied and was applied before something that it depends on by now."""
        stays = [key for key in self.applied if key not in unapplied]
        behind = closure(set(self.files).difference(stays), self._children)
        behind |= {
            key
            for place, key in enumerate(stays)
            if key in self.renamed and not closure([key], self.parents).isdisjoint(stays[place + 1 :])
        }
        return [key for key in stays if key in behind]

    def swapped_in(self, unapplied: Collection[Key] = ()) -> Iterator[tuple[Key, Key]]:
        """Yield what stays applied and by now depends, through a setting, on a model that has no table yet."""
        stays = {key for key in self.applied if key not in unapplied}
        for key in self.early(unapplied):
            apps = apps_by_setting(self.files[key])
            yield from ((key, one) for one in self.parents[key] if one[0] in apps and one not in stays)

    @cached_property
    def _children(self) -> dict[Key, list[Key]]:
        return inverted(self.parents)

    def to_apply_again(self, unapplied: Collection[Key]) -> set[Key]:
        """
        Return what has to be unapplied and applied again, besides what is unapplied anyway.

        Args:
            unapplied: what is unapplied for other reasons.
        """
        again: set[Key] = set()
        while more := self._misplaced({*unapplied, *again}):
            again |= more
        return again

    def _misplaced(self, unapplied: Collection[Key]) -> set[Key]:
        """Return which of those that are early is to be blamed for states that are not those of the files."""
        early = self.early(unapplied)
        stays, applies = self._divided(unapplied)
        if not early and not applies:
            return set()
        try:
            as_files_say = self._models(self.files)
        except StateNotBuilt:
            # Django says so when it applies them.
            return set()
        if blamed := self._lacking_for_code(early, stays, applies):
            return blamed
        try:
            models = differing(as_files_say, self._models([*stays, *applies]))
            blamed = self.blamed(early, models)
        except StateNotBuilt as error:
            if error.culprit in stays:
                return {error.culprit}.intersection(early)
            known = closure([error.culprit], self.parents)
            models = models_needed(self.files[error.culprit])
            blamed = self.blamed(early, models) or self.about(set(stays) - known, models)
        enough = (key for key in stays if key in blamed and self._is_right({*unapplied, key}, as_files_say))
        one = next(enough, None) if len(blamed) > 1 else None
        return {one} if one else blamed

    def _lacking_for_code(self, early: list[Key], stays: list[Key], applies: list[Key]) -> set[Key]:
        """Return which of those that are early have taken away what the code of a file names that comes before them."""
        in_order = list(self.files)
        for place, key in enumerate(applies):
            step = self.files[key]
            if not early or not executes_code(step):
                continue
            before = in_order[: in_order.index(key)]
            try:
                meant = self.simulation.after([self.files[one] for one in before])
                actual = self.simulation.after([self.files[one] for one in (*stays, *applies[:place])])
            except StateNotBuilt:
                # It is looked for why.
                return set()
            if blamed := self.about(early, lacking(step, meant, actual)).difference(before):
                return blamed
        return set()

    def _divided(self, unapplied: Collection[Key]) -> tuple[list[Key], list[Key]]:
        """Return what stays applied, in the order in which it was, and what is applied, in that of the graph."""
        stays = [key for key in self.applied if key not in unapplied]
        return stays, [key for key in self.files if key not in stays]

    def _is_right(self, unapplied: Collection[Key], as_files_say: Models) -> bool:
        stays, applies = self._divided(unapplied)
        try:
            return not differing(as_files_say, self._models([*stays, *applies]))
        except StateNotBuilt:
            return False

    def not_commuting(
        self, as_applied: list[Migration], as_unapplied: list[Migration], suspects: Collection[Key]
    ) -> set[Key]:
        """
        Return which of some migrations cannot stay when others are unapplied that were applied before them.

        Args:
            as_applied: all that is applied, in the order in which it was.
            as_unapplied: the same, with what is unapplied at the end.
        """
        if as_applied == as_unapplied:
            return set()
        try:
            as_it_is = self.simulation.after(as_applied).models
        except StateNotBuilt:
            # Nobody knows then.
            return set()
        if blamed := self._lacking_backwards(as_applied, as_unapplied, suspects):
            return blamed
        return self.blamed(suspects, differing(as_it_is, self.simulation.after(as_unapplied).models))

    def _lacking_backwards(
        self, as_applied: list[Migration], as_unapplied: list[Migration], suspects: Collection[Key]
    ) -> set[Key]:
        """Return which of some migrations have taken away what code names that unapplies others."""
        for place, step in enumerate(as_unapplied):
            if key_of(step) in self.files or not executes_code(step, backwards=True):
                continue
            then = as_applied[: as_applied.index(step) + 1]
            try:
                meant, actual = self.simulation.after(then), self.simulation.after(as_unapplied[: place + 1])
            except StateNotBuilt:
                return set()
            if blamed := self.about(suspects, lacking(step, meant, actual, backwards=True)):
                return blamed
        return set()

    def about(self, keys: Iterable[Key], models: Collection[Key]) -> set[Key]:
        """Return those of some migrations that are about models."""
        return {key for key in keys if models_changed([self.files[key]]) & {*models}}

    def blamed(self, keys: Collection[Key], models: Collection[Key]) -> set[Key]:
        """Return which of some migrations have made models differ: none where none does, and all where it is unclear."""
        return (self.about(keys, models) or set(keys)) if models else set()

    def not_as_files_say(self, as_applied: Mapping[Key, Migration]) -> set[Key]:
        """
        Return the applied versions because of which the models are not those of the files in the end.

        Args:
            as_applied: the applied versions of files that were modified since, loaded.
        """
        try:
            as_files_say = self.simulation.after(list(self.files.values())).models
        except StateNotBuilt:
            # Django says so when it applies them.
            return set()
        versions = {**self.files, **as_applied}
        try:
            models = differing(as_files_say, self.simulation.after(list(versions.values())).models)
        except StateNotBuilt:
            return set(as_applied)
        return self.blamed(as_applied, models)

    def _models(self, order: Iterable[Key]) -> Models:
        models: Models = self.simulation.after([self.files[key] for key in order]).models
        return models


def differing(one: Models, other: Models) -> set[Key]:
    """Return the models that are not the same to a database in two states."""
    return {
        key
        for key in {*one, *other}
        if key not in one or key not in other or _in_database(one, key) != _in_database(other, key)
    }


def _in_database(models: Models, key: Key) -> list[Any]:
    """Return what a database knows of a model, to be compared."""
    state = models[key]
    options = state.options
    by_name = {
        index.name: index.deconstruct()
        for index in (*options.get("indexes", ()), *options.get("constraints", ()))
    }
    return [
        table_of(models, key),
        [options.get(name) for name in _OPTIONS],
        [{tuple(names) for names in options.get(name) or ()} for name in _TOGETHER],
        by_name,
        {name: _column(field) for name, field in state.fields.items()},
        [base.lower() if isinstance(base, str) else base for base in state.bases],
    ]


def _column(field: Field[Any, Any]) -> Any:
    _, path, args, kwargs = field.deconstruct()
    unknown = (compat.attributes_without_column(field) - {"db_column"}) | _NOT_IN_DATABASE
    return path, args, {name: value for name, value in kwargs.items() if name not in unknown}
