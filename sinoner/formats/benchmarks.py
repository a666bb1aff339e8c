"""Gold for evaluation: described in ``data_recipes/benchmarks``, fetched and converted once, read as annotations.

A gold data set on disk is a JSON lines file ``{"id", "text", "entities": [{"start", "end", "type", "text"}],
"lang"?}``, or a folder with ``test.jsonl`` (else ``dev.jsonl``). ``labels.json`` beside it maps the types of the
file to the natural names used in queries; its order is the query order.
"""

from __future__ import annotations

import difflib
import http.client
import random
import ssl
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from sinoner import disk, resources, yamlfile
from sinoner.atomic_folder import AtomicFolder
from sinoner.errors import InputError
from sinoner.formats import parsers
from sinoner.formats.gold_files import Gold, convert, read_gold, read_json, write_gold
from sinoner.records import Annotation, Lang, Reject
from sinoner.settings import Section

__all__ = [
    "BenchmarkSpec",
    "Gold",
    "convert",
    "fetch",
    "load_gold",
    "names",
    "read_spec",
    "spec",
    "write_gold",
]

Split = Literal["train", "dev", "test"]
_FOLDER = "data_recipes/benchmarks"
# The reference draws its samples with this seed.
_SAMPLE_SEED = 42
_TIMEOUT_SECONDS = 60
_BLOCK_BYTES = 1 << 16
# No file of these benchmarks comes near this size; a larger one is not the requested file.
_MAX_BYTES = 256 << 20
# Network failures only; AtomicFile reports disk errors.
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)


class BenchmarkSpec(Section):
    """Where a benchmark comes from and which types it is queried for: one file of ``data_recipes/benchmarks``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="name of the benchmark")
    lang: Lang = Field(description="language of the texts")
    format: str = Field(description="native format, a key of formats.FORMATS")
    labels: dict[str, str] = Field(
        min_length=1, description="natural name of each native tag, in query order"
    )
    leave_out: tuple[str, ...] = Field((), description="native tags to ignore")
    files: dict[Split, str] = Field(min_length=1, description="URL or local path of each split")
    split: Split = Field("test", description="split to evaluate")
    sample: int | None = Field(
        None, ge=1, description="evaluate a random sample of this size, drawn with seed 42"
    )
    licence: str = Field(description="licence as the source states it")
    homepage: str = Field(description="URL of the data set's home page")
    citation: str = Field("", description="paper to cite")
    notes: str = Field("", description="caveats for comparing scores")

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkSpec:
        if self.format not in parsers.FORMATS:
            raise ValueError(f"format {self.format!r} is unknown; known: {', '.join(parsers.FORMATS)}")
        if self.split not in self.files:
            raise ValueError(f"split {self.split!r} has no file")
        if both := set(self.labels) & set(self.leave_out):
            raise ValueError(f"tags in both labels and leave_out: {', '.join(sorted(both))}")
        return self

    @property
    def types(self) -> tuple[str, ...]:
        """The natural names, in query order."""
        return tuple(dict.fromkeys(self.labels.values()))


def names() -> list[str]:
    """Names of the benchmarks that the package describes."""
    return sorted(path.stem for path in (resources.data_root() / _FOLDER).glob("*.yaml"))


def spec(name: str) -> BenchmarkSpec:
    """The description of a benchmark.

    Raises:
        InputError: unknown name (the message suggests the nearest one), or an invalid description.
    """
    return _packaged(name)


def read_spec(path: Path) -> BenchmarkSpec:
    """Read one benchmark description.

    Raises:
        InputError: not YAML, or invalid; one line per mistake.
    """
    return yamlfile.load(path, BenchmarkSpec, "a benchmark description")


def load_gold(path_or_name: str, *, cache: Path | None = None) -> Gold:
    """Read gold from a file, a folder, or the cache of fetched benchmarks.

    Args:
        path_or_name: a gold file, a folder, or the name of a benchmark; an existing path wins.
        cache: the cache folder; ``<cache>/benchmarks/<name>/<split>.jsonl`` is the fetched file.

    Raises:
        InputError: nothing at that path, not fetched yet, or a row that is not gold (path:line).
    """
    path = Path(path_or_name).expanduser()
    if path.is_dir():
        return read_gold(_gold_file(path), _folder_name(path))
    if path.exists():
        is_split = path.stem in ("train", "dev", "test")
        return read_gold(path, _folder_name(path.parent) if is_split else path.stem)
    if path_or_name in names():
        described = spec(path_or_name)
        folder = (cache or resources.cache_root()) / "benchmarks" / path_or_name
        fetched = folder / f"{described.split}.jsonl"
        if not fetched.is_file():
            raise InputError(f"{path_or_name}: not fetched yet; run: sinoner benchmarks fetch {path_or_name}")
        return read_gold(fetched, path_or_name, lang=described.lang)
    raise InputError(f"{path_or_name}: no such gold file, folder or benchmark; {_nearest(path_or_name)}")


def fetch(name: str, folder: Path, spec: BenchmarkSpec | None = None) -> Path:
    """Download a benchmark, convert it, and store it in ``folder/<name>``.

    The folder is created, or replaced, only once it is complete. It contains ``<split>.jsonl``,
    ``labels.json`` and ``source.json`` (URLs, checksums, licence, counts, rejects).

    Args:
        name: name of the benchmark.
        folder: where benchmarks are kept.
        spec: a custom description; None uses the packaged one of that name.

    Returns:
        The folder of the benchmark.

    Raises:
        InputError: unknown name, the URL cannot be reached or has no such file, or no passage can be converted.
    """
    described = spec or _packaged(name)
    with AtomicFolder(folder / name) as stage:
        files = {split: _fetch_split(described, split, url, stage) for split, url in described.files.items()}
        about = described.model_dump(mode="json", exclude={"files", "name"})
        disk.write_json(stage / "source.json", {"name": name, **about, "files": files})
    return folder / name


def _fetch_split(spec: BenchmarkSpec, split: Split, url: str, stage: Path) -> dict[str, Any]:
    """Fetch and convert one split into the stage; return its entry in ``source.json``."""
    native = stage / f".native.{split}"
    _download(url, native)
    kept: list[Annotation] = []
    rejected: Counter[str] = Counter()
    made = convert(
        native,
        spec.format,
        labels=spec.labels,
        lang=spec.lang,
        name=f"{spec.name}-{split}",
        source=spec.name,
        leave_out=spec.leave_out,
    )
    for record in made:
        if isinstance(record, Reject):
            rejected[record.reason] += 1
        else:
            kept.append(record)
    if not kept:
        raise InputError(f"{url}: no passage could be read as {spec.format}; has the file changed?")
    rows = len(kept)
    if split == spec.split and spec.sample is not None and spec.sample < rows:
        drawn = random.Random(_SAMPLE_SEED).sample(range(rows), spec.sample)
        kept = [kept[i] for i in sorted(drawn)]
    write_gold(stage / f"{split}.jsonl", kept, spec.types)
    about = {
        "url": url,
        "sha256": disk.sha256(native),
        "passages": len(kept),
        "sampled_from": rows,
        "mentions": sum(len(entity.starts) for a in kept for entity in a.entities),
        "rejected": dict(sorted(rejected.items())),
    }
    native.unlink()
    return about


def _download(url: str, target: Path) -> None:
    """Stream a URL, or copy a local path, into a file."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        local = resources.find(url)
        if local is None or not local.is_file():
            raise InputError(f"{url}: no such file")
        with local.open("rb") as source, disk.AtomicFile(target) as file:
            while block := source.read(_BLOCK_BYTES):
                file.write(block)
        return
    if scheme not in ("http", "https"):
        raise InputError(f"{url}: only http and https URLs can be fetched")
    request = urllib.request.Request(url, headers={"User-Agent": "sinoner"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            declared = response.headers.get("Content-Length")
            size = 0
            with disk.AtomicFile(target) as file:
                while block := response.read(_BLOCK_BYTES):
                    size += len(block)
                    if size > _MAX_BYTES:
                        raise InputError(
                            f"{url}: is larger than {_MAX_BYTES >> 20} MiB, so it is not the benchmark"
                        )
                    file.write(block)
    except urllib.error.HTTPError as error:
        gone = "the file has moved or was withdrawn" if error.code in (404, 410) else "try again later"
        raise InputError(f"{url}: the server responded {error.code} {error.reason}; {gone}") from None
    except _NETWORK_ERRORS as error:
        why = getattr(error, "reason", None) or error
        raise InputError(f"{url}: cannot be reached ({why}); check the network and try again") from None
    if declared and declared.isdecimal() and int(declared) != size:
        raise InputError(f"{url}: the download ended after {size} of {declared} bytes; try again")


def _packaged(name: str) -> BenchmarkSpec:
    if name not in names():
        raise InputError(f"{name!r}: no such benchmark; {_nearest(name)}")
    return read_spec(resources.data_root() / _FOLDER / f"{name}.yaml")


def _gold_file(folder: Path) -> Path:
    found = next((p for p in (folder / "test.jsonl", folder / "dev.jsonl") if p.is_file()), None)
    if found is None:
        raise InputError(f"{folder}: contains neither test.jsonl nor dev.jsonl")
    return found


def _folder_name(folder: Path) -> str:
    described = read_json(folder / "source.json") if (folder / "source.json").is_file() else None
    own = described.get("name") if isinstance(described, dict) else None
    return own if isinstance(own, str) and own else folder.resolve().name


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known benchmarks: {', '.join(names()) or 'none'}"
