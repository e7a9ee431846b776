"""Makes the virtual environments under .venv/ and puts Gristmill into them; redoes only what has changed.

`tools` builds and checks, `old` and `new` are the two pairs of pythons.py. Each holds a stamp of what it was made
from: its interpreter and requirements, and for the package every file that its binary is built from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pythons
import steps
from steps import ROOT, step

VENVS = ROOT / ".venv"
REQUIREMENTS = ROOT / "scripts" / "requirements"

# Third-party crates are compiled once for every checkout of this user.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or steps.CACHE / "target")

BUILD_INPUTS = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "crates/**/*")


def tools() -> Path:
    """The environment with maturin, ruff and pip-audit; gives its bin folder."""
    return environment("tools", pythons.best())


def pair(name: str, profile: str = "dev") -> Path:
    """The environment `old`, `new`, or `best` of the two, with Gristmill in it; gives its bin folder."""
    if name == "best":
        name = "new" if pythons.new() else "old"
    need_rust()
    interpreter = pythons.old() if name == "old" else pythons.need_new()
    bin_folder = environment(name, interpreter)
    install_package(name, profile)
    return bin_folder


def environment(name: str, interpreter: pythons.Interpreter) -> Path:
    folder = VENVS / name
    wanted = digest([interpreter.path, *requirement_lines(f"{name}.txt")])
    python = folder / "bin" / "python"
    if read_stamp(folder, "requirements") == wanted and pythons.ask(str(python)):
        return folder / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    step(
        f"{name}: {interpreter} environment",
        [interpreter.path, "-m", "venv", folder],
        hint="Python's venv module is missing or broken. Debian, Ubuntu: apt-get install python3-venv "
        "(or pythonX.Y-venv for a version of its own).",
    )
    step(
        f"{name}: packages",
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS / f"{name}.txt"],
        hint="pip could not install them. If the package index cannot be reached, try again when it can.",
    )
    write_stamp(folder, "requirements", wanted)
    return folder / "bin"


def install_package(name: str, profile: str) -> None:
    """Builds the binary and installs it with an editable link to python/."""
    folder = VENVS / name
    wanted = digest([profile, *built_from()])
    if read_stamp(folder, "package") == wanted and (folder / "bin" / "gristmill").exists():
        return
    maturin = tools() / "maturin"
    step(
        f"{name}: gristmill ({profile} build)",
        [maturin, "develop", "--profile", profile, "--quiet"],
        env={"VIRTUAL_ENV": str(folder), "CARGO_TARGET_DIR": str(TARGET)},
        hint="The Rust part did not build. `cargo build` shows the same error; CONTRIBUTING.md says what it needs.",
    )
    write_stamp(folder, "package", wanted)


def need_rust() -> None:
    """Ends with a sentence when the toolchain cannot build this workspace."""
    cargo = steps.need("cargo", f"Install Rust {rust_version()} or newer with rustup, or your distribution's packages.")
    answer = subprocess.run([cargo, "--version"], capture_output=True, text=True, cwd=ROOT).stdout
    found = re.search(r"(\d+)\.(\d+)", answer)
    if found and tuple(map(int, found.groups())) < tuple(map(int, rust_version().split("."))):
        raise steps.stop(
            f"This is {answer.strip()}; Gristmill needs Rust {rust_version()} or newer: rustup update stable."
        )
    if not any(shutil.which(name) for name in (os.environ.get("CC") or "cc", "gcc", "clang")):
        raise steps.stop(
            "A C compiler is missing; SQLite is built from C. Debian, Ubuntu: apt-get install gcc libc6-dev."
        )


def rust_version() -> str:
    found = re.search(r'^rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    return found[1] if found else "1.94"


def requirement_lines(name: str) -> Iterable[str]:
    """The requirements, with those that they include."""
    for line in (REQUIREMENTS / name).read_text().splitlines():
        if line.startswith("-r "):
            yield from requirement_lines(line.removeprefix("-r ").strip())
        elif line and not line.startswith("#"):
            yield line


def built_from() -> Iterable[str]:
    """Every build input with its size and time: cheap, and wrong only towards building once more."""
    for pattern in BUILD_INPUTS:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                about = path.stat()
                yield f"{path.relative_to(ROOT)} {about.st_size} {about.st_mtime_ns}"


def digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_stamp(folder: Path, name: str) -> str:
    stamp = folder / f".{name}.stamp"
    return stamp.read_text() if stamp.exists() else ""


def write_stamp(folder: Path, name: str, text: str) -> None:
    (folder / f".{name}.stamp").write_text(text)


def main() -> int:
    steps.stop_on_signals()
    names = sys.argv[1:] or ["best"]
    try:
        for name in names:
            pair(name)
    except steps.StepFailed:
        return 1
    steps.say(f"Ready: {', '.join(names)} in {steps.shown(VENVS)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
