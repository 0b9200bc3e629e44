"""
Random projects, with a feature branch that is applied and then rebased in some way or other.

A `History` is two checkouts: the one whose migrations are applied, and the one that is deployed next. Operations
are text, as in files. Only such are taken that Django's project state can render; whether Django can migrate
with them is found out by `tests.support.rebases`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from django.db import migrations, models
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter

from tests.support.helpers import MIGRATION

Key = tuple[str, str]

APPS = ["pa", "pb", "pc"]
MODELS = ["Ant", "Bee", "Cat", "Dog"]
FIELDS = ["a", "b", "c", "d", "e", "f"]
SLUGS = ["price", "note", "stock", "flag", "size", "tidy"]
ID = "('id', models.AutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID'))"

PYTHON = """
def {name}(apps, editor):
    model = apps.get_model({app!r}, {model!r})
    model.objects.using(editor.connection.alias).{call}
"""


@dataclass(frozen=True)
class Op:
    """One operation; the same number in two checkouts is the same operation."""

    number: int
    text: str
    header: str = ""

    def load(self) -> migrations.operations.base.Operation:
        names: dict[str, object] = {"migrations": migrations, "models": models}
        exec(self.header, names)
        return eval(self.text, names)


@dataclass(frozen=True)
class Step:
    """One migration."""

    app: str
    number: int
    slug: str
    ops: tuple[Op, ...]
    after: tuple[Key, ...] = ()
    replaces: tuple[Key, ...] = ()

    @property
    def key(self) -> Key:
        return self.app, f"{self.number:04}_{self.slug}"

    def text(self) -> str:
        attributes = [f"    dependencies = {list(self.after)!r}"]
        if self.replaces:
            attributes.append(f"    replaces = {list(self.replaces)!r}")
        return MIGRATION.format(
            header="".join(op.header for op in self.ops),
            attributes="\n".join(attributes),
            operations="\n".join(f"        {op.text}," for op in self.ops),
        )

    def __str__(self) -> str:
        after = ", ".join(".".join(key) for key in self.after)
        lines = [f"{'.'.join(self.key)} after [{after}]"]
        if self.replaces:
            lines[0] += f" replaces {['.'.join(key) for key in self.replaces]}"
        for op in self.ops:
            lines.append(f"    {op.text}")
            lines += [f"      | {line}" for line in op.header.strip().splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class History:
    """What is applied, what it was built on, and what is deployed next."""

    apps: tuple[str, ...]
    base: tuple[Step, ...]
    feature: tuple[Step, ...]
    rebased: tuple[Step, ...]
    has_rows: bool = True

    @property
    def old(self) -> tuple[Step, ...]:
        return self.base + self.feature

    def text(self) -> str:
        parts = [("base", self.base), ("applied on top", self.feature), ("deployed now", self.rebased)]
        lines = [f"rows: {'yes' if self.has_rows else 'no'}"]
        for name, steps in parts:
            lines.append(f"--- {name}")
            lines += [str(step) for step in steps if name != "deployed now" or step not in self.base]
        return "\n".join(lines)


class Unfit(Exception):
    """An operation does not fit the state, or nothing was found that does."""


class Branch:
    """Migrations one after another, with the state that they lead to."""

    def __init__(self, steps: tuple[Step, ...] = (), state: ProjectState | None = None) -> None:
        self.steps = list(steps)
        self.state = state or ProjectState()

    def copy(self) -> Branch:
        return Branch(tuple(self.steps), self.state.clone())

    def takes(self, app: str, op: Op) -> ProjectState:
        """
        Return the state after an operation.

        Raises:
            Unfit: it does not go with this one.
        """
        state = self.state.clone()
        try:
            _check(state, app, op)
            op.load().state_forwards(app, state)
            state.apps  # noqa: B018 (renders, or raises)
        except Exception as error:
            raise Unfit(op.text) from error
        if _collides(state):
            raise Unfit(op.text)
        return state

    def leaf(self, app: str) -> Step | None:
        inner = {key for step in self.steps for key in step.after if key[0] == step.app}
        leaves = [step for step in self.steps if step.app == app and step.key not in inner]
        return leaves[-1] if leaves else None

    def next_number(self, app: str) -> int:
        return max((step.number for step in self.steps if step.app == app), default=0) + 1

    def add(
        self, app: str, slug: str, ops: list[Op], number: int | None = None, under: Step | None = None
    ) -> Step:
        """Put a migration on top, with what is left of its operations; *under* is its parent, if not the leaf."""
        kept, mentioned = [], {app}
        for op in ops:
            try:
                self.state = self.takes(app, op)
            except Unfit:
                continue
            kept.append(op)
            mentioned |= set(re.findall(r"'(p[abc])[.']", op.text + op.header))
        if not kept:
            raise Unfit(slug)
        parents = [under or self.leaf(app), *(self.leaf(other) for other in sorted(mentioned - {app}))]
        number = number or self.next_number(app)
        taken = {step.key for step in self.steps}
        while (app, f"{number:04}_{slug}") in taken:
            slug += "x"
        after = tuple(parent.key for parent in parents if parent)
        step = Step(app, number, slug, tuple(kept), after)
        self.steps.append(step)
        return step


def _check(state: ProjectState, app: str, op: Op) -> None:
    """Refuse what states take and databases do not: a field that something still names, a name that is taken."""
    operation = op.load()
    for one in (operation, *getattr(operation, "state_operations", ())):
        if _gives_taken_name(state, app, one):
            raise Unfit(op.text)
    found = re.match(r"migrations\.(Remove|Rename)Field\('(\w+)', '(\w+)'", op.text)
    if found:
        model = state.models[app, found[2].lower()]
        if found[3] in (_named(model) if found[1] == "Remove" else _named(model, "indexes", "constraints")):
            raise Unfit(op.text)


def _gives_taken_name(state: ProjectState, app: str, operation: migrations.operations.base.Operation) -> bool:
    """
    Say whether a model or a field gets the name of another one.

    Django's state forgets the other then, and the database keeps it or not, as it happens.
    """
    if isinstance(operation, (migrations.CreateModel, migrations.RenameModel)):
        return (app, getattr(operation, "new_name_lower", operation.name_lower)) in state.models
    if isinstance(operation, (migrations.AddField, migrations.RenameField)):
        model = state.models[app, operation.model_name_lower]
        return getattr(operation, "new_name", operation.name) in model.fields
    return False


def _named(model: ModelState, *keys: str) -> set[str]:
    """Return the fields that indexes and the like name."""
    found = set()
    for key in keys or ("unique_together", "indexes", "constraints"):
        for one in model.options.get(key) or ():
            found |= set(one if key == "unique_together" else one.fields)
    return found


def _collides(state: ProjectState) -> bool:
    """Say whether a table has two owners, or a column."""
    tables = []
    for (app, name), model in state.models.items():
        table = model.options.get("db_table") or f"{app}_{name}"
        columns = []
        tables.append(table)
        for field_name, one in model.fields.items():
            if one.many_to_many:
                tables.append(f"{table}_{field_name}")
            else:
                columns.append(one.db_column or (f"{field_name}_id" if one.is_relation else field_name))
        if len(columns) > len(set(columns)):
            return True
    return len(tables) > len(set(tables))


class Maker:
    """Makes operations, migrations and branches, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._count = 0

    # Operations

    def op(self, branch: Branch, app: str) -> Op:
        """
        Return an operation that fits.

        Raises:
            Unfit: none was found.
        """
        for _ in range(30):
            names, weights = zip(*KINDS.items())
            kind = self.random.choices(names, weights)[0]
            try:
                made = getattr(self, f"_{kind}")(branch.state, app)
                op = self._numbered(*([made] if isinstance(made, str) else made))
                branch.takes(app, op)
            except Unfit:
                continue
            return op
        raise Unfit("nothing fits")

    def _numbered(self, text: str, header: str = "") -> Op:
        self._count += 1
        return Op(self._count, text, header)

    def _models(self, state: ProjectState, app: str = "") -> list[ModelState]:
        return [model for key, model in state.models.items() if key[0] == (app or key[0])]

    def _model(self, state: ProjectState, app: str) -> ModelState:
        return self._one(self._models(state, app))

    def _one(self, choices: list) -> object:
        if not choices:
            raise Unfit("no choice")
        return self.random.choice(choices)

    def _free(self, model: ModelState) -> str:
        return self._one([name for name in FIELDS if name not in model.fields])

    def _plain(self, model: ModelState) -> list[str]:
        return [name for name, one in model.fields.items() if not one.primary_key]

    def _scalars(self, model: ModelState, *kinds: type) -> list[str]:
        kinds = kinds or (models.IntegerField, models.CharField)
        return [name for name in self._plain(model) if isinstance(model.fields[name], kinds)]

    def _field(self, state: ProjectState, app: str) -> str:
        chance = self.random.random
        if chance() < 0.3 and (targets := self._models(state)):
            target = self.random.choice(targets)
            # Mostly within the app: across apps each is a dependency more.
            if target.app_label != app and chance() < 0.4:
                target = self._model(state, app)
            to = f"'{target.app_label}.{target.name}'"
            # A reverse accessor can clash, as they do.
            name = "related_name='+'" if chance() < 0.8 else f"related_name='r{self.random.randint(1, 99)}'"
            kind = chance()
            if kind < 0.25:
                return f"ManyToManyField({to}, {name})"
            if kind < 0.4:
                return f"OneToOneField({to}, models.SET_NULL, null=True, {name})"
            return f"ForeignKey({to}, models.SET_NULL, null=True, {name})"
        return self._scalar(self.random.choice(["Integer", "Char", "Char", "Text", "Boolean", "Date"]))

    def _scalar(self, kind: str) -> str:
        chance = self.random.random
        default = {"Integer": "7", "BigInteger": "7", "Char": "'x'", "Text": "'x'", "Boolean": "False"}.get(
            kind
        )
        options = ["null=True"] if default is None or chance() < 0.4 else [f"default={default}"]
        if kind == "Char":
            options.append(f"max_length={self.random.choice([50, 60, 100])}")
        if kind in ("Integer", "BigInteger", "Char"):
            if chance() < 0.15:
                options.append("db_index=True")
            elif chance() < 0.1 and options[0] == "null=True":
                options.append("unique=True")
        if chance() < 0.1:
            options.append(f"db_column='col_{self.random.randint(1, 3)}'")
        return f"{kind}Field({', '.join(options)})"

    def _create(self, state: ProjectState, app: str) -> str:
        name = self._one([name for name in MODELS if (app, name.lower()) not in state.models])
        fields = {
            one: self._field(state, app) for one in self.random.sample(FIELDS, self.random.randint(1, 3))
        }
        own = [f"({one!r}, models.{text})" for one, text in fields.items()]
        options, bases, key = {}, "", ID
        if self.random.random() < 0.1:
            options["db_table"] = repr(f"tbl_{self.random.randint(1, 4)}")
        parents = self._models(state, app)
        if parents and self.random.random() < 0.12:
            parent = self.random.choice(parents)
            to = f"{app}.{parent.name}"
            key = (
                f"('{parent.name.lower()}_ptr', models.OneToOneField(auto_created=True, on_delete=models.CASCADE, "
                f"parent_link=True, primary_key=True, serialize=False, to='{to}'))"
            )
            bases = f", bases=('{to.lower()}',)"
        settings = ", ".join(f"{one!r}: {value}" for one, value in options.items())
        return f"migrations.CreateModel({name!r}, [{', '.join([key, *own])}], options={{{settings}}}{bases})"

    def _delete(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        for other in self._models(state):
            if model.name.lower() in str(other.bases).lower():
                raise Unfit("it is a parent")
            for one in other.fields.values():
                to = getattr(one.remote_field, "model", "") if one.remote_field else ""
                if str(to).lower() == f"{app}.{model.name}".lower():
                    raise Unfit("it is referred to")
        return f"migrations.DeleteModel({model.name!r})"

    def _add(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        return f"migrations.AddField({model.name.lower()!r}, {self._free(model)!r}, models.{self._field(state, app)})"

    def _remove(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        return f"migrations.RemoveField({model.name.lower()!r}, {self._one(self._plain(model))!r})"

    def _alter(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        name = self._one(self._plain(model))
        old = model.fields[name]
        if isinstance(old, models.ManyToManyField):
            raise Unfit("it stays as it is")
        if isinstance(old, models.ForeignKey):
            to = old.remote_field.model
            kind = "OneToOneField" if isinstance(old, models.OneToOneField) else "ForeignKey"
            extra = self.random.choice(["", ", db_index=False", ", help_text='x'", ", db_constraint=False"])
            text = f"{kind}({str(to)!r}, models.SET_NULL, null=True, related_name='+'{extra})"
        elif isinstance(old, (models.CharField, models.TextField)):
            text = self._scalar(self.random.choice(["Char", "Char", "Text"]))
        elif isinstance(old, models.IntegerField):
            text = self._scalar(self.random.choice(["Integer", "BigInteger"]))
        else:
            raise Unfit("it stays as it is")
        if old.null and "null=True" not in text and "default" not in text:
            raise Unfit("NULL")
        return f"migrations.AlterField({model.name.lower()!r}, {name!r}, models.{text})"

    def _rename_field(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        old = self._one(self._plain(model))
        return f"migrations.RenameField({model.name.lower()!r}, {old!r}, {self._free(model)!r})"

    def _rename_model(self, state: ProjectState, app: str) -> str:
        new = self._one([name for name in MODELS if (app, name.lower()) not in state.models])
        return f"migrations.RenameModel({self._model(state, app).name!r}, {new!r})"

    def _table(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        table = self._one([f"tbl_{number}" for number in (1, 2, 3, 4)] + [None])
        if table in [other.options.get("db_table") for other in self._models(state)]:
            raise Unfit("it is taken")
        return f"migrations.AlterModelTable({model.name.lower()!r}, {table!r})"

    def _together(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        names = self._scalars(model)
        if model.options.get("unique_together") and self.random.random() < 0.4:
            return f"migrations.AlterUniqueTogether({model.name.lower()!r}, set())"
        if len(names) < 2:
            raise Unfit("too few")
        pair = tuple(self.random.sample(names, 2))
        return f"migrations.AlterUniqueTogether({model.name.lower()!r}, {{{pair!r}}})"

    def _index(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        indexes = model.options.get("indexes") or []
        if indexes and self.random.random() < 0.4:
            return f"migrations.RemoveIndex({model.name.lower()!r}, {self.random.choice(indexes).name!r})"
        name = f"ix_{app}_{self.random.randint(1, 6)}"
        names = self._scalars(model)
        chosen = self.random.sample(names, min(len(names), self.random.randint(1, 2)))
        if not chosen or name in self._made(state):
            raise Unfit("none")
        return f"migrations.AddIndex({model.name.lower()!r}, models.Index(fields={chosen!r}, name={name!r}))"

    def _constraint(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        constraints = model.options.get("constraints") or []
        if constraints and self.random.random() < 0.4:
            name = self.random.choice(constraints).name
            return f"migrations.RemoveConstraint({model.name.lower()!r}, {name!r})"
        name = f"uq_{app}_{self.random.randint(1, 6)}"
        names = self._scalars(model)
        if len(names) < 2 or name in self._made(state):
            raise Unfit("none")
        pair = self.random.sample(names, 2)
        return (
            f"migrations.AddConstraint({model.name.lower()!r}, "
            f"models.UniqueConstraint(fields={pair!r}, name={name!r}))"
        )

    def _made(self, state: ProjectState) -> set[str]:
        options = ("indexes", "constraints")
        return {
            one.name
            for model in self._models(state)
            for key in options
            for one in model.options.get(key) or ()
        }

    def _options(self, state: ProjectState, app: str) -> str:
        name = self._model(state, app).name.lower()
        return f"migrations.AlterModelOptions({name!r}, {{'verbose_name': 'x{self.random.randint(1, 9)}'}})"

    def _python(self, state: ProjectState, app: str) -> tuple[str, str]:
        model = self._model(state, app)
        name = self._one(self._scalars(model, models.CharField, models.TextField))
        if model.fields[name].unique or name in _named(model):
            raise Unfit("it is unique")
        self._count += 1
        function = f"fill_{self._count}"
        call = f"update({name}='p{self._count}')"
        if self.random.random() < 0.3:
            call = f"get_or_create({name}='p{self._count}')"
        header = PYTHON.format(name=function, app=app, model=model.name, call=call)
        backward = self._one(["migrations.RunPython.noop"] * 14 + ["None"])
        return f"migrations.RunPython({function}, {backward})", header

    def _sql(self, state: ProjectState, app: str) -> str:
        model = self._model(state, app)
        table = model.options.get("db_table") or f"{app}_{model.name.lower()}"
        kind = self.random.random()
        if kind < 0.3:
            side = f"side_{self.random.randint(1, 99)}"
            return f"migrations.RunSQL('CREATE TABLE {side} (x integer)', 'DROP TABLE {side}')"
        if kind < 0.6:
            name = self._free(model)
            change = f"migrations.AddField({model.name.lower()!r}, {name!r}, models.IntegerField(null=True))"
            add, drop = (
                f"ALTER TABLE {table} ADD COLUMN {name} integer NULL",
                f"ALTER TABLE {table} DROP COLUMN {name}",
            )
            return f"migrations.RunSQL({add!r}, {drop!r}, state_operations=[{change}])"
        name = self._one(self._scalars(model, models.CharField))
        if model.fields[name].unique or name in _named(model):
            raise Unfit("it is unique")
        column = model.fields[name].db_column or name
        sql = f"UPDATE {table} SET {column} = 's'"
        return f"migrations.RunSQL({sql!r}, migrations.RunSQL.noop)"

    def _apart(self, state: ProjectState, app: str) -> str:
        change = self._add(state, app)
        return f"migrations.SeparateDatabaseAndState([{change}], [{change}])"

    # Branches

    def history(self) -> History:
        """Return a project, a feature branch, and what became of that in a rebase."""
        while True:
            with suppress(Unfit):
                return self._history()

    def _history(self) -> History:
        apps = APPS[: self.random.choice([1, 1, 2, 2, 3])]
        base = Branch()
        for app in apps:
            creates = [self._numbered(self._create(base.state, app))]
            self._put(base, app, "initial", creates)
        self._grow(base, apps, self.random.randint(0, 3))
        feature = base.copy()
        self._grow(feature, apps, self.random.randint(1, 4))
        own = tuple(feature.steps[len(base.steps) :])
        if not own:
            raise Unfit("no feature")
        start = base.copy()
        if self.random.random() < 0.1:
            self._squash(start, apps)
        rebased = self._rebased(start, apps, own)
        return History(tuple(apps), tuple(base.steps), own, tuple(rebased.steps), self.random.random() < 0.7)

    def _put(self, branch: Branch, app: str, slug: str, ops: list[Op], **options: object) -> bool:
        try:
            branch.add(app, slug, ops, **options)
        except Unfit:
            return False
        return True

    def _grow(self, branch: Branch, apps: list[str], count: int) -> None:
        for _ in range(count):
            app = self.random.choice(apps)
            self._put(branch, app, self.random.choice(SLUGS), self._ops(branch, app))

    def _ops(self, branch: Branch, app: str) -> list[Op]:
        """Return operations that fit one after another."""
        ahead, ops = branch.copy(), []
        for _ in range(self.random.choice([1, 1, 1, 2, 2, 3])):
            try:
                op = self.op(ahead, app)
            except Unfit:
                break
            ahead.state = ahead.takes(app, op)
            ops.append(op)
        return ops

    def _squash(self, branch: Branch, apps: list[str]) -> None:
        """Have the migrations of an app replaced by one that does the same, whose originals stay or go."""
        app = self.random.choice(apps)
        own = [step for step in branch.steps if step.app == app]
        others = [step for step in branch.steps if step.app != app]
        keys = {step.key for step in own}
        if len(own) < 2 or any(key in keys for step in others for key in step.after):
            return
        after = tuple(dict.fromkeys(key for step in own for key in step.after if key not in keys))
        ops = tuple(op for step in own for op in step.ops)
        squash = Step(app, own[-1].number, "squashed", ops, after, tuple(step.key for step in own))
        if self.random.random() < 0.5:
            branch.steps = [*others, squash]
        else:
            branch.steps = [*branch.steps, squash]
            # What comes next is put on top of the squash.

    def _rebased(self, base: Branch, apps: list[str], feature: tuple[Step, ...]) -> Branch:
        branch = base.copy()
        if self.random.random() < 0.12:
            return self._merged(branch, apps, feature)
        for _ in range(self.random.choice([0, 1, 1, 2, 3])):
            twin = self.random.choice(feature)
            app, slug = self.random.choice(apps), self.random.choice(SLUGS)
            if self.random.random() < 0.15:
                # The same name with other content.
                app, slug = twin.app, twin.slug
            self._put(branch, app, slug, self._ops(branch, app))
        steps = list(feature)
        if len(steps) > 1 and self.random.random() < 0.2:
            place = self.random.randrange(len(steps) - 1)
            steps[place : place + 2] = reversed(steps[place : place + 2])
        for step in steps:
            for app, slug, ops in self._edited(branch, apps, step):
                self._put(branch, app, slug, ops)
        return branch

    def _edited(self, branch: Branch, apps: list[str], step: Step) -> Iterator[tuple[str, str, list[Op]]]:
        """Yield what becomes of a migration of the feature."""
        chance, ops = self.random.random(), list(step.ops)
        if chance < 0.12:
            return
        if chance < 0.2:
            app = self.random.choice(apps)
            yield app, self.random.choice(SLUGS), self._ops(branch, app)
        elif chance < 0.26:
            del ops[self.random.randrange(len(ops))]
        elif chance < 0.32:
            ops += self._ops(branch, step.app)[:1]
        elif chance < 0.38:
            place = self.random.randrange(len(ops))
            ops[place] = self._changed(ops[place])
        elif chance < 0.42 and len(ops) > 1:
            yield step.app, step.slug, ops[:1]
            ops = ops[1:]
        slug = self.random.choice(SLUGS) if chance > 0.95 else step.slug
        yield step.app, slug, ops

    def _changed(self, op: Op) -> Op:
        """Return an operation that makes the same in another way."""
        changes: list[Callable[[str], str]] = [
            lambda text: text.replace(
                "null=True", "default=7" if "Integer" in text else "null=True, blank=True"
            ),
            lambda text: re.sub(r"max_length=\d+", "max_length=80", text),
            lambda text: re.sub(r"default=7", "default=8", text),
            lambda text: text.replace("IntegerField(", "BigIntegerField("),
            lambda text: text.replace("CharField(", "CharField(help_text='y', "),
        ]
        text = self.random.choice(changes)(op.text)
        return op if text == op.text else self._numbered(text, op.header)

    def _merged(self, branch: Branch, apps: list[str], feature: tuple[Step, ...]) -> Branch:
        """Put the feature beside what main has, under its old names, with migrations that merge."""
        before = {app: branch.leaf(app) for app in apps}
        self._grow(branch, apps, self.random.randint(1, 2))
        tops = {app: branch.leaf(app) for app in apps}
        last: dict[str, Step | None] = dict(before)
        for step in feature:
            if any(step.key == other.key for other in branch.steps):
                continue
            try:
                last[step.app] = branch.add(
                    step.app, step.slug, list(step.ops), number=step.number, under=last[step.app]
                )
            except Unfit:
                continue
        for app in apps:
            top, end = tops[app], last[app]
            if top and end and top != before[app] and end != before[app]:
                number = branch.next_number(app)
                branch.steps.append(Step(app, number, "merge", (), (end.key, top.key)))
        return branch


KINDS = {
    "create": 3, "delete": 1, "add": 8, "remove": 3, "alter": 5, "rename_field": 3, "rename_model": 2, "table": 2,
    "together": 2, "index": 3, "constraint": 2, "options": 1, "python": 3, "sql": 2, "apart": 1,
}  # fmt: skip


# models.py -----------------------------------------------------------------------


def models_of(state: ProjectState, app: str) -> str:
    """Return the text of models that are what a state says."""
    imports, classes = {"from django.db import models"}, []
    own = {name: model for (label, name), model in state.models.items() if label == app}
    for model in sorted(own.values(), key=lambda one: len(_ancestors(one, own))):
        lines = []
        for name, one in model.fields.items():
            if not getattr(one, "auto_created", False):
                text, more = MigrationWriter.serialize(one)
                imports |= more
                lines.append(f"    {name} = {text}")
        meta = []
        for name, value in model.options.items():
            if value:
                value = sorted(value) if name == "unique_together" else value
                text, more = MigrationWriter.serialize(value)
                imports |= more
                meta.append(f"        {name} = {text}")
        bases = [base.split(".")[1] for base in model.bases if isinstance(base, str)]
        parents = ", ".join(own[base].name for base in bases) or "models.Model"
        body = [*lines, "    class Meta:", f"        app_label = {app!r}", *meta]
        classes.append("\n".join([f"class {model.name}({parents}):", *body]))
    return "\n".join([*sorted(imports), "", *classes, ""])


def _ancestors(model: ModelState, own: dict[str, ModelState]) -> list[str]:
    names = [base.split(".")[1] for base in model.bases if isinstance(base, str)]
    return [found for name in names for found in [name, *_ancestors(own[name], own)]]


def state_of(steps: tuple[Step, ...]) -> ProjectState:
    """Return the state that migrations lead to, in the order in which they were written."""
    replaced = {key for step in steps for key in step.replaces}
    state = ProjectState()
    for step in steps:
        if step.key not in replaced:
            for op in step.ops:
                op.load().state_forwards(step.app, state)
    return state


def makes_sense(steps: tuple[Step, ...]) -> bool:
    """Say whether nobody but Django's state would forget anything with these migrations."""
    replaced = {key for step in steps for key in step.replaces}
    branch = Branch()
    try:
        for step in steps:
            for op in step.ops if step.key not in replaced else ():
                branch.state = branch.takes(step.app, op)
    except Unfit:
        return False
    return True


# Smaller histories ---------------------------------------------------------------


def smaller(history: History) -> Iterator[History]:
    """Yield histories with something less in them, the biggest parts first."""
    if history.has_rows:
        yield replace(history, has_rows=False)
    for app in history.apps[::-1] if len(history.apps) > 1 else ():
        kept = tuple(one for one in history.apps if one != app)
        yield replace(_each(history, lambda step, app=app: None if step.app == app else step), apps=kept)
    steps = (*history.rebased, *history.feature, *history.base)
    for key in dict.fromkeys(step.key for step in steps):
        yield _each(history, lambda step, key=key: None if step.key == key else step)
    for part in ("feature", "rebased"):
        for step in getattr(history, part):
            yield _each(history, lambda one, step=step: None if one == step else one, part)
    for number in sorted(_numbers(steps), reverse=True):
        yield _each(history, lambda step, number=number: _without(step, number))
    for part in ("feature", "rebased"):
        for number in sorted(_numbers(getattr(history, part)) - _numbers(history.base), reverse=True):
            yield _each(history, lambda step, number=number: _without(step, number), part)


def _numbers(steps: tuple[Step, ...]) -> set[int]:
    return {op.number for step in steps for op in step.ops}


def _without(step: Step, number: int) -> Step:
    return replace(step, ops=tuple(op for op in step.ops if op.number != number))


def _each(history: History, change: Callable[[Step], Step | None], only: str = "") -> History:
    """Change or drop steps in each part, with those on top of a dropped one put on what it was on."""
    parts = {}
    for part in ("base", "feature", "rebased"):
        steps = getattr(history, part)
        parts[part] = _repaired(steps, change) if only in ("", part) else steps
    before = {step.key: step for step in history.base}
    gone = before.keys() - {step.key for step in parts["base"]}
    if gone:
        parents = {key: before[key].after for key in gone}
        parts["feature"] = tuple(_reparented(step, parents) for step in parts["feature"])
    return replace(history, **parts)


def _repaired(steps: tuple[Step, ...], change: Callable[[Step], Step | None]) -> tuple[Step, ...]:
    kept, parents = [], {}
    for step in steps:
        changed = change(step)
        if changed is None:
            parents[step.key] = step.after
        else:
            kept.append(_reparented(changed, parents))
    return tuple(kept)


def _reparented(step: Step, parents: dict[Key, tuple[Key, ...]]) -> Step:
    after = step.after
    while any(key in parents for key in after):
        after = tuple(dict.fromkeys(one for key in after for one in parents.get(key, (key,))))
    return replace(step, after=after, replaces=tuple(key for key in step.replaces if key not in parents))
