"""jieba reads its dictionary in silence, and its log level is the caller's afterwards."""

import subprocess
import sys

import pytest

SCRIPT = """
import logging
import jieba
logging.getLogger("jieba").setLevel(logging.{level})
from sinoner.text.jieba_dictionary import read_dictionary
{read}
assert logging.getLogger("jieba").level == logging.{level}
print(jieba.lcut("北京大学"))
"""


@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_the_level_is_restored_and_nothing_is_logged(level: str) -> None:
    code = SCRIPT.format(level=level, read="read_dictionary()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "北京大学" in done.stdout
    assert done.stderr == ""


def test_without_it_jieba_logs() -> None:
    code = SCRIPT.format(level="DEBUG", read="")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "dictionary" in done.stderr
