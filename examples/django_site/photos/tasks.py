"""What happens to a photo in the background, and what waits for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.mail import EmailMessage
from django.db import transaction

from gristmill import Context, chain, group, task
from photos import pictures
from photos.models import ContactSheet, Photo, PhotoJob, Thumbnail

SIZES = (160, 480, 960)
SHEET_SIZE = 480
FROM = "darkroom@example.com"


@task(queue_name="pictures")
def develop(photo_id: int) -> str:
    """Reads a photo, whole and upright, and keeps the copy that all else is made from."""
    photo = Photo.objects.get(pk=photo_id)
    with photo.file.open("rb") as source:
        return put(developed(photo_id), pictures.develop(source))


@task(queue_name="pictures")
def make_thumbnail(photo_id: int, size: int) -> str:
    """Makes one thumbnail and says where it is. Run twice, it makes the same file again."""
    with default_storage.open(developed(photo_id)) as source:
        small = pictures.shrink(source, size)
    name = put(f"thumbnails/{photo_id}/{size}.jpg", small)
    Thumbnail.objects.update_or_create(photo_id=photo_id, size=size, defaults={"file": name})
    return name


@task(queue_name="pictures")
def make_palette(photo_id: int) -> list[str]:
    """Finds a photo's main colours."""
    with default_storage.open(developed(photo_id)) as source:
        palette = pictures.main_colours(source)
    Photo.objects.filter(pk=photo_id).update(palette=palette)
    return palette


@task(takes_context=True)
def make_sheet(context: Context, sheet_id: int) -> str:
    """Puts every thumbnail that it waited for on one sheet, and says where that is."""
    titles = dict(Photo.objects.values_list("pk", "title"))
    thumbnails = [made for made in context.preconditions if made.args[1] == SHEET_SIZE]

    def opened() -> Iterator[tuple[str, BinaryIO]]:
        for made in thumbnails:
            with default_storage.open(made.return_value) as file:
                yield titles[made.args[0]], file

    name = put(f"sheets/{sheet_id}.jpg", pictures.contact_sheet(opened(), len(thumbnails)))
    ContactSheet.objects.filter(pk=sheet_id).update(file=name)
    return name


@task(takes_context=True)
def mail_sheet(context: Context, address: str) -> str:
    """Sends the sheet that it waited for. A mail that was sent when its worker died is sent again."""
    (sheet,) = context.preconditions
    mail = EmailMessage("Your contact sheet", "All of your photographs are on it.", FROM, [address])
    with default_storage.open(sheet.return_value) as file:
        mail.attach("contact-sheet.jpg", file.read(), "image/jpeg")
    mail.send()
    return address


def add_photo(name: str, content: bytes, title: str, source: str = "") -> Photo:
    """Stores a photo and asks for its five jobs in one transaction: there are all or none."""
    with transaction.atomic():
        photo = Photo(title=title, source=source)
        photo.file.save(name, ContentFile(content), save=False)
        photo.save()
        thumbnails = [make_thumbnail.with_args(photo.pk, size) for size in SIZES]
        # One after the other: first the photo is developed, then all else is made side by side.
        results = chain(
            develop.with_args(photo.pk),
            group(*thumbnails, make_palette.with_args(photo.pk)),
        ).enqueue()
        makes = ["develop", *(f"thumbnail {size}" for size in SIZES), "palette"]
        PhotoJob.objects.bulk_create(
            PhotoJob(photo=photo, job_id=result.id, makes=each) for each, result in zip(makes, results, strict=True)
        )
    return photo


def ask_for_sheet(address: str) -> ContactSheet:
    """Asks for a sheet that waits for every photo's thumbnails, and for a mail that waits for the sheet."""
    thumbnails = PhotoJob.objects.filter(makes__startswith="thumbnail").values_list("job_id", flat=True)
    with transaction.atomic():
        sheet = ContactSheet.objects.create()
        making = make_sheet.using(after=thumbnails).enqueue(sheet.pk)
        mailing = mail_sheet.using(after=making).enqueue(address)
        sheet.making, sheet.mailing = making, mailing
        sheet.save()
    return sheet


def developed(photo_id: int) -> str:
    """Where a photo's copy is that all else is made from."""
    return f"developed/{photo_id}.jpg"


def put(name: str, content: bytes) -> str:
    """Stores a file under this very name, in place of an earlier one."""
    if default_storage.exists(name):
        default_storage.delete(name)
    return default_storage.save(name, ContentFile(content))
