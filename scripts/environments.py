"""Makes the virtual environments under .venv/ and puts Gristmill into them; redoes only what has changed.

`tools` builds and checks, `old` and `new` are the two pairs of pythons.py. Each holds a stamp of what it was made
from: its interpreter and requirements, and for the package every file that its binary is built from.
On a machine that has nothing yet, what can be made side by side is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pythons
import side_by_side
import steps
from steps import ROOT, Done, Step, step

VENVS = ROOT / ".venv"
REQUIREMENTS = ROOT / "scripts" / "requirements"

# Environments without Gristmill, each under a digest of what is in it, with a file that says where it was made.
KEPT = steps.CACHE / "environments"
MOST_KEPT = 9
MADE_AT = ".made-at"

# Third-party crates are compiled once for every checkout of this user.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or steps.CACHE / "target")

BUILD_INPUTS = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "crates/**/*")

HERE = Path(__file__).resolve()


def tools() -> Path:
    """The environment with maturin, ruff and pip-audit; gives its bin folder."""
    return environment("tools")


def pair(name: str, profile: str = "dev") -> Path:
    """The environment `old`, `new`, or `best` of the two, with Gristmill in it; gives its bin folder."""
    name = best(name)
    need_rust()
    if not (is_made("tools") and is_made(name)):
        prepare(["tools", name], build(everything=False) if profile == "dev" else [])
    bin_folder = environment(name)
    install_package(name, profile)
    compile_sources(bin_folder)
    return bin_folder


def best(name: str) -> str:
    """What `best` stands for on this machine; any other name as it is."""
    return ("new" if pythons.new() else "old") if name == "best" else name


def prepare(names: Sequence[str], beside: Sequence[Step] = ()) -> None:
    """Makes what is missing of these environments, all at once, beside other steps; raises StepFailed."""
    missing = [name for name in names if not is_made(name)]
    made = [
        # pip waits for the network and for the disk.
        Step(f"{name}: environment", [sys.executable, HERE, "--bare", name], cores=0.5)
        for name in missing
    ]
    run_all([*beside, *made])


def run_all(chosen: Sequence[Step]) -> None:
    failed = [done for done in side_by_side.run(chosen, said) if done.status]
    if failed:
        raise steps.StepFailed(failed[0].step.title, failed[0].output)


def said(done: Done) -> str:
    return "FAILED" if done.status else ""


def build(*, everything: bool) -> list[Step]:
    """Compiles the binary, or every crate with its tests."""
    what = ["--workspace", "--all-targets"] if everything else ["-p", "gristmill"]
    return [
        Step(
            "rust: build",
            ["cargo", "build", "--quiet", *what],
            env={"CARGO_TARGET_DIR": str(TARGET)},
            hint="The Rust part did not build. `cargo build` shows the same error; CONTRIBUTING.md says what it needs.",
            cores=2.0,
            why="compiles what has changed, and everything where the cache is empty",
        )
    ]


def interpreter(name: str) -> pythons.Interpreter:
    """The Python that an environment is made with."""
    if name == "tools":
        return pythons.best()
    return pythons.old() if name == "old" else pythons.need_new()


def contents(name: str) -> str:
    return digest([interpreter(name).path, *requirement_lines(f"{name}.txt")])


def is_made(name: str) -> bool:
    """Whether it is there, as it should be."""
    folder = VENVS / name
    return read_stamp(folder, "requirements") == contents(name) and bool(pythons.ask(str(folder / "bin" / "python")))


def environment(name: str) -> Path:
    """Its bin folder; makes it where it is missing or out of date."""
    folder = VENVS / name
    if not is_made(name):
        kept = KEPT / contents(name)[:16]
        if not kept.exists():
            make(name, kept)
        copy(kept, folder)
        write_stamp(folder, "requirements", contents(name))
    return folder / "bin"


def make(name: str, kept: Path) -> None:
    """Installs what it needs, once for every checkout of this user."""
    KEPT.mkdir(parents=True, exist_ok=True)
    forget_old_ones()
    new = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=KEPT))
    try:
        step(
            f"{name}: {interpreter(name)} environment",
            [interpreter(name).path, "-m", "venv", new],
            hint="Python's venv module is missing or broken. Debian, Ubuntu: apt-get install python3-venv "
            "(or pythonX.Y-venv for a version of its own).",
        )
        pip = [new / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        step(
            f"{name}: packages",
            [*pip, "-r", REQUIREMENTS / f"{name}.txt"],
            hint="pip could not install them. If the package index cannot be reached, try again when it can.",
        )
        (new / MADE_AT).write_text(str(new))
        # Somebody else may have been faster.
        with contextlib.suppress(OSError):
            new.rename(kept)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def copy(kept: Path, folder: Path) -> None:
    """Makes a checkout's own of it: files are shared where the disk can, but those that name their folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder, symlinks=True, copy_function=link)
    made_at = (kept / MADE_AT).read_text().encode()
    for path in (folder / "bin").iterdir():
        if path.is_file() and not path.is_symlink() and made_at in (text := path.read_bytes()):
            mode = path.stat().st_mode
            path.unlink()
            path.write_bytes(text.replace(made_at, str(folder).encode()))
            path.chmod(mode)


def link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def forget_old_ones() -> None:
    """Requirements change, and nobody asks for the environments of before any more."""
    by_age = sorted(KEPT.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in by_age[MOST_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


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


def compile_sources(bin_folder: Path) -> None:
    """Keeps the package compiled, as an installed one is: tests start it thousands of times."""
    kept = [bin_folder / "python", "-m", "compileall", "-q", "python/gristmill", "tests/journeys", "examples"]
    subprocess.run(kept, cwd=ROOT, stdout=subprocess.DEVNULL)


def need_rust() -> None:
    """Ends with a sentence when the toolchain cannot build this workspace; what is compiled is ours from then on."""
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
    forget_other_checkouts()


def forget_other_checkouts() -> None:
    """
    Has this checkout's crates compiled anew where another one's were compiled last.

    Cargo tells files by their dates, so it would take what was made of another checkout's for this one's.
    """
    stamp = TARGET / ".checkout"
    if stamp.exists() and stamp.read_text() == str(ROOT):
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    crates = [f"--package={name}" for name in sorted(crate_names())]
    subprocess.run(
        ["cargo", "clean", "--quiet", *crates],
        cwd=ROOT,
        env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        check=True,
    )
    stamp.write_text(str(ROOT))


def crate_names() -> Iterable[str]:
    for manifest in ROOT.glob("crates/*/Cargo.toml"):
        if found := re.search(r'^name = "([\w-]+)"', manifest.read_text(), re.MULTILINE):
            yield found[1]


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
    parser = argparse.ArgumentParser(description="Makes the project's virtual environments.")
    parser.add_argument("names", nargs="*", default=["best"], help="tools, old, new, or best of the two")
    parser.add_argument("--bare", action="store_true", help="without Gristmill in them")
    options = parser.parse_args()
    steps.stop_on_signals()
    try:
        for name in options.names:
            environment(best(name)) if options.bare else pair(name)
    except steps.StepFailed:
        return 1
    if not options.bare:
        steps.say(f"Ready: {', '.join(options.names)} in {steps.shown(VENVS)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
