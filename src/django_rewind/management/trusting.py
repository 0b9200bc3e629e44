"""Ask somebody whether what is stored can be trusted, and go on from there."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections

from django_rewind.actions.trust import Doubt, Trust
from django_rewind.exceptions import UNCHANGED, NotRecoverable
from django_rewind.management.asking import PromptCancelled, agrees
from django_rewind.management.rewind_options import only_shows
from django_rewind.management.trust_text import lines_of_doubt, plainly
from django_rewind.utils.types import label, names_of

__all__ = ["asking_for_trust", "sign"]


def sign(command: Any, trust: Trust) -> None:
    """
    Show what none of our keys has signed, and sign what somebody agrees to.

    What verifies with an older key of the list is signed with the first without a
    question: nothing new is trusted.

    Raises:
        CommandError: there was nobody to ask, or something stays as it is.
    """
    open_ones = [doubt for doubt in trust.doubts if not doubt.reason]
    agreed = [doubt for doubt in open_ones if _agrees(command, doubt)]
    renewed = trust.of_older_keys
    trust.sign(agreed, renewed)
    for doubt in agreed:
        command.stdout.write(f"{_name(doubt)} is signed.")
    for row in renewed:
        command.stdout.write(f"{plainly(label(row.key))} is signed with the first key.")
    if not trust.doubts and not renewed:
        command.stdout.write("There is nothing to sign: all of it is signed with the first key.")
    _say_what_stays(trust, [doubt for doubt in open_ones if doubt not in agreed], agreed or renewed)


def _say_what_stays(trust: Trust, declined: list[Doubt], signed: Any) -> None:
    lines = [
        f"{_name(doubt)} is never signed: {plainly(doubt.reason.rstrip('.'))}.\n{plainly(doubt.way_out)}"
        for doubt in trust.doubts
        if doubt.reason
    ]
    if declined:
        lines.append(f"Not signed: {plainly(names_of(doubt.key for doubt in declined))}.")
    if lines:
        raise CommandError("\n".join([*lines, *([] if signed else [UNCHANGED])]))


def _agrees(command: Any, doubt: Doubt) -> bool:
    for line in lines_of_doubt(doubt):
        command.stdout.write(line)
    command.stdout.flush()
    return agrees(
        "Sign it?",
        f"There is nobody to ask whether {_name(doubt)} can be trusted: run it at a terminal.",
    )


def _name(doubt: Doubt) -> str:
    return plainly(label(doubt.key))


def asking_for_trust(handle: Callable[..., None]) -> Callable[..., None]:
    """
    Have a command ask, on a development machine, where it is refused for want of trust.

    It begins again after a yes: nothing has been changed when it is refused.
    """

    @wraps(handle)
    def handle_and_ask(command: Any, *args: Any, **options: Any) -> None:
        try:
            return handle(command, *args, **options)
        except NotRecoverable as error:
            if not _may_ask(options) or not _is_trusted_now(command, error, options["database"]):
                raise
        return handle_and_ask(command, *args, **options)

    return handle_and_ask


def _may_ask(options: dict[str, Any]) -> bool:
    quiet = options["sql"] or options["format"] == "json" or only_shows(options)
    return settings.DEBUG and options["interactive"] and not quiet


def _is_trusted_now(command: Any, error: NotRecoverable, alias: str) -> bool:
    """Say whether somebody has agreed to what the error is about."""
    trust = Trust(connections[alias], error.key[0])
    doubts = [doubt for doubt in trust.doubts if doubt.key == error.key and not doubt.reason]
    if not doubts:
        return False
    try:
        agreed = [doubt for doubt in doubts if _agrees(command, doubt)]
    except PromptCancelled:
        raise
    except CommandError:
        # Nobody there: the refusal says what can be done.
        return False
    trust.sign(agreed)
    for doubt in agreed:
        command.stdout.write(f"{_name(doubt)} is signed.")
    return bool(agreed)
