"""Serves this machine alone: the demo's password is public."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden

Answer = Callable[[HttpRequest], HttpResponse]


def loopback_only(answer: Answer) -> Answer:
    """A middleware that refuses whoever asks from another machine."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not is_loopback(request.META.get("REMOTE_ADDR", "")):
            return HttpResponseForbidden("This site is an example, and answers its own machine only.")
        return answer(request)

    return middleware


def is_loopback(address: str) -> bool:
    """Tells whether an address is this machine's own."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
