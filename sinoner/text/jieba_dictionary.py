"""The dictionary of jieba, read without its log lines."""

from __future__ import annotations


def read_dictionary() -> None:
    """Have jieba read its dictionary; its log level is raised meanwhile and restored."""
    import logging

    import jieba

    logger = logging.getLogger("jieba")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        jieba.initialize()
    finally:
        logger.setLevel(before)
