"""Models that ship inside installed packages: where they are, and the folders that transformers reads."""
