"""Who has no mouse, no large window, or does not see the page gets everywhere, and is told where that is."""

from __future__ import annotations

from pathlib import Path

import pytest
from everything import PAGES, addresses, schedule
from serving import Worker
from tab import PHONE, Tab
from waiting import wait_for

LOOK = (Path(__file__).parent / "missing.js").read_text()
REACHABLE = ".gristmill :is(a[href], button, summary, select, input:not([type=hidden]))"

pytestmark = pytest.mark.usefixtures("empty")


@pytest.fixture
def pages(tab: Tab, worker: Worker) -> list[str]:
    """Every page, with something on each."""
    from letters.tasks import answer, say

    from gristmill import operations
    from gristmill.models import Job

    failed = say.enqueue("no good")
    after = answer.using(after=failed).enqueue("never")
    operations.pause_queue("slow", reason="the provider is down")
    held = answer.using(queue_name="slow").enqueue("kept")
    operations.hold(held, reason="to be looked at")
    wait_for("a stranded job", lambda: Job.objects.filter(state="stranded").exists(), 10)
    return [*addresses(failed.id, after.id, held.id), schedule()]


def test_every_page_has_a_title_a_heading_and_a_name_for_all_that_is_clicked_or_filled_in(
    tab: Tab, pages: list[str]
) -> None:
    from gristmill.admin.page import TABS

    assert {name for name, *_ in TABS} == set(PAGES), "a page that no test here looks at"
    titles = set()
    for page in pages:
        tab.open(page)
        assert (page, tab.status, tab.run(LOOK)) == (page, 200, [])
        titles.add(tab.run("() => document.title"))
    assert len(titles) >= 6, titles


def test_all_that_can_be_clicked_is_reached_by_the_tab_key_in_the_order_of_the_page(tab: Tab, pages: list[str]) -> None:
    for page in pages:
        tab.open(page)
        tab.run(f"() => document.querySelectorAll('{REACHABLE}').forEach((one, at) => {{ one.dataset.at = at }})")
        shown = tab.run(
            f"() => [...document.querySelectorAll('{REACHABLE}')].filter((one) => one.checkVisibility())"
            ".map((one) => Number(one.dataset.at))"
        )
        reached: list[int] = []
        tab.run(
            "() => { document.querySelector('.gm-tabs').tabIndex = -1; document.querySelector('.gm-tabs').focus(); }"
        )
        for _ in shown:
            tab.press("Tab")
            reached.append(tab.run("() => Number(document.activeElement.dataset.at ?? -1)"))
        assert reached == shown, page


def test_a_job_is_retried_by_keyboard_alone(tab: Tab, pages: list[str]) -> None:
    tab.open(next(page for page in pages if page.endswith("/change/")))
    for _ in range(80):
        tab.press("Tab")
        if tab.run("() => document.activeElement.innerText") == "Retry":
            break
    with tab.loading():
        tab.press("Enter")
    assert "Retried 1 job." in tab.text


def test_no_page_is_wider_than_a_phone(tab: Tab, pages: list[str]) -> None:
    tab.look_like(PHONE)
    for page in pages:
        tab.open(page)
        wide = tab.run("""() => [document.documentElement.scrollWidth,
          ...[...document.querySelectorAll(".gristmill *")].filter((one) => !one.closest(".gm-scroll, pre"))
            .map((one) => Math.round(one.getBoundingClientRect().right))]""")
        assert max(wide) <= PHONE[0], page
