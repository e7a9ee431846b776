"""Photos in Django's admin."""

from django.contrib import admin

from photos.models import ContactSheet, Photo, Thumbnail


class ThumbnailInline(admin.TabularInline):
    """A photo's thumbnails, beneath it."""

    model = Thumbnail
    extra = 0


@admin.register(Photo)
class PhotoAdmin(admin.ModelAdmin):
    """Photos, with what has been made from them."""

    list_display = ["title", "source", "palette"]
    search_fields = ["title", "source"]
    inlines = [ThumbnailInline]


@admin.register(ContactSheet)
class ContactSheetAdmin(admin.ModelAdmin):
    """Contact sheets, and how far they are."""

    list_display = ["__str__", "file", "making_state", "mailing_state"]
