"""Photos in Django's admin."""

from django.contrib import admin

from photos.models import Photo, Thumbnail


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
