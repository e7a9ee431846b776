"""Tells browsers what a page may load and run: what lies on the site itself, and nothing that stands within a page."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self' data:"


class StrictPolicy:
    """Puts the policy on every response that has none of its own, as Django 6's own middleware does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response
