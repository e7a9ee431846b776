"""`manage.py gristmill`: one command, its work in subcommands."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gristmill import commands
from gristmill.commands.encodings import speak_plainly


class Command(BaseCommand):
    """Hands over to the subcommands in gristmill/commands."""

    help = "Runs workers, and shows and steers the queue."
    requires_system_checks: list[str] = []

    #: This process was started to be this command, and nothing of it comes after: a worker may take its place.
    is_program = False

    def run_from_argv(self, argv: list[str]) -> None:
        """Runs it as the command line says."""
        self.is_program = list(argv) == sys.argv
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds one parser a subcommand."""
        subparsers = parser.add_subparsers(dest="subcommand", metavar="subcommand", required=True)
        for name in commands.NAMES:
            subcommand = commands.load(name)
            subparser = subparsers.add_parser(
                name, help=subcommand.HELP, description=subcommand.__doc__, formatter_class=HelpFormatter
            )
            subcommand.add_arguments(subparser)
            self._add_common_arguments(subparser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the subcommand that was named."""
        speak_plainly(self.stdout, self.stderr)
        # Red means error: what else is said on this stream is not.
        red, self.stderr.style_func = self.stderr.style_func, None
        try:
            commands.load(options["subcommand"]).handle(self, options)
        except ImproperlyConfigured as error:
            # Its sentence says what to correct; where it was met is of no use to whoever reads it.
            raise CommandError(str(error)) from error
        finally:
            self.stderr.style_func = red

    def _add_common_arguments(self, parser: argparse.ArgumentParser) -> None:
        # Django's own options, which people also write after the subcommand. Nothing when absent: a default here
        # would replace what stood before the subcommand.
        group = parser.add_argument_group("Django's options")
        group.add_argument("-v", "--verbosity", type=int, choices=[0, 1, 2, 3], default=argparse.SUPPRESS,
                           help="0 = only errors, 1 = normal (default), 2 = verbose, 3 = everything.")  # fmt: skip
        for name, text in (
            ("--settings", "The settings module, such as myproject.settings."),
            ("--pythonpath", "A folder to add to the Python path."),
        ):
            group.add_argument(name, default=argparse.SUPPRESS, help=text)
        for name in ("--traceback", "--no-color", "--force-color"):
            group.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of a subcommand's description."""
