"""Models that ship inside installed packages: where they are installed, and the folders made from them for transformers."""
