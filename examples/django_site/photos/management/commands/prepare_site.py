"""`manage.py prepare_site`: the tables, and on request a user for the admin."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Makes the site ready to serve; does nothing that is done."""

    help = "Makes the site ready to serve: its tables and, if asked, an admin user demo with password demo."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--superuser", action="store_true", help="make the user demo, for your own machine only")

    def handle(self, *, superuser: bool, **options: object) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        users = get_user_model().objects
        if superuser and not users.filter(username="demo").exists():
            users.create_superuser("demo", password="demo")
