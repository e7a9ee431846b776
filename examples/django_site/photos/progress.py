"""Joins photos with the state of their jobs, for the page and for the demo's table."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from gristmill.models import Attempt, Job
from photos.models import Photo, PhotoJob, Thumbnail

FAILED = frozenset({"failed", "cancelled", "poisoned"})
# A job that is no longer kept has ended long ago.
FORGOTTEN = "forgotten"
FINISHED = FAILED | {"successful", FORGOTTEN}
# It moves again once somebody retries what failed.
STRANDED = "stranded"


@dataclass(frozen=True)
class PhotoJobState:
    """One job of a photo, as people see it."""

    makes: str
    state: str
    milliseconds: float | None = None
    error: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.state in FINISHED

    @property
    def is_moving(self) -> bool:
        """Whether it is under way by itself."""
        return not self.is_finished and self.state != STRANDED

    @property
    def is_failed(self) -> bool:
        """Whether it has ended without success."""
        return self.state in FAILED


@dataclass
class Card:
    """One photo with all that the page shows of it."""

    photo: Photo
    thumbnails: list[Thumbnail]
    jobs: list[PhotoJobState] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """What went wrong, each sentence once."""
        return list(dict.fromkeys(job.error for job in self.jobs if job.error))

    @property
    def is_broken(self) -> bool:
        """Whether its jobs have ended and left nothing to show."""
        return not self.thumbnails and any(job.is_failed for job in self.jobs)

    @property
    def source_set(self) -> str:
        """Its thumbnails for an <img srcset>."""
        return ", ".join(f"{small.file.url} {small.size}w" for small in self.thumbnails)


def cards(limit: int) -> list[Card]:
    """The newest photos, the oldest of them first, with five queries however many they are."""
    newest = Photo.objects.order_by("-id").prefetch_related("thumbnails", "jobs")[:limit]
    photos = sorted(newest, key=lambda photo: photo.pk)
    wanted = [job for photo in photos for job in photo.jobs.all()]
    states = job_states(wanted)
    return [
        Card(photo, list(photo.thumbnails.all()), [states[job.job_id] for job in photo.jobs.all()]) for photo in photos
    ]


def job_states(wanted: list[PhotoJob]) -> dict[UUID, PhotoJobState]:
    """How each of these jobs is doing."""
    ids = [job.job_id for job in wanted]
    states = dict(Job.objects.filter(id__in=ids).values_list("id", "state"))
    attempts = {attempt.job_id: attempt for attempt in Attempt.objects.filter(job_id__in=ids).order_by("token")}
    return {job.job_id: describe(job, states.get(job.job_id, FORGOTTEN), attempts.get(job.job_id)) for job in wanted}


def describe(job: PhotoJob, state: str, attempt: Attempt | None) -> PhotoJobState:
    if attempt is None or state not in FINISHED:
        return PhotoJobState(job.makes, state)
    spent = attempt.ended_at - (attempt.started_at or attempt.claimed_at)
    return PhotoJobState(
        job.makes,
        state,
        milliseconds=spent.total_seconds() * 1000,
        error=last_line(attempt) if state in FAILED else "",
    )


def last_line(attempt: Attempt) -> str:
    """The sentence at the end of a traceback, without the exception's module."""
    lines = [line.strip() for line in (attempt.traceback or "").splitlines() if line.strip()]
    if not lines:
        return attempt.reason or attempt.outcome
    name, separator, message = lines[-1].partition(": ")
    return name.rsplit(".", 1)[-1] + separator + message
