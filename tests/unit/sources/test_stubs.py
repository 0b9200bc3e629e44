"""What stands in the place of classes that stored code refers to by name."""

from __future__ import annotations

import gc

import pytest
from django.db import migrations, models
from django.db.migrations.state import ModelState, ProjectState

from django_rewind.models import MigrationCode
from django_rewind.sources.bundle import stubs
from django_rewind.sources.bundle.stubs import ModelStub, make_managers_importable
from tests.support.fixtures import Tree

# Models


class Taken:
    """What was taken of an old model."""

    KIND = "then"

    def path(self):
        return "up"


def test_what_was_taken_comes_first():
    """And else it is the model of this checkout."""
    model = ModelStub("shop.Code", Taken, MigrationCode)
    assert model.KIND == "then"
    assert model.path(None) == "up"
    assert model.objects is not None
    assert model._meta.app_label == "django_rewind"
    assert repr(model) == "<shop.Code, as it was>"


def test_it_is_used_like_the_model():
    """To make one, to ask whether something is one, and as a base."""
    model = ModelStub("shop.Code", Taken, MigrationCode)
    made = model(app_label="shop")
    assert type(made) is MigrationCode
    assert isinstance(made, model)
    assert not isinstance(1, model)
    assert issubclass(MigrationCode, model)

    class Proxy(model):
        class Meta:
            abstract = True
            app_label = "shop"

    assert issubclass(Proxy, MigrationCode)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model(),
        lambda model: isinstance(1, model),
        lambda model: issubclass(int, model),
        lambda model: type("Proxy", (), {}) and __import__("types").new_class("Proxy", (model,)),
    ],
)
def test_a_model_that_is_gone_is_named(use):
    """By whatever would need it."""
    with pytest.raises(LookupError, match=r"the model shop\.Code is not in this checkout"):
        use(ModelStub("shop.Code", Taken, None))


def test_an_attribute_of_a_model_that_is_gone():
    """`hasattr` works as ever."""
    model = ModelStub("shop.Code", None, None)
    assert not hasattr(model, "objects")
    with pytest.raises(AttributeError, match=r"shop\.Code is not in this checkout, and has no 'objects'"):
        model.objects.all()


# Managers

MANAGERS = """
from django.db import models

class LoafQuerySet(models.QuerySet):
    def fresh(self):
        return self.filter(name="fresh")

class Plain(models.Manager):
    use_in_migrations = True

    def __init__(self, level=0, *, more=0):
        super().__init__()
        self.level = (level, more)

    def fresh(self):
        return self.filter(name="fresh")

class Joined(models.Manager.from_queryset(LoafQuerySet)):
    use_in_migrations = True

class Based(models.Manager.from_queryset(LoafQuerySet)):
    use_in_migrations = True

    def fresh(self):
        return super().fresh()

As = LoafQuerySet.as_manager
"""


def operation(manager) -> migrations.CreateModel:
    fields = [("id", models.AutoField(primary_key=True)), ("name", models.TextField())]
    return migrations.CreateModel("Loaf", fields, managers=[("objects", manager)])


@pytest.mark.parametrize("made", ["Plain(1, more=2)", "Joined()", "Based()", "LoafQuerySet.as_manager()"])
@pytest.mark.parametrize("here", ["", MANAGERS.replace('"fresh"', '"stale"')])
def test_managers_of_stored_modules(tree: Tree, made, here):
    """Historical models have them, through clones of the state, where others or none are here."""
    tree.write("oven/managers.py", MANAGERS)
    kept = tree.collect(f"from oven.managers import *\nmanager = {made}\n")
    tree.write("oven/managers.py", here)
    manager = kept.execute().manager
    create = operation(manager)
    make_managers_importable([migrations.SeparateDatabaseAndState([], [create])])
    state = ProjectState()
    create.state_forwards("bakery", state)
    loaf = state.clone().clone().apps.get_model("bakery", "Loaf")
    assert "fresh" in str(loaf.objects.fresh().query)
    assert getattr(loaf.objects, "level", (1, 2)) == (1, 2)
    if loaf.objects.use_in_migrations:
        assert dict(ModelState.from_model(loaf).managers)["objects"].fresh


def test_managers_of_this_checkout_are_left_alone():
    """Django finds them by itself."""
    manager = models.Manager()
    make_managers_importable([operation(manager), migrations.RunSQL("")])
    assert "deconstruct" not in vars(manager)


def test_a_class_is_found_by_its_path_as_long_as_it_lives():
    """Nothing is kept for its sake."""

    class Passing(models.Manager):
        pass

    manager = Passing()
    make_managers_importable([operation(manager)])
    name = manager.deconstruct()[1].rpartition(".")[2]
    assert getattr(stubs, name) is Passing
    del Passing, manager
    gc.collect()
    with pytest.raises(AttributeError, match="has no attribute"):
        getattr(stubs, name)
