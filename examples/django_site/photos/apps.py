"""The photo app."""

from django.apps import AppConfig


class PhotosConfig(AppConfig):
    """Photographs, what is made from them, and the jobs that make it."""

    name = "photos"
