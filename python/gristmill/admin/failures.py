"""What failed, as groups, so that one cause is one line; a group is retried as a whole."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from gristmill.admin import links
from gristmill.admin.actions import ACTIONS
from gristmill.admin.jobs import connection_of, databases
from gristmill.admin.page import Page
from gristmill.inspect.failures import failures_of


class FailurePage(Page):
    """The failures of one database by their causes."""

    view_permission = "view_job"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Shows them."""
        self.require_read(request)
        connection = connection_of(request)
        found = failures_of(connection)
        where = {"database": connection.alias} if len(databases()) > 1 else {}
        return self.show(
            request,
            "failures.html",
            "Failures",
            found=found,
            rows=[
                (group, links.of_job(group.sample_id), links.url("job_changelist", q=group.search, **where))
                for group in found.groups
            ],
            databases=databases(),
            database=connection.alias,
            may_retry=self.may(request, ACTIONS["retry"].permission),
        )
