"""Passages → annotations, by an LLM or by an embedded annotator."""
