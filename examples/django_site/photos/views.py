"""The one page: every photo, what was made from it, and how its jobs are doing."""

from __future__ import annotations

from collections import Counter

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from photos.models import ContactSheet
from photos.progress import cards


def index(request: HttpRequest) -> HttpResponse:
    """Shows the newest hundred photos and the contact sheet; looks again by itself while jobs are under way."""
    shown = cards(limit=100)
    jobs = [job for card in shown for job in card.jobs]
    counts = Counter(job.state for job in jobs)
    context = {
        "cards": shown,
        "jobs": len(jobs),
        "successful": counts["successful"],
        "failed": sum(job.is_failed for job in jobs),
        "stranded": counts["stranded"],
        "under_way": sum(job.is_moving for job in jobs),
        "sheet": ContactSheet.objects.last(),
    }
    return render(request, "photos/index.html", context)
