"""What happens to a photo in the background: plain tasks of Django's own Tasks API."""

from __future__ import annotations

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from photos import pictures
from photos.models import Photo, PhotoJob, Thumbnail

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task

SIZES = (160, 480, 960)


@task(queue_name="pictures")
def make_thumbnail(photo_id: int, size: int) -> str:
    """Makes one thumbnail and says where it is. Run twice, it makes the same file again."""
    photo = Photo.objects.get(pk=photo_id)
    with photo.file.open("rb") as source:
        small = pictures.shrink(source, size)
    name = put(f"thumbnails/{photo_id}/{size}.jpg", small)
    Thumbnail.objects.update_or_create(photo=photo, size=size, defaults={"file": name})
    return name


@task(queue_name="pictures")
def make_palette(photo_id: int) -> list[str]:
    """Finds a photo's main colours."""
    photo = Photo.objects.get(pk=photo_id)
    with photo.file.open("rb") as source:
        palette = pictures.main_colours(source)
    Photo.objects.filter(pk=photo_id).update(palette=palette)
    return palette


def add_photo(name: str, content: bytes, title: str, source: str = "") -> Photo:
    """Stores a photo and asks for its four jobs in one transaction: there are both or neither."""
    with transaction.atomic():
        photo = Photo(title=title, source=source)
        photo.file.save(name, ContentFile(content), save=False)
        photo.save()
        wanted = {f"thumbnail {size}": make_thumbnail.enqueue(photo.pk, size) for size in SIZES}
        wanted["palette"] = make_palette.enqueue(photo.pk)
        PhotoJob.objects.bulk_create(
            PhotoJob(photo=photo, job_id=result.id, makes=makes) for makes, result in wanted.items()
        )
    return photo


def put(name: str, content: bytes) -> str:
    """Stores a file under this very name, in place of an earlier one."""
    if default_storage.exists(name):
        default_storage.delete(name)
    return default_storage.save(name, ContentFile(content))
