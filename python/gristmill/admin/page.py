"""What all pages share: nothing is added, changed or deleted by Django's forms, and a page knows its neighbours."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse

if TYPE_CHECKING:
    from django.db import models

    ModelAdmin = admin.ModelAdmin[models.Model]
else:
    ModelAdmin = admin.ModelAdmin

#: The pages that stand beside each other, in this order: their models' names, their titles, who may see them.
TABS = (
    ("overview", "Overview", "view_overview"),
    ("job", "Jobs", "view_job"),
    ("failures", "Failures", "view_job"),
    ("queues", "Queues", "view_queue"),
    ("schedules", "Schedules", "view_schedule"),
    ("worker", "Workers", "view_worker"),
)
#: Seconds between two looks of an open page.
REFRESH_SECONDS = 5
CSRF_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="[^"]*"')


@dataclass(frozen=True)
class Tab:
    """A page beside this one."""

    title: str
    url: str
    is_here: bool


class Page(ModelAdmin):
    """A page of ours in the admin. Nothing is written but by its own actions."""

    #: What a user may do who may see it.
    view_permission: ClassVar[str]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuses: nothing is made here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuses: rows are the workers' to write."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuses: rows are the workers' to forget."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Tells whether the user may see this page."""
        return self.may(request, self.view_permission)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Tells whether it is listed."""
        return self.has_view_permission(request)

    def may(self, request: HttpRequest, codename: str) -> bool:
        """Tells whether the user has one of this app's permissions."""
        user: Any = request.user
        return bool(user.is_active and user.has_perm(f"{self.opts.app_label}.{codename}"))

    def require(self, request: HttpRequest, codename: str) -> None:
        """Refuses who has not that permission."""
        if not self.may(request, codename):
            raise PermissionDenied

    def require_read(self, request: HttpRequest) -> None:
        """Refuses who may not see this page, and whoever asks a page without actions for one."""
        self.require(request, self.view_permission)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied

    def show(self, request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
        """
        Renders a page: `template` within `gristmill/admin/base.html`.

        A script asks for the template alone, and sends the tag of what it shows: a page that stays the same costs its
        queries and no bytes.
        """
        values = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "tabs": self.tabs(request),
            "refresh_seconds": REFRESH_SECONDS,
            "page_template": f"gristmill/admin/{template}",
            **context,
        }
        if request.GET.get("fragment") != "1":
            request.current_app = self.admin_site.name
            return TemplateResponse(request, "gristmill/admin/base.html", values)
        text = render_to_string(f"gristmill/admin/{template}", values, request)
        # Tokens against forged requests are masked anew each time, and say nothing of the page.
        told = CSRF_TOKEN.sub("", text)
        tag = f'"{hashlib.sha256(told.encode()).hexdigest()[:32]}"'
        if request.headers.get("If-None-Match") == tag:
            return HttpResponseNotModified(headers={"ETag": tag})
        return HttpResponse(text, headers={"ETag": tag, "Cache-Control": "no-store"})

    def tabs(self, request: HttpRequest) -> list[Tab]:
        """Returns the pages that this user may see."""
        found = []
        for name, title, permission in TABS:
            if not self.may(request, permission):
                continue
            try:
                url = reverse(f"admin:gristmill_{name}_changelist", current_app=self.admin_site.name)
            except NoReverseMatch:
                # The project has taken it out of its admin.
                continue
            found.append(Tab(title, url, name == self.opts.model_name))
        return found
