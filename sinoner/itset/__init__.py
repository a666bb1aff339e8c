"""Annotations → conversations, and their file formats."""
