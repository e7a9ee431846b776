"""What people are shown of arguments: secrets are hidden by name, by place and by telling keys."""

from __future__ import annotations

import json
from inspect import signature

import pytest

import gristmill
from gristmill.checks import check_options
from gristmill.compat import InvalidTask, task_backends
from gristmill.inspect.arguments import arguments_of
from gristmill.inspect.redacting import HIDDEN, Words, hidden_in, revealed, shown
from gristmill.models import JobRow
from gristmill.testing import run_jobs
from tests.app.tasks import add


@gristmill.task(redact=["card", "rest"])
def charge(order_id, card, *rest, note=""):
    return order_id


@gristmill.task(redact=True, takes_context=True)
def whisper(context, text):
    return None


@gristmill.task(redact=["extra"])
def loose(first, /, **extra):
    return None


def parameters(function):
    return tuple(signature(function).parameters.values())


def call(first, card, *rest, note="", **extra):
    """Something to be called."""


@pytest.mark.parametrize(
    ("key", "tells"),
    [
        *((each, True) for each in ("password", "PASSWORD", "user_password", "passwords", "accessToken", "X-API-Key")),
        *((each, True) for each in ("api_key", "apiKey", "API key", "client-secret", "Authorization", "csrf_token2")),
        *((each, False) for each in ("tokenizer", "secretary", "author", "key", "api", "monkey", "passenger", "")),
    ],
)
def test_a_key_tells_of_a_secret_by_its_whole_words(key, tells):
    assert shown([], {key: 1}).kwargs == {key: HIDDEN if tells else 1}


def test_telling_keys_hide_at_any_depth():
    value = {"users": [{"name": "Ada", "password": "x", "card": {"token": [1, 2]}}], "secrets": {"a": 1}}

    assert hidden_in(value) == {
        "users": [{"name": "Ada", "password": HIDDEN, "card": {"token": HIDDEN}}],
        "secrets": HIDDEN,
    }
    assert shown([value], {"x": [value]}).is_redacted


def test_what_is_too_deep_to_be_seen_is_hidden():
    deep = "end"
    for _ in range(600):
        deep = [deep]

    assert "end" not in json.dumps(hidden_in(deep))


def test_positional_arguments_are_hidden_by_the_names_that_the_function_gives_them():
    found = shown([7, "4111", "a", "b"], {"note": "x"}, parameters(call), ["card"])

    assert found.args == [7, HIDDEN, "a", "b"]
    assert found.by_name["card"] == HIDDEN
    assert shown([7, "4111", "a"], {}, parameters(call), ["rest"]).args == [7, "4111", HIDDEN]
    assert shown([7], {"note": 1, "other": 2}, parameters(call), ["extra"]).kwargs == {"note": 1, "other": HIDDEN}


def test_where_the_function_is_not_known_no_positional_argument_is_shown_that_may_be_secret():
    assert shown([7, "4111"], {"card": 1, "x": 2}, None, ["card"]).args == [HIDDEN, HIDDEN]
    assert shown([7, "4111"], {"card": 1, "x": 2}, None, ["card"]).kwargs == {"card": HIDDEN, "x": 2}
    assert shown([7, {"token": 1}], {}, None).args == [7, {"token": HIDDEN}]


def test_true_hides_all_and_revealing_shows_all():
    assert shown([1], {"a": 2}, None, True) == shown([9], {"a": 8}, None, True)
    assert revealed([1], {"token": 2}, parameters(call)).by_name == {"first": 1, "token": 2}


def test_words_may_be_others():
    assert shown([], {"password": 1, "passport_number": 2}, words=Words(["passport"])).kwargs == {
        "password": 1,
        "passport_number": HIDDEN,
    }


@pytest.mark.django_db
def test_the_task_the_job_and_the_settings_say_what_is_secret(settings):
    def of(result, **more):
        row = JobRow.objects.get(pk=result.id)
        return arguments_of(
            row.backend, more.pop("task_name", row.task_name), row.args, row.kwargs, row.options, **more
        )

    job = charge.enqueue(7, "4111", "x", note="n")

    assert (of(job).args, of(job).kwargs) == ([7, HIDDEN, HIDDEN], {"note": "n"})
    assert of(job, reveal=True).args == [7, "4111", "x"]
    # As it was stored with the job.
    assert of(job, task_name="gone.away").args == [HIDDEN] * 3
    assert of(whisper.enqueue("psst")).args == [HIDDEN]
    assert of(loose.enqueue(1, anything=2)).kwargs == {"anything": HIDDEN}
    assert of(add.using(redact=["right"]).enqueue(1, 2)).args == [1, HIDDEN]
    assert of(add.enqueue(1, {"password": 2})).args == [1, {"password": HIDDEN}]
    assert of(gristmill.remote("far.away", redact=["card"]).enqueue(7, card=1)).args == [HIDDEN]
    settings.TASKS = {"default": {**settings.TASKS["default"], "OPTIONS": {"REDACT": ["left"]}}}
    assert of(add.enqueue(left=1, right={"password": 2})).kwargs == {"left": HIDDEN, "right": {"password": 2}}


@pytest.mark.parametrize("options", ["[1,", '"text"', "[]", '{"redact": "card"}', '{"redact": 1}', '{"redact": true}'])
def test_options_that_say_something_odd_hide_everything(options):
    assert arguments_of("default", add.module_path, [1], {"right": 2}, options).args == [HIDDEN]


@pytest.mark.parametrize("args", ["", "nonsense", "{}", "1", "null", "[" * 100_000])
def test_arguments_that_are_none_are_not_shown(args):
    assert arguments_of("default", add.module_path, args, "{}") is None
    assert arguments_of("default", add.module_path, "[]", args if args != "{}" else "[]") is None


@pytest.mark.parametrize("given", ["card", [1], [""], 7, ["a"] * 2 + [f"a{number}" for number in range(50)]])
def test_what_is_no_list_of_names_is_refused(given):
    with pytest.raises(InvalidTask, match="redact must be names of arguments, 50 at most, True for all of them"):
        add.using(redact=given)


def test_a_name_that_the_function_does_not_take_is_refused():
    with pytest.raises(InvalidTask, match="redact names the argument 'crad', which the function does not take"):
        gristmill.task(redact=["card", "crad"])(plain)


def plain(order_id, card):
    return order_id


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "kept"), [(["card"], ["card"]), (True, True), (False, None), (None, None), ([], None)]
)
def test_it_is_stored_with_the_job_unless_nothing_is_said(given, kept):
    options = JobRow.objects.get(pk=gristmill.remote("far.away", redact=given).enqueue(1).id).options

    assert options == (None if kept is None else json.dumps({"redact": kept}, separators=(",", ":")))


@pytest.mark.django_db(transaction=True)
def test_a_task_with_secrets_runs_as_any_other():
    result = charge.enqueue(7, "4111")

    assert run_jobs().successful == 1
    result.refresh()
    assert result.return_value == 7


@pytest.mark.parametrize("words", ["password", [1], [""], {"a": 1}])
def test_a_check_names_words_that_are_no_list(settings, words):
    settings.TASKS = {"default": {"BACKEND": "gristmill.backend.GristmillBackend", "OPTIONS": {"REDACT": words}}}

    (error,) = check_options(task_backends["default"])

    assert error.msg.startswith("TASKS['default']['OPTIONS']['REDACT'] must be a list of words, such as ['password'")
    assert arguments_of("default", add.module_path, [], {"password": 1}).kwargs == {"password": HIDDEN}
