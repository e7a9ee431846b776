"""
Draws what a job waits for, and what waits for it.

  manage.py gristmill graph 0192f0c0a0b07000800000000000000a
  manage.py gristmill graph 0192f0c0a0b0 --svg graph.svg         a picture that needs nothing else
  manage.py gristmill graph 0192f0c0a0b0 --depth 2 --json

So many steps before and after it, and at most so many jobs; of many neighbours the first are drawn and the others
counted, and what is left out is said. Exit status 1: there is no such job.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from gristmill.commands.finding import found_job, no_such_job
from gristmill.inspect.colours import wants_colours
from gristmill.inspect.tables import counted, room_of

HELP = "Draw what a job waits for, and what waits for it."

DEPTH, JOBS = 4, 80
#: A drawing beyond that is of no use to anyone.
MOST = 2_000


def number(text: str) -> int:
    """Reads a number of steps or jobs; a type for argparse."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST:,}")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("id", metavar="ID", help="The job's id, or its first or last digits (8 or more).")
    parser.add_argument("--depth", type=number, default=DEPTH, metavar="N", help=f"Steps each way (default: {DEPTH}).")
    parser.add_argument("--max-jobs", type=number, default=JOBS, metavar="N", help=f"Jobs in all (default: {JOBS}).")
    parser.add_argument("--database", metavar="ALIAS", help="Look only on this database (default: on every one).")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--svg", metavar="FILE", help="Write a picture; - is the standard output.")
    output.add_argument("--json", action="store_true", help="Print one JSON object.")


def handle(command: BaseCommand, options: dict[str, Any]) -> None:
    """Draws."""
    from gristmill.inspect.drawing import svg, text
    from gristmill.inspect.drawing.reading import read_graph
    from gristmill.inspect.explaining.look import Look, jobs_by_id
    from gristmill.inspect.explaining.reasons import reasons_of

    job_id, database = found_job(options["id"], options["database"])
    job = jobs_by_id([job_id], database).get(job_id)
    if job is None:
        raise CommandError(no_such_job(job_id.hex))
    look = Look(job, database)
    graph = read_graph(look, depth=options["depth"], max_jobs=options["max_jobs"])
    if options["json"]:
        command.stdout.write(json.dumps(graph.as_dict()))
        return
    sentence = reasons_of(look)[0].sentence
    if options["svg"] == "-":
        command.stdout.write(svg.picture(graph, sentence))
    elif options["svg"]:
        write(Path(options["svg"]), svg.picture(graph, sentence))
        command.stdout.write(f"Drew {counted(len(graph.nodes))} in {options['svg']}.")
    else:
        said = text.lines(graph, sentence, room_of(command.stdout), coloured=wants_colours(command, options))
        command.stdout.write("\n".join(said))


def write(file: Path, picture: str) -> None:
    """Writes the picture, or says in one sentence why it cannot be."""
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {file}: {error.strerror}") from error
