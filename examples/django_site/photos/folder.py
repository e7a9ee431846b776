"""Reads a folder of pictures and says in words what it leaves out."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp"})
# Enough for a look, and a slip of the hand does not copy a whole photo library.
MOST = 100
CREDITS = "credits.json"


class NoPictures(Exception):
    """There is nothing to show in that folder; the message says why."""


@dataclass
class Folder:
    """What a folder holds: pictures by name, and a sentence for each thing left out."""

    pictures: list[Path] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    credits: dict[str, dict[str, str]] = field(default_factory=dict)

    def title(self, picture: Path) -> str:
        """From the folder's credits, else from the file's name."""
        named = self.credits.get(picture.name, {}).get("title")
        return named or picture.stem.replace("_", " ").replace("-", " ").strip()[:100] or picture.name[:100]

    def source(self, picture: Path) -> str:
        """Who made it, as far as the folder says."""
        return self.credits.get(picture.name, {}).get("source", "")[:200]


def read(path: Path) -> Folder:
    """Looks through one folder, not into folders within it."""
    if not path.exists():
        raise NoPictures(f"There is no folder {path}.")
    if not path.is_dir():
        raise NoPictures(f"{path} is a file; name the folder that it is in.")
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise NoPictures(f"{path} cannot be read: {error.strerror}.") from error
    folder = Folder(credits=read_credits(path / CREDITS))
    for entry in entries:
        if entry.name == CREDITS:
            continue
        objection = objection_to(entry)
        if objection:
            folder.skipped.append(f"{entry.name}: {objection}")
        else:
            folder.pictures.append(entry)
    if len(folder.pictures) > MOST:
        folder.skipped.append(f"{len(folder.pictures) - MOST} more pictures: the first {MOST} are enough for a look")
        del folder.pictures[MOST:]
    if not folder.pictures:
        reasons = "; ".join(folder.skipped[:5]) or "it is empty"
        raise NoPictures(f"There is no picture in {path} ({reasons}).")
    return folder


def objection_to(entry: Path) -> str:
    """Why a file is left out, or nothing. What a file holds is for its jobs to find out."""
    if entry.is_dir():
        return "a folder"
    if entry.suffix.lower() not in PICTURE_SUFFIXES:
        return "not a picture by its name"
    if not entry.is_file():
        return "not an ordinary file"
    if not os.access(entry, os.R_OK):
        return "may not be read"
    if entry.stat().st_size == 0:
        return "empty"
    return ""


def read_credits(path: Path) -> dict[str, dict[str, str]]:
    """Titles and sources, where a folder brings them along."""
    try:
        credits = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return (
        {name: about for name, about in credits.items() if isinstance(about, dict)} if isinstance(credits, dict) else {}
    )
