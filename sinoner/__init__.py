"""sinoner: from a corpus and an LLM to a trusted open-NER dataset and a fine-tuned model."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sinoner")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
