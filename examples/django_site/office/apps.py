"""The photo lab's office."""

from django.apps import AppConfig


class OfficeConfig(AppConfig):
    """Orders, mails and accounts, on a day when not all goes well."""

    name = "office"
