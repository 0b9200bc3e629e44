from __future__ import annotations

import sys
from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate, pre_save
from django.utils.translation import gettext_lazy as _

from . import conf


class RewindConfig(AppConfig):
    name = "django_rewind"
    verbose_name = _("Migration sources")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401 (registers the checks)
        from .storage import loaddata

        for model in self.get_models():
            # With the sender: other models' saves are none of our business.
            pre_save.connect(loaddata.keep_stored_row, sender=model)
        post_migrate.connect(reconcile_after_migrate, sender=self, dispatch_uid="django_rewind.reconcile")
        pre_migrate.connect(forget_earlier_runs, sender=self, dispatch_uid="django_rewind.forget")
        setting_changed.connect(follow_setting, dispatch_uid="django_rewind.follow_setting")
        follow_setting(setting="DJANGO_REWIND_ENABLED")


def follow_setting(*, setting: str, **kwargs: Any) -> None:
    """Hook into Django, or leave it as Django ships it, as the setting says."""
    if setting != "DJANGO_REWIND_ENABLED":
        return
    from .engine import hooks

    if conf.enabled():
        hooks.install()
    else:
        hooks.uninstall()


def forget_earlier_runs(*, sender: Any, using: str, **kwargs: Any) -> None:
    """An executor that was driven from code has left what it knew, and nobody took it."""
    if not _is_ours(sender):
        return
    from .engine.handover import forget_outcome

    forget_outcome(connections[using])
    if conf.locks_migrate() and conf.in_force():
        from .engine import lock

        lock.announce(using, kwargs.get("plan"))


def reconcile_after_migrate(*, sender: Any, using: str, **kwargs: Any) -> None:
    """Fill in what is applied and unstored. Without a plan it was `flush` that called."""
    if _is_ours(sender) and conf.in_force() and "plan" in kwargs:
        from .engine.reconcile import reconcile

        # What cannot be stored was said when it was applied; once is enough.
        warn = _to_stderr if kwargs["plan"] or kwargs.get("verbosity", 1) >= 2 else _to_nowhere
        reconcile(connections[using], warn=warn, ask=_to_stderr)


def _is_ours(sender: Any) -> bool:
    """
    Say whether the sender is our config.

    Signals know it by its address in memory. A test that installs apps makes all configs
    anew, and another may come to lie where ours was.
    """
    return isinstance(sender, RewindConfig)


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"Warning: {line}\n")


def _to_nowhere(line: str) -> None:
    pass
