"""What a rewind would do, in the words that are shown before it asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from django.apps import apps

from django_rewind.engine.plan import Plan, PlanStep
from django_rewind.utils.types import Key, label, names_of

_ORIGINS = {"stored": "from stored code", "file": "from its file"}

# A line, and the name of the style in which Django shows the like.
_Line = tuple[str, str]


def lines(plan: Plan) -> Iterator[_Line]:
    """Yield the lines that show a rewind."""
    if plan.renamed or plan.migrations or not plan.applies:
        kept = " (records are deleted, the schema stays)" if plan.fake else ""
        yield f"Planned operations{kept}:", "MIGRATE_LABEL"
    if not plan:
        yield "  Nothing to rewind.", ""
    for line in lines_of_renames(plan.renamed):
        yield f"  {line}", ""
    for step in plan.steps:
        yield from _lines_of_step(step, fake=plan.fake)
    if plan.applies:
        when = "Then applied" if plan.renamed or plan.migrations else "Applied"
        yield f"{when} from their files:", "MIGRATE_LABEL"
    for key in plan.applies:
        yield f"  {label(key)}", ""
    for remark in remarks(plan):
        yield f"  {remark}", ""


def _lines_of_step(step: PlanStep, *, fake: bool) -> Iterator[_Line]:
    where = "only marked as unapplied" if fake else _ORIGINS[step.origin]
    if step.commit and not fake:
        where += f", found in Git in commit {step.commit[:10]}"
    yield f"{label(step.key)} ({where})", "MIGRATE_HEADING"
    for text, is_error in [] if fake else step.description:
        yield f"    {text}", "WARNING" if is_error else ""
    for lost in step.losses:
        what = "May change values in" if lost.is_change else "Loses"
        yield f"    {what} {lost.thing}: {lost.amount}", "WARNING"


def remarks(plan: Plan) -> Iterator[str]:
    """Yield what is to be known besides the steps."""
    if plan.not_reapplied:
        yield f"Not applied again, since there is no file: {names_of(plan.not_reapplied)}"
    for key, why in plan.skipped:
        yield f"Skipped: {label(key)} ({why})"
    for key in plan.modified:
        yield f"Skipped: {label(key)} (modified since it was applied; 'manage.py rewind --redo {key[0]} {key[1]}' applies the file)"
    installed = {config.label for config in apps.get_app_configs()}
    stale = sorted({key[0] for key in plan.unapplied if key[0] not in installed})
    if stale:
        yield f"Not installed here: {', '.join(stale)}. If another project uses this database, these are its tables"
    opaque = [step.key for step in plan.steps if step.is_opaque]
    if opaque and not plan.fake:
        yield f"Not counted: what RunPython, RunSQL or operations of other packages do to data in {names_of(opaque)}"


def lines_of_renames(renamed: Mapping[Key, Key]) -> Iterator[str]:
    """Yield the lines that show which missing migrations are on disk under another name."""
    for old, new in renamed.items():
        yield f"{label(old)} is on disk as {label(new)}, which does the same"


def question(plan: Plan, alias: str) -> str:
    """Return what a person has to agree to."""
    renames, steps, files = (
        _count(len(keys), "migration") for keys in (plan.renamed, plan.migrations, plan.applies)
    )
    if plan.fake:
        return f"Mark {steps} as unapplied on '{alias}' and keep the schema?"
    dropped = [lost for lost in plan.losses if not lost.is_change]
    columns = sum(lost.column is not None for lost in dropped)
    counts = [(columns, "column"), (len(dropped) - columns, "table")]
    lost = [_count(number, thing) for number, thing in counts if number]
    changed = len({(lost.table, lost.column) for lost in plan.losses if lost.is_change})
    asked = [
        *([f"rename {renames}"] if plan.renamed else []),
        *([f"roll back {steps}"] if plan.migrations else []),
        *([f"delete data in {' and '.join(lost)}"] if lost else []),
        *([f"change values in {_count(changed, 'column')}"] if changed else []),
        *([f"apply {files}"] if plan.applies else []),
    ]
    asked[0] = f"{asked[0][0].upper()}{asked[0][1:]} on '{alias}'"
    if plan.applies:
        asked[-1] += " from the files"
    return f"{', '.join(asked[:-1])}{' and ' if asked[1:] else ''}{asked[-1]}?"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
