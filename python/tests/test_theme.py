"""The pages stand within whatever the project's admin looks like: Django's own, or the theme of another package."""

from __future__ import annotations

import pytest
from django.conf import settings

from tests.app.tasks import add
from tests.test_admin import PAGES, job_page, nightly, nightly_page, page, viewer

pytestmark = pytest.mark.django_db(databases=["default", "other"])

IS_UNFOLD = "unfold" in settings.INSTALLED_APPS
#: What says whose page it is around ours.
STYLES = "unfold/css/styles.css" if IS_UNFOLD else "admin/css/base.css"


def addresses():
    nightly()
    return [*(page(name) for name in PAGES), nightly_page(), job_page(add.enqueue(1))]


def test_a_page_has_the_look_of_the_admin_and_what_is_its_own(client):
    viewer(client)

    for address in addresses():
        said = client.get(address).content.decode()
        assert [text in said for text in (STYLES, "gristmill/pages.css", "gristmill/live.js")] == [True] * 3, address
        assert said.index("<title>") < said.index('class="gristmill"') < said.index('id="gristmill-page"'), address


def test_what_a_page_is_about_stands_on_it_whatever_the_theme_makes_of_titles(client):
    viewer(client)
    *_, schedule, job = addresses()

    for address, subject in ((schedule, "nightly"), (job, "tests.app.tasks.add")):
        assert subject in client.get(address + "?fragment=1").content.decode()


def test_the_index_of_the_admin_leads_to_the_pages(client):
    viewer(client)

    said = client.get("/admin/").content.decode()

    assert [f'href="{page(name)}"' in said for name in PAGES] == [True] * len(PAGES)
