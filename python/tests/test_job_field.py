"""JobField: a row of the project's own knows its job, however that ended, and after it was pruned."""

from __future__ import annotations

import uuid

import pytest
from django.core import checks
from django.db import connection
from django.db.migrations.writer import MigrationWriter

from gristmill.models import Job, JobField, JobRow, JobState, ReadyRow
from tests import rows
from tests.app.models import Photo
from tests.app.tasks import add

pytestmark = pytest.mark.django_db


def saved(**fields):
    """A row as it is read back."""
    return Photo.objects.get(pk=Photo.objects.create(name="a", **fields).pk)


@pytest.mark.parametrize("shape", ["result", "job", "id", "text"])
def test_a_row_takes_its_job_in_any_form(shape):
    result = add.enqueue(1)
    given = {"result": result, "job": Job.objects.get(), "id": uuid.UUID(result.id), "text": result.id}[shape]

    photo = saved(job=given)

    assert photo.job == Job.objects.get()
    assert photo.job_id == uuid.UUID(result.id)
    assert Photo.objects.get(job=given if shape in ("job", "id", "text") else result.id) == photo


def test_it_can_be_assigned_and_updated():
    photo = saved()
    photo.job = add.enqueue(1)
    photo.save()
    first = Job.objects.get()
    assert Photo.objects.get().job == first == photo.job

    result = add.enqueue(2)
    Photo.objects.update(job=result)
    assert Photo.objects.get().job.args == [2]
    photo.job = None
    photo.save()
    assert Photo.objects.get().job is None


@pytest.mark.parametrize("wrong", [7, "no id", object()])
def test_what_is_no_job_is_refused(wrong):
    with pytest.raises(ValueError, match="job takes a result, a Job or the id of one, not"):
        Photo(job=wrong)


def test_the_job_is_asked_for_once(django_assert_num_queries):
    photo = saved(job=add.enqueue(1))
    with django_assert_num_queries(1):
        assert photo.job and photo.job and photo.job_state.is_processing
    photo.refresh_from_db()
    with django_assert_num_queries(1):
        assert photo.job


def test_states_tell_what_is_done_what_goes_on_and_what_went_wrong():
    photo = saved()
    assert (photo.job_state, bool(photo.job_state), str(photo.job_state)) == (JobState(None), False, "")

    photo = saved(job=add.enqueue(1))
    assert photo.job_state == JobState("ready", is_processing=True)
    rows.succeed(photo.job_id.hex)
    photo.refresh_from_db()
    assert photo.job_state == JobState("successful", is_done=True)

    photo = saved(job=add.enqueue(2))
    rows.fail(photo.job_id.hex)
    assert photo.job_state == JobState("failed", is_error=True)


def test_a_job_that_was_pruned_is_none_and_done(django_assert_num_queries):
    photo = saved(job=add.enqueue(1))
    JobRow.objects.all().delete()
    ReadyRow.objects.all().delete()

    with django_assert_num_queries(1):
        assert photo.job is None and photo.job is None
    assert photo.job_state == JobState("pruned", is_done=True)
    photo.full_clean()
    photo.save()
    assert Photo.objects.get().job_id is not None


def test_many_rows_read_their_jobs_in_one_query_more(django_assert_num_queries):
    for number in range(3):
        Photo.objects.create(name=str(number), job=add.enqueue(number))
    Photo.objects.create(name="none")

    with django_assert_num_queries(2):
        found = [photo.job and photo.job.args for photo in Photo.objects.prefetch_related("job").order_by("name")]
    assert found == [[0], [1], [2], None]


def test_select_related_works_too(django_assert_num_queries):
    Photo.objects.create(name="a", job=add.enqueue(1))
    Photo.objects.create(name="b", job=uuid.uuid4())

    with django_assert_num_queries(1):
        found = [photo.job and photo.job.args for photo in Photo.objects.select_related("job").order_by("name")]
    assert found == [[1], None]
    assert Photo.objects.filter(job__state="ready").get().name == "a"


@pytest.mark.django_db(databases=["default", "other"])
def test_the_job_is_looked_for_where_its_queue_is():
    photo = saved(elsewhere=add.using(backend="elsewhere").enqueue(1))

    assert photo.elsewhere.args == [1]
    assert Photo.objects.prefetch_related("elsewhere").get().elsewhere.args == [1]


def test_it_is_no_constraint_is_checked_without_a_word_and_not_in_forms():
    from django.forms import modelform_factory

    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, Photo._meta.db_table).values()
    assert not any(constraint["foreign_key"] for constraint in constraints)
    assert any(constraint["index"] and constraint["columns"] == ["job_id"] for constraint in constraints)
    assert checks.run_checks(app_configs=[Photo._meta.app_config]) == []
    assert list(modelform_factory(Photo, fields="__all__").base_fields) == ["name"]


@pytest.mark.parametrize(
    ("field", "written"),
    [(JobField(), "gristmill.models.JobField("), (JobField(backend="x", null=False), "backend='x'")],
)
def test_migrations_can_write_it(field, written):
    text, _ = MigrationWriter.serialize(field)
    assert written in text and "on_delete" not in text
    field.set_attributes_from_name("job")
    _, _, args, kwargs = field.deconstruct()
    again = JobField(*args, **kwargs)
    assert again.deconstruct()[1:] == field.deconstruct()[1:]
