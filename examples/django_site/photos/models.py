"""Photographs and what is made from them."""

from __future__ import annotations

from django.db import models

from gristmill.models import JobField


class Photo(models.Model):
    """A picture that someone has put here."""

    file = models.ImageField(upload_to="photos")
    title = models.CharField(max_length=100)
    source = models.CharField(max_length=200, blank=True, help_text="Who made it, and who may use it.")
    palette = models.JSONField(default=list, blank=True, help_text="Its main colours, the commonest first: #rrggbb.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.title


class Thumbnail(models.Model):
    """A smaller copy of a photo."""

    photo = models.ForeignKey(Photo, on_delete=models.CASCADE, related_name="thumbnails")
    size = models.PositiveIntegerField(help_text="Its longer side, in pixels.")
    file = models.ImageField(upload_to="thumbnails")

    class Meta:
        ordering = ["photo", "size"]
        constraints = [models.UniqueConstraint(fields=["photo", "size"], name="one_thumbnail_of_a_size")]

    def __str__(self) -> str:
        return f"{self.photo}, {self.size} pixels"


class PhotoJob(models.Model):
    """Which jobs a photo has asked for; the jobs themselves are Gristmill's."""

    photo = models.ForeignKey(Photo, on_delete=models.CASCADE, related_name="jobs")
    job_id = models.UUIDField(unique=True)
    makes = models.CharField(max_length=50, help_text="In words: thumbnail 320.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.makes} of {self.photo}"


class ContactSheet(models.Model):
    """All photos on one picture, and the two jobs that make and mail it."""

    file = models.ImageField(upload_to="sheets", blank=True, help_text="Empty until it is made.")
    making = JobField()
    mailing = JobField()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"Contact sheet {self.pk}"
