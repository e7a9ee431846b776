"""What is in the wheel that people install."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import environments

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "gristmill"
SQL = ROOT / "crates" / "store" / "sql"


def test_the_wheel_has_the_whole_package_with_its_sql_and_no_tests(tmp_path: Path) -> None:
    maturin = environments.VENVS / "tools" / "bin" / "maturin"
    build = [maturin, "build", "--profile", "dev", "--quiet", "--out", tmp_path]
    env = {**os.environ, "CARGO_TARGET_DIR": str(environments.TARGET)}
    subprocess.run(build, cwd=ROOT, env=env, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("gristmill/")}
    sources = {f"gristmill/{path.relative_to(PACKAGE)}" for path in [*PACKAGE.rglob("*.py"), PACKAGE / "py.typed"]}
    verbs = [path for path in SQL.glob("*/**/*.sql") if path.parent.name != "parts"]
    assert {*sources, *(f"gristmill/sql/{path.relative_to(SQL)}" for path in verbs)} - inside == set()
    assert [name for name in inside if "tests" in name] == []
    assert any(name.endswith("data/scripts/gristmill") for name in zipfile.ZipFile(wheel).namelist())
