"""The arrows between our packages point in one direction: down the table in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import django_rewind
from django_rewind.schema import operations

PACKAGE = Path(django_rewind.__file__).parent
TABLE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = sorted(PACKAGE.rglob("*.py"))

#: What Django finds by its name, and what is imported by nobody else.
BY_CONVENTION = {"__init__", "migrations"}


def levels() -> dict[str, int]:
    """Return the level of each package and module at the root, as the table says."""
    found = re.findall(r"^\| (\d) \| (`.*?`) \| ", TABLE, flags=re.MULTILINE)
    return {name: int(level) for level, names in found for name in re.findall(r"`(\w+)`", names)}


LEVELS = levels()


def place_of(path: Path) -> str:
    """Return the package or the module at the root that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported_by(path: Path) -> Iterator[str]:
    """Yield what of ours a module imports, also within functions, but not for its types alone."""
    here = ("django_rewind", *path.relative_to(PACKAGE).parts[:-1])
    for_types = {id(node) for test in nodes_of(path) if _is_for_types(test) for node in ast.walk(test)}
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            base = here[: len(here) - node.level + 1] if node.level else ()
            names = [*base, *filter(None, (node.module or "").split("."))]
            if names[:1] == ["django_rewind"]:
                yield from [names[1]] if names[1:] else [alias.name for alias in node.names]


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_every_package_has_its_level():
    """Once, and nothing else has one."""
    assert sorted(LEVELS) == sorted({place_of(path) for path in MODULES} - BY_CONVENTION)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if place_of(path) not in BY_CONVENTION],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_imports_point_down(path):
    """A module imports what is in its own package, or at a lower level."""
    here = place_of(path)
    upwards = [name for name in imported_by(path) if name != here and LEVELS[name] >= LEVELS[here]]
    assert upwards == []


# What only one package may do ------------------------------------------------------


def nodes_outside(*packages: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield the syntax of every module that is in none of these packages, with the module's name."""
    for path in MODULES:
        if place_of(path) not in packages:
            for node in nodes_of(path):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_only_backends_ask_for_a_vendor():
    """And for what Django's features say of changes to the schema."""
    asking = {
        name
        for name, node in nodes_outside("backends")
        if isinstance(node, ast.Attribute) and node.attr in ("vendor", "can_rollback_ddl", "mysql_is_mariadb")
    }
    assert asking == set()


def test_only_one_module_asks_for_the_class_of_an_operation():
    """Where an attribute, an import or a text has the name of one."""
    classes = set(operations._ROWS) - {"Operation"}
    asking = {
        name
        for name, node in nodes_outside("migrations")
        for part in ("attr", "name", "value")
        if isinstance(getattr(node, part, None), str) and getattr(node, part) in classes
    }
    assert asking == {"schema/operations.py"}


#: Private names that Django's documentation tells of, and those of Python's own classes.
DOCUMENTED = {"_base_manager", "_default_manager", "_meta", "_actions", "_fields", "_replace"}


def test_only_compat_touches_private_parts():
    """A private name that we use elsewhere is one that we have given."""
    given, used = set(), set()
    for name, node in nodes_outside("utils"):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            given.add(node.name)
        elif isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Store):
            given.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            used.add((name, node.attr))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            used |= {(name, text) for text in re.findall(r"'(_[a-z]\w+)'", ast.unparse(node.args[1]))}
    assert {(name, used) for name, used in used if used not in given | DOCUMENTED} == set()


def test_only_utils_look_into_frames():
    """Where Django hands a fact to nobody, it is read from the functions that are running."""
    looking = {
        name
        for name, node in nodes_outside("utils")
        if isinstance(node, ast.Attribute)
        and node.attr in ("_getframe", "currentframe", "f_back", "f_locals")
    }
    assert looking == set()


def test_only_the_engine_knows_the_executor():
    """Others are handed one that has the hooks."""
    knowing = {
        name
        for name, node in nodes_outside("engine")
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("django.db.migrations")
        and {"executor", "MigrationExecutor"} & {alias.name for alias in node.names}
    }
    assert knowing == set()


#: What Django itself needs of the models outside of storage: a page for the rows, and their pre_save.
REGISTERING = {"admin/__init__.py", "apps.py"}


def test_only_storage_touches_the_tables():
    """No manager and no row of a model is in the hands of anybody else."""
    managers = {"objects", "_base_manager", "_default_manager", "_rows", "_manager", "not_dumped"}
    touching = {
        name
        for name, node in nodes_outside("storage", "models", "migrations")
        if (isinstance(node, ast.Attribute) and node.attr in managers)
        or (isinstance(node, ast.ImportFrom) and "Tables" in {alias.name for alias in node.names})
    }
    assert touching - REGISTERING == set()


@cache
def modules_imported_by(path: Path) -> list[Path]:
    """Return the files of ours that a module imports, also within functions, but not for its types alone."""
    return list(_modules_imported_by(path))


def _modules_imported_by(path: Path) -> Iterator[Path]:
    for_types = {id(node) for test in nodes_of(path) if _is_for_types(test) for node in ast.walk(test)}
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and id(node) not in for_types:
            package = path.parents[node.level - 1] if node.level else PACKAGE.parent
            base = package.joinpath(*(node.module or "").split("."))
            for name in (base, *(base / alias.name for alias in node.names)):
                yield from filter(Path.is_file, (name.with_suffix(".py"), name / "__init__.py"))


def test_no_modules_import_one_another():
    """However many modules lie between; a circle has no ground to begin to read on."""
    imports = {path: {found for found in modules_imported_by(path) if found != path} for path in MODULES}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(path.relative_to(PACKAGE).as_posix() for path in error.args[1]))


def test_a_web_process_executes_nothing_stored():
    """Neither admin nor checks reach what executes stored code, however many modules lie between."""
    before: dict[Path, Path | None] = {
        path: None for path in MODULES if place_of(path) in ("admin", "checks")
    }
    waiting = list(before)
    while waiting:
        path = waiting.pop()
        for imported in modules_imported_by(path):
            if imported in MODULES and imported not in before:
                before[imported] = path
                waiting.append(imported)
    modules = ("recovered.py", "as_applied.py", "bundle/importer.py")
    executing = [PACKAGE / "sources" / name for name in modules]
    assert {path.name: before[path] for path in executing if path in before} == {}


#: Who has something signed, bound or stored (what is stored is signed), and which file, read in this run, or which
#: person vouches for it. Nothing is signed because it stands in the database.
SIGNERS = {
    # Where it is made. These take what their callers answer for.
    "sources.signing.sign: _sign": "its callers",
    "sources.signing.sign_fact: _sign": "its callers",
    "sources.signing.sign_identity: _sign": "its callers",
    "storage.identity.IdentifiedTables.sign_fact: signing.sign_fact": "its callers",
    "sources.stored.binding_of: signing.sign_binding": "its callers",
    "storage.store._row: signing.sign": "put: what is in memory of a NewSource",
    "storage.store._row: binding_of": "put: what is in memory of a NewSource",
    "storage.store.Store.put_each: self.put": "its callers",
    "storage.store.Store.put_each: self.put_each": "its callers",
    "storage.store.Store.sign: signing.sign": "its callers: the row as it was read and shown, if it is still so",
    "storage.store.Store.sign: binding_of": "its callers",
    "storage.store.Store.bind: binding_of": "its callers: a revision in memory, if the row is still that one",
    # Files that this run has read.
    "engine.capture._store: store.put_each": "the files of the migrations; Packing reads them",
    "engine.recorder.RewindRecorder.record_applied: Store(self.connection).bind": "what this run has captured",
    # What this process has made, done or seen itself.
    "storage.identity.Identities._made: signing.sign_identity": "this process, which has made it of random bytes",
    "storage.identity.Identities.renew: signing.sign_identity": "the earlier signature, verified in memory",
    "storage.audit_log.AuditLog._parameters: self.sign_fact": "this process, of what it has done itself",
    "storage.facts.Verifications.note: self.sign_fact": "this process, of what it has found out itself",
    "storage.facts.MissingBeforeInstall.signature: self.sign_fact": (
        "0008, which has seen that there is no file; the person who runs --acknowledge; the earlier signature"
    ),
    # Persons who were shown all of it, or have named it.
    "actions.backfill.Backfill.store: self._store.put_each": "a file, or what was found in Git and agreed to",
    "actions.trust.Trust.sign: self._sign": "the person whom --sign has shown it; of older keys, the earlier signature",
    "actions.trust.Trust._sign: self.store.sign": "as above",
    "actions.verify._record: store.bind": "the person who names it, and the earlier signature, verified in memory",
    "management.trust._sign: trust.sign": "the person who has said yes",
    "management.trust.sign: _sign": "the person who has said yes",
    "management.trust._is_trusted_now: _sign": "the person who has said yes",
    "management.commands.verify_migrations.Command._sign: sign": "the person who has said yes",
    "management.commands.verify_migrations.Command.handle: self._sign": "the person who runs --sign",
    # Other names of what a verified row depends on: the person who runs --adopt, and the earlier signature.
    "storage.store.Store.redirect: self.sign": "the person who runs --adopt; it verified, and only names change",
    # Compared, and not written.
    "actions.trust.Trust.of_older_keys: signing.sign": "nobody: it tells which key has signed a row that verifies",
}
_SIGNS = re.compile(r"_?sign(_\w+)?|binding_of|bind|put(_each)?")
#: Calls of these names that are about something else: signs in the admin, arguments, names of the executor.
_NO_SIGNERS = re.compile(r"admin\.|engine\.hooks\.|.*: (bind|signature\(.*\)\.bind)$")


def test_nothing_is_signed_that_nobody_vouches_for():
    """Whoever has something signed, bound or stored stands in the list, with an answer."""
    calls = {call for path in MODULES for call in _calls_that_sign(path)}
    assert calls == {*SIGNERS}


def _calls_that_sign(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    stack: list[tuple[ast.AST, str]] = [(tree, module)]
    while stack:
        node, within = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            within = f"{within}.{node.name}"
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            called = ast.unparse(node.func)
            if _SIGNS.fullmatch(name) and not _NO_SIGNERS.match(f"{within}: {called}"):
                yield f"{within}: {called}"
        stack += [(child, within) for child in ast.iter_child_nodes(node)]


def test_only_one_module_makes_signatures():
    """Of all that Python has for it, only there."""
    makes = {
        name
        for name, node in nodes_outside()
        if isinstance(node, (ast.Name, ast.Attribute))
        and (node.id if isinstance(node, ast.Name) else node.attr)
        in ("salted_hmac", "hmac", "Signer", "dumps_signed")
    }
    assert makes == {"sources/signing.py"}
