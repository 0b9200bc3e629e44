"""What a rewind would do, in the words that are shown before it asks."""

from __future__ import annotations

from collections.abc import Iterator

from django_rewind.actions.adopt import Adoptions
from django_rewind.engine.plan import Plan, PlanStep
from django_rewind.utils.types import label, names_of

_ORIGINS = {"stored": "from stored code", "file": "from its file"}

# A line, and the name of the style in which Django shows the like.
_Line = tuple[str, str]


def lines(plan: Plan) -> Iterator[_Line]:
    """Yield the lines that show a rewind."""
    if plan.migrations or not plan.applies:
        kept = " (records are deleted, the schema stays)" if plan.fake else ""
        yield f"Planned operations{kept}:", "MIGRATE_LABEL"
    if not plan:
        yield "  Nothing to rewind.", ""
    for step in plan.steps:
        yield from _lines_of_step(step, fake=plan.fake)
    if plan.applies:
        when = "Then applied" if plan.migrations else "Undone already, and applied now"
        yield f"{when} from their files:", "MIGRATE_LABEL"
    for key in plan.applies:
        yield f"  {label(key)}", ""
    for remark in remarks(plan):
        yield f"  {remark}", ""


def _lines_of_step(step: PlanStep, *, fake: bool) -> Iterator[_Line]:
    where = "only marked as unapplied" if fake else _ORIGINS[step.origin]
    yield f"{label(step.key)} ({where})", "MIGRATE_HEADING"
    for text, is_error in [] if fake else step.description:
        yield f"    {text}", "WARNING" if is_error else ""
    for lost in step.losses:
        yield f"    Loses {lost.thing}: {lost.amount}", "WARNING"


def remarks(plan: Plan) -> Iterator[str]:
    """Yield what is to be known besides the steps."""
    if plan.not_reapplied:
        yield f"Not applied again, since there is no file: {names_of(plan.not_reapplied)}"
    for key, why in plan.skipped:
        yield f"Skipped: {label(key)} ({why})"
    for key in plan.modified:
        yield f"Skipped: {label(key)} (modified since it was applied; 'manage.py rewind --redo {key[0]} {key[1]}' applies the file)"
    opaque = [step.key for step in plan.steps if step.is_opaque]
    if opaque and not plan.fake:
        yield f"Not counted: what RunPython, RunSQL or operations of other packages do to data in {names_of(opaque)}"


def lines_of_adoption(adoptions: Adoptions) -> Iterator[str]:
    """Yield the lines that show what can be adopted, and what has to wait for what."""
    waiting = adoptions.waiting()
    for old, new in adoptions.pairs.items():
        if new in waiting:
            first = names_of(waiting[new])
            yield f"{label(old)} is on disk as {label(new)}, which depends on {first}, not applied yet"
        else:
            yield f"{label(old)} is on disk as {label(new)}, which does the same"


def question(plan: Plan, alias: str) -> str:
    """Return what a person has to agree to."""
    steps, files = (_count(len(keys), "migration") for keys in (plan.migrations, plan.applies))
    if plan.fake:
        return f"Mark {steps} as unapplied on '{alias}' and keep the schema?"
    if not plan.migrations:
        return f"Apply {files} on '{alias}' from the files?"
    asked = [f"Roll back {steps} on '{alias}'"]
    columns = sum(lost.column is not None for lost in plan.losses)
    counts = [(columns, "column"), (len(plan.losses) - columns, "table")]
    lost = [_count(number, thing) for number, thing in counts if number]
    if lost:
        asked.append(f"delete data in {' and '.join(lost)}")
    if plan.applies:
        asked.append(f"apply {files} from the files")
    return f"{', '.join(asked[:-1])}{' and ' if asked[1:] else ''}{asked[-1]}?"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
