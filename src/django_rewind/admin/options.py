"""What Django's admin is told of stored migrations."""

from __future__ import annotations

import re
from typing import Any

import django
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from django_rewind.backends.fields import Octets
from django_rewind.models import MigrationCode
from django_rewind.utils.printable import printable_name
from django_rewind.utils.types import label

from .changelist import StoredMigrationsList
from .databases import address_of, alias_of, aliases, survey_of
from .detail import Detail
from .filters import FILTERS
from .formats import applied_as_html, origin, short_moment, signature
from .graph import AppGraph, Overview
from .states import status_as_html


class MigrationCodeAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """
    Stored migrations, to read.

    Who may change a row could have code executed by the next `migrate`: nobody
    adds, edits or deletes here, whatever permissions they have.
    """

    list_display = [
        "app",
        "name",
        "applied",
        "file",
        "signed",
        "where_from",
        "size",
        "stored",
        "last_verified",
    ]
    list_display_links = ["name"]
    list_filter = FILTERS
    search_fields = ["app_label", "migration_name", "source_code"]
    actions = None
    if django.VERSION >= (5, 0):
        # Each would be a query over the whole table; the line above has the counts.
        show_facets = admin.ShowFacets.NEVER

    class Media:
        css = {"all": ["django_rewind/admin.css"]}
        js = ["django_rewind/copy.js"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[MigrationCode]:
        survey = survey_of(request)
        rows = survey.store.all().order_by("app_label", "migration_name")
        if not survey.has_store:
            return rows.none()
        return rows.defer("source_code").annotate(octets=Octets("source_code"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[StoredMigrationsList]:
        return StoredMigrationsList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return a row, whatever it holds; None where there is none."""
        self._check_permission(request)
        if not re.fullmatch(r"-?[0-9]{1,19}", object_id) or not -(2**63) <= int(object_id) < 2**63:
            return None
        rows = survey_of(request).store.shown(self.get_queryset(request).filter(pk=object_id))
        return rows[0] if rows else None

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        # The page has a template of its own, and no form.
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show all that is known of one; `obj` was found and may be looked at."""
        row = kwargs["obj"]
        wanted = (request.GET.get("from", ""), request.GET.get("to", ""))
        detail = Detail(row, survey_of(request), wanted, self.admin_site.name, request.GET.get("part", ""))
        name = label(detail.key)
        context.update(detail=detail, original=name, title=name, subtitle=None, database=detail.alias)
        return super().render_change_form(request, context, *args, **kwargs)

    # The graph --------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        pages = [
            path("graph/", self.overview_view, name="django_rewind_migrationcode_graph"),
            path("graph/<path:app_label>/", self.app_view, name="django_rewind_migrationcode_app"),
        ]
        for page in pages:
            page.callback = self.admin_site.admin_view(page.callback)
        return [*pages, *super().get_urls()]

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        self._check_permission(request)
        return self._graph(request, "overview", Overview(survey_of(request), self.admin_site.name))

    def app_view(self, request: HttpRequest, app_label: str) -> HttpResponse:
        self._check_permission(request)
        graph = AppGraph(survey_of(request), app_label, self.admin_site.name)
        if not graph.keys:
            raise Http404(_("There is no migration of such an app."))
        return self._graph(request, "app", graph)

    def _graph(self, request: HttpRequest, template: str, graph: Overview | AppGraph) -> HttpResponse:
        alias, name = alias_of(request), self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": graph.title,
            "cl": {"opts": self.opts},
            "opts": self.opts,
            "media": self.media,
            # Without it Django's template has a style in it, which a strict policy forbids.
            "actions_on_top": True,
            "graph": graph,
            "alias": alias,
            "aliases": aliases(),
            "overview": address_of("graph", alias=alias, admin_name=name),
            "changelist": address_of("changelist", alias=alias, admin_name=name),
        }
        request.current_app = name
        return TemplateResponse(request, f"admin/django_rewind/{template}.html", context)

    # Who may do what --------------------------------------------------------

    def _check_permission(self, request: HttpRequest) -> None:
        """Ask before anything is looked up: no answer, and no error, may tell whether something is there."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False

    # Columns ----------------------------------------------------------------

    @admin.display(description=_("app"), ordering="app_label")
    def app(self, row: Any) -> str:
        return printable_name(row.app_label)

    @admin.display(description=_("migration"), ordering="migration_name")
    def name(self, row: Any) -> SafeString:
        # Between letters from right to left, digits and what follows them would change places.
        return format_html('<bdi dir="ltr">{}</bdi>', printable_name(row.migration_name))

    @admin.display(description=_("applied"))
    def applied(self, row: Any) -> SafeString:
        return applied_as_html(row.known.is_applied)

    @admin.display(description=_("file"))
    def file(self, row: Any) -> SafeString:
        return status_as_html(row.known.file_status)

    @admin.display(description=_("origin"), ordering="provenance")
    def where_from(self, row: Any) -> SafeString:
        # In one word, as the commands have it.
        return format_html(
            '<span title="{}">{}</span>', origin(row.provenance), printable_name(row.provenance)
        )

    @admin.display(description=_("size"), ordering="octets")
    def size(self, row: Any) -> str:
        return filesizeformat(row.octets)

    @admin.display(description=_("stored at"), ordering="stored_at")
    def stored(self, row: Any) -> str:
        return short_moment(row.stored_at) if row.stored_at else "?"

    @admin.display(description=_("signature"))
    def signed(self, row: Any) -> SafeString:
        return signature(row.known.stored.strict_verdict)

    @admin.display(description=_("verified last"))
    def last_verified(self, row: Any) -> Any:
        verified = row.known.verified
        if verified is None or verified.verified_at is None:
            return None
        when = short_moment(verified.verified_at)
        if not verified.problem:
            return when
        return format_html('{} <span class="rewind-problem">{}</span>', when, _("not recoverable"))
