"""What the demo data promises: some of everything, made by a real worker, and once."""

from __future__ import annotations

from collections import Counter

from django.contrib.auth import get_user_model
from django.test import Client, SimpleTestCase, TestCase
from django_site.loopback import is_loopback

from gristmill.models import Job, Queue, Schedule
from gristmill.testing import run_jobs
from office import day


def states() -> Counter[str]:
    """How many jobs there are in each state."""
    return Counter(Job.objects.values_list("state", flat=True))


class DayTest(TestCase):
    """A day at the office."""

    def make(self) -> None:
        day.morning()
        day.plans()
        # What takes a process down would take this one.
        run_jobs(queue_names=["default", "orders", "mail"], raise_errors=False)
        day.afternoon()

    def test_a_day_has_some_of_everything_and_asked_for_twice_it_is_no_more(self) -> None:
        self.make()
        once = states()
        self.make()
        self.assertEqual(states(), once)

    def test_the_overview_shows_each_kind_of_trouble(self) -> None:
        self.make()
        get_user_model().objects.create_superuser("ada", password="a secret")
        client = Client()
        client.login(username="ada", password="a secret")
        page = client.get("/admin/gristmill/overview/").content.decode()
        for words in (
            "office.tasks.print_order only fails: 12 jobs",
            "2 jobs in queue default need a job that failed",
            "8 jobs wait: the photograph of the month is not chosen yet",
            "Schedule archive should have ticked",
            "1 job in queue default is held: the customer has called and comes tomorrow",
        ):
            self.assertIn(words, page)
        self.assertEqual(Queue.objects.get().queue_name, "newsletter")
        self.assertEqual(Schedule.objects.count(), 3)


class LoopbackTest(SimpleTestCase):
    """Whom the site answers."""

    def test_another_machine_is_refused(self) -> None:
        answer = Client(REMOTE_ADDR="192.0.2.1").get("/admin/")
        self.assertContains(answer, "its own machine only", status_code=403)

    def test_loopback_is_known_in_both_families(self) -> None:
        told = {address: is_loopback(address) for address in ("127.0.0.1", "::1", "10.0.0.1", "", "localhost")}
        self.assertEqual(told, {"127.0.0.1": True, "::1": True, "10.0.0.1": False, "": False, "localhost": False})
