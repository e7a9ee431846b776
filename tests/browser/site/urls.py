"""Django's admin, and a page that does what no page may."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path


def guilty(request: HttpRequest) -> HttpResponse:
    """Runs a script that its policy forbids, asks for a file that is not there, and runs one that fails."""
    return HttpResponse("<script>alert(1)</script><script src='/nowhere.js'></script><p style='color: red'>guilty</p>")


def no_icon(request: HttpRequest) -> HttpResponse:
    """Browsers ask for one by themselves."""
    return HttpResponse(status=204)


urlpatterns = [path("admin/", admin.site.urls), path("favicon.ico", no_icon), path("guilty/", guilty)]
