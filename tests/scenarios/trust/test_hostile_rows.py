"""Bad input in our own tables, in real processes: errors by name, and the other migrations as ever."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.support import hostile
from tests.support.helpers import Project

pytestmark = [pytest.mark.alone, pytest.mark.deep, pytest.mark.once]

SHOWING = [
    ("show_stored_migrations",),
    ("show_stored_migrations", "--format", "json"),
    ("migrate", "--plan"),
    ("migrate", "shop", "0001", "--plan"),
    ("rewind", "--plan"),
    ("rewind", "shop", "0001", "--plan"),
    ("check", "--database", "default"),
    ("restore_migrations", "--dry-run"),
    ("backfill_migration_code", "--dry-run"),
    ("backfill_migration_code", "--from-git", "--dry-run"),
]
WORKING = [
    ("migrate",),
    ("verify_migrations", "--diff"),
    ("verify_migrations", "--format", "json"),
    ("restore_migrations", "--output", "restored/here"),
    ("show_stored_migrations",),
]

#: Puts rows in: [app, name, text, {column: value}, whether it is signed].
PUT = """
import json, sys
from django.db import IntegrityError, transaction
from django.db.migrations.recorder import MigrationRecorder
from django_rewind.sources import signing
from django_rewind.models import MigrationCode
from django_rewind.sources.stored import payload
from django_rewind.sources.stored import binding_of
good = MigrationCode.objects.get(migration_name="0002_price")
for app, name, text, columns, is_signed in json.load(open("rows.json")):
    record = MigrationRecorder.Migration.objects.create(app=app, name=name)
    row = MigrationCode(app_label=app, migration_name=name, source_code=text, provenance="git",
        module=f"{app}.migrations.{name}", metadata=good.metadata, record_id=record.pk,
        signature="x" * 64, key_fingerprint=good.key_fingerprint, signed_for=good.signed_for)
    row.digest = signing.digest(text)
    for column, value in columns.items():
        setattr(row, column, value)
    if is_signed:
        row.signature, row.key_fingerprint = signing.sign(payload(row.signed_for, (app, name), module=row.module,
            metadata=row.metadata, source_digest=row.digest, origin=row.provenance, serial=row.serial))
        row.proof = binding_of(row.signed_for, (app, name), row.signature, row.key_fingerprint, record.pk)
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        # To MariaDB it is the name of another, in other letters.
        record.delete()
"""


def put(project: Project, *rows: list) -> None:
    project.write("rows.json", json.dumps(rows))
    done = project.run(PUT)
    assert done.returncode == 0, str(done)


def metadata_of(project: Project) -> str:
    ((text,),) = project.rows(
        "SELECT metadata FROM django_migrations_code WHERE migration_name = '0002_price'"
    )
    return str(text)


def every_command_takes_it(project: Project, *, signed: bool) -> None:
    """No command crashes, sends control characters or takes long; the neighbour is undone as ever."""
    for command in (*SHOWING, *WORKING):
        began = time.monotonic()
        result = project.attempt(*command)
        assert "Traceback" not in result.output, str(result)
        assert not re.search(hostile.CONTROL, result.output), repr(str(result))
        assert result.returncode in (0, 1), str(result)
        assert time.monotonic() - began < 60, str(result)
        assert (signed and command in WORKING) or not (project.path / "executed").exists(), str(result)
    assert not list(project.path.glob("*escaped*"))
    result = project.manage("rewind", "depot", "0001", "--noinput")
    assert "shelf" not in project.columns("depot_room")
    assert not re.search(hostile.CONTROL, result.output)


def nothing_is_left_behind(project: Project) -> None:
    """What is asked to go over them is refused by name or done, never half."""
    for command in (("migrate", "shop", "0001"), ("rewind", "--noinput")):
        result = project.attempt(*command)
        assert "Traceback" not in result.output, str(result)
        assert not re.search(hostile.CONTROL, result.output), repr(str(result))


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_hostile_texts(two, signed):
    """Texts that are no migrations, that are bombs, and that print what moves a cursor."""
    chosen = ["no python", "class of somebody's", "escapes", "operations are none", "error", "interrupt", "bom",
              "odd dependencies", "default brackets", "default unary", "default comparisons", "sql hexadecimal"]  # fmt: skip
    texts = {name: hostile.TEXTS[name] for name in chosen}
    texts["mark"] = hostile.MARK + hostile.migration()
    put(two, *(["shop", f"1{n:03}_text", text, {}, signed] for n, text in enumerate(texts.values())))

    every_command_takes_it(two, signed=signed)
    nothing_is_left_behind(two)
    assert signed or not (two.path / "executed").exists()


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_hostile_metadata(two, signed):
    """Metadata of another shape, in cycles, on what does not exist, and of any size."""
    good = metadata_of(two)
    variants = list(hostile.variants(good).items())[:: 1 if signed else 5]
    # No part of it takes the place of the neighbour.
    rows = [(name, text) for name, text in variants if "depot" not in text and '0001_initial"]]' not in text]
    rows = [(name, text) for name, text in rows if "\0" not in text and "run_before" not in name]
    chosen = [text for name, text in rows if "nested" not in name and "digits" not in name][::4]
    chosen += [text for name, text in rows if name in ("nested lists", "effects nested", "needs digits")]
    put(two, *(["shop", f"1{n:03}_meta", "#", {"metadata": text}, signed] for n, text in enumerate(chosen)))

    every_command_takes_it(two, signed=signed)
    nothing_is_left_behind(two)


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_hostile_names(two, signed):
    """Names with dots, slashes, quotes, control characters, and as long as a column."""
    text = hostile.MARK + hostile.migration()
    put(two, *(["shop", name, text, {"module": path[:255]}, signed] for name, path in
               zip(hostile.NAMES, [one for one in hostile.PATHS * 3 if one and "\0" not in one and one.isprintable()])))  # fmt: skip

    every_command_takes_it(two, signed=signed)
    nothing_is_left_behind(two)
    result = two.attempt("show_stored_migrations", "--source", "shop", "0002.price")
    assert "Traceback" not in result.output, str(result)


def test_gigantic_rows(two):
    """Rows of many megabytes are refused, and are no load for what does not need them."""
    big = 12_000_000
    put(
        two,
        ["shop", "1001_text", "#" * big, {}, True],
        ["shop", "1002_metadata", "#", {"metadata": "[" * big}, True],
        ["shop", "1003_unsigned", "x=1\n" * (big // 4), {"metadata": "9" * big}, False],
    )

    every_command_takes_it(two, signed=True)


def test_what_only_sqlite_takes(two):
    """Bytes that are no text, text that is no number, and times that never were."""
    if two.db().vendor != "sqlite":
        pytest.skip("other databases refuse it")
    code = "django_migrations_code"
    values = {"source_code": "x'ff00fe'", "metadata": "x'ff'", "module": "CAST(x'fffe' AS TEXT)", "record_id": "'many'",
              "digest": "5", "stored_at": "'2020-13-45 99:99:99'", "provenance": "CAST(x'1b5b33316d' AS TEXT)"}  # fmt: skip
    put(two, *(["shop", f"1{n:03}_{column}", "#", {}, True] for n, column in enumerate(values)))
    for n, (column, value) in enumerate(values.items()):
        two.execute(f"UPDATE {code} SET {column} = {value} WHERE migration_name = '1{n:03}_{column}'")
    two.execute("UPDATE django_migrations_code_content SET content = 5")

    every_command_takes_it(two, signed=False)
    nothing_is_left_behind(two)


def test_verifications_baselines_and_events(two):
    """Nonsense in the other tables is shown without control characters, or not at all."""
    two.manage("verify_migrations")
    two.execute(
        "UPDATE django_migrations_code_verification SET problem = %s, differs = %s",
        "\x1b[31m" * 50,
        "\x1b,\x07",
    )
    two.execute("UPDATE django_migrations_code SET record_id = -5 WHERE migration_name = '0002_price'")
    if two.db().vendor == "sqlite":
        two.execute("UPDATE django_migrations_code_verification SET verified_at = '2020-13-45 99:99:99'")

    every_command_takes_it(two, signed=False)
    nothing_is_left_behind(two)
    two.execute(
        "UPDATE django_migrations_code_ledger SET detail = %s, host = %s, branch = %s",
        *["\x1b[31m\u202e"] * 3,
    )
    if two.db().vendor == "sqlite":
        two.execute(
            "UPDATE django_migrations_code_ledger SET at = '2020-13-45 99:99:99', serial = 'x', seconds = 'y'"
        )
    for command in (
        ("--history", "shop", "0002_price"),
        ("--history", "shop", "0002_price", "--format", "json"),
    ):
        result = two.attempt("show_stored_migrations", *command)
        assert "Traceback" not in result.output, str(result)
        assert not re.search(hostile.CONTROL, result.output), repr(str(result))


def test_nonsense_that_a_file_replaces(two):
    """A row with nonsense in a column for numbers makes room for the file of its migration."""
    if two.db().vendor != "sqlite":
        pytest.skip("other databases refuse it")
    two.execute(
        "UPDATE django_migrations_code SET record_id = 'many', source_code = x'ff', digest = 'x' WHERE app_label = 'depot' AND "
        "migration_name = '0001_initial'"
    )

    two.manage("backfill_migration_code", "depot")

    assert "Room" in two.stored()["depot.0001_initial"]


def test_source_on_a_terminal_and_in_a_pipe(two):
    """On a terminal the control characters of a stored source are escaped; in a pipe it is as it is stored."""
    text = hostile.TEXTS["escapes"]
    put(two, ["shop", "1001_text", text, {}, True])

    assert two.manage("show_stored_migrations", "--source", "shop", "1001_text").stdout == text
    shown = two.run(
        """
        import io
        from django.core.management import call_command
        class Terminal(io.StringIO):
            def isatty(self):
                return True
        out = Terminal()
        call_command("show_stored_migrations", "--source", "shop", "1001_text", stdout=out, no_color=True)
        print(ascii(out.getvalue()))
        """
    ).stdout
    assert not re.search(hostile.CONTROL, eval(shown))
    assert "\\x1b]0;title" in eval(shown)
