"""With a router that reads from a replica, the queue is read where it is written: a replica lags."""

from __future__ import annotations

import io

import pytest
from django.apps import apps
from django.core.management import call_command

from gristmill import operations
from gristmill.explain import explain
from gristmill.models import Job, JobRow
from gristmill.operations import database_of
from gristmill.tasks import aliases
from gristmill.testing import run_jobs
from tests import rows
from tests.app.models import Photo
from tests.app.tasks import add

# A query on the replica raises.
pytestmark = pytest.mark.django_db(databases=["default"])


class Replica:
    """Reads from the replica, writes to the primary."""

    def db_for_read(self, model, **hints):
        return "other"

    def db_for_write(self, model, **hints):
        return "default"


@pytest.fixture(autouse=True)
def replica(settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.Replica"]


@pytest.mark.parametrize("model", list(apps.get_app_config("gristmill").get_models()), ids=lambda model: model.__name__)
def test_every_model_is_read_where_it_is_written(model):
    assert model.objects.all().filter(pk__in=[]).db == "default"
    assert model.objects.using("other").db == "other"
    assert Photo.objects.all().db == "other"


def test_a_job_is_seen_at_once_and_steered_where_it_is():
    result = add.enqueue(1)
    job = Job.objects.get(pk=result.id)

    assert Job.objects.ready().count() == 1
    assert job.hold().done == {"held": 1}
    job.refresh_from_db()
    assert (job.state, job._state.db) == ("held", "default")
    assert Job.objects.all().release().done == {"released": 1}
    assert run_jobs().successful == 1
    assert [attempt.token for attempt in job.attempts] == [1]
    assert [action.verb for action in job.actions] == ["hold", "release"]
    assert explain(job).state == "successful"
    result.refresh()
    assert result.is_finished
    assert Job.objects.all().delete()[0] == 1


def test_commands_look_where_the_queue_is():
    rows.succeed(add.enqueue(1).id)
    for command in ("status", "doctor"):
        call_command("gristmill", command, "--json", "--backend", "default", stdout=io.StringIO())


def test_a_job_that_was_read_from_a_replica_is_steered_where_it_is_written(monkeypatch):
    job = Job.objects.get(pk=add.enqueue(1).id)
    job._state.db = "other"
    # So that "other" has no queue of its own.
    monkeypatch.setattr(operations, "gristmill_backends", lambda: {"default": aliases.gristmill_backend("default")})

    assert database_of(job) == "default"
    assert operations.cancel(job).done == {"cancelled": 1}
    job._state.db = "other"
    assert job.delete()[0] == 1
    assert JobRow.objects.count() == 0
