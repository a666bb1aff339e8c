"""Build the wheel and the sdist of a release and check them. Nothing is uploaded.

    python tools/release.py [--out dist]

Prints one line for each fault and exits with 1 if there is any.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Folders that must be in both: their path in the wheel; in the sdist they have the same path as in the checkout.
DATA = {"prompts": "sinoner/_data/prompts", "data_recipes": "sinoner/_data/data_recipes"}
# Top-level names allowed in a wheel besides its metadata.
TOP = {"sinoner"}
VERSION = re.compile(r"^## \[(\d+\.\d+\.\d+[^\]]*)\] - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


def changelog_version(text: str) -> str | None:
    """The newest released version of a changelog; None when it has none."""
    found = VERSION.search(text)
    return found[1] if found else None


def wheel_faults(names: Iterable[str], tracked: Iterable[str]) -> Iterator[str]:
    """The faults of the files of a wheel.

    Args:
        names: paths in the wheel.
        tracked: paths under version control.
    """
    names = set(names)
    for top in sorted({name.split("/")[0] for name in names} - TOP):
        if not top.endswith(".dist-info"):
            yield f"wheel: {top} does not belong in it"
    for path in sorted(tracked):
        room, _, rest = path.partition("/")
        place = path if room == "sinoner" else f"{DATA[room]}/{rest}" if room in DATA else None
        if place is not None and place not in names:
            yield f"wheel: {place} is missing"
    for name in sorted(names):
        if any(part in ("tests", "__pycache__") for part in name.split("/")):
            yield f"wheel: {name} does not belong in it"


def sdist_faults(names: Iterable[str], tracked: Iterable[str]) -> Iterator[str]:
    """The faults of the files of an sdist, which must contain everything that builds, tests and documents the package.

    Args:
        names: paths in the sdist, without its top-level folder.
        tracked: paths under version control.
    """
    names, tracked = set(names), set(tracked)
    required = (
        "sinoner/",
        "prompts/",
        "data_recipes/",
        "docs/",
        "tests/",
        "tools/",
        "README",
        "LICENSE",
        "CHANGELOG.md",
    )
    for path in sorted(tracked - names):
        if path.startswith(required):
            yield f"sdist: {path} is missing"
    for name in sorted(names - tracked - {"PKG-INFO"}):
        yield f"sdist: {name} is not under version control"


def build(source: Path, out: Path, *kinds: str) -> None:
    """Build ``--wheel`` or ``--sdist`` of a source tree.

    Raises:
        SystemExit: the build failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "build", *kinds, "--outdir", out, source], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"build {' '.join(kinds)} of {source} failed:\n{done.stdout}{done.stderr}")


def contents(wheel: Path) -> dict[str, int]:
    """The CRC of each file of a wheel by path, without RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            info.filename: info.CRC for info in archive.infolist() if not info.filename.endswith("/RECORD")
        }


def faults(out: Path) -> Iterator[str]:
    """Build both into an empty folder and yield their faults."""
    version = str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])
    newest = changelog_version((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if newest != version:
        yield f"CHANGELOG.md: its newest version is {newest}, but pyproject.toml has {version}"
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        yield f"CITATION.cff: its version is not {version}"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = listed.stdout.splitlines()
    build(ROOT, out, "--sdist", "--wheel")
    wheel, sdist = out / f"sinoner-{version}-py3-none-any.whl", out / f"sinoner-{version}.tar.gz"
    yield from wheel_faults(contents(wheel), tracked)
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(sdist) as archive:
            names = [name.partition("/")[2] for name in archive.getnames()]
            archive.extractall(scratch, filter="data")
        yield from sdist_faults(names, tracked)
        again = Path(scratch) / "again"
        build(Path(scratch) / f"sinoner-{version}", again, "--wheel")
        if contents(again / wheel.name) != contents(wheel):
            yield f"sdist: the wheel built from it differs from {wheel.name}"
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", wheel, sdist], capture_output=True, text=True
    )
    if checked.returncode:
        yield f"twine check --strict: {checked.stdout}{checked.stderr}"


def main() -> int:
    """Build, check, and print what to upload."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder of the wheel and the sdist; emptied first"
    )
    out: Path = parser.parse_args().out
    shutil.rmtree(out, ignore_errors=True)
    found = list(faults(out))
    for fault in found:
        print(fault, file=sys.stderr)
    if found:
        return 1
    files = sorted(out.iterdir())
    for file in files:
        print(f"{file}  {file.stat().st_size / 1024:.0f} KiB")
    print("Checked; nothing was uploaded. To upload:")
    print(f"  {Path(sys.executable).parent / 'twine'} upload {' '.join(map(str, files))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
