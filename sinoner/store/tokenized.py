"""The tokens for BM25, computed once and kept in a file; and the stop words that the settings name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from sinoner import disk, resources
from sinoner.engine import SHARD, Engine
from sinoner.errors import InputError
from sinoner.records import Lang
from sinoner.retrieve.tokenize import cut, stop_words_in, tokenizer

_KEY = 32  # hexadecimal digits of a key
_BEFORE = b'["'  # beginning of a line of the file, before its key


def stop_words(setting: str, lang: Lang) -> frozenset[str]:
    """The words that BM25 ignores.

    Args:
        setting: ``shipped``, ``none``, or a file with one word per line (``retrieve.stop_words``).
        lang: language of the shipped list; a file is used for both languages.

    Raises:
        InputError: the file is missing, cannot be read or is not UTF-8.
    """
    if setting == "none":
        return frozenset()
    path = Path(setting).expanduser()
    if setting == "shipped":
        path = resources.data_root() / "data_recipes" / "stopwords" / f"{lang}.txt"
    missing = (
        f"retrieve.stop_words: {path}: no such file; give a file with one word per line, shipped or none"
    )
    return stop_words_in(disk.read_text(path, missing))


class Tokens:
    """The tokens of texts of one language, stop words included.

    Chinese tokens are kept in a file, one JSON line per text (key, tokens). It is only appended to: a killed run loses the lines
    it was writing, and the next run tokenizes only texts that are not in the file. The key is a hash of tokenizer, its version,
    language and text, so a newer tokenizer starts from scratch. English is split at white space, which is faster than reading
    a file, so it has none.

    Args:
        path: the file, created when needed. Deleting it is safe.
        lang: language of the texts.
        engine: tokenizes the missing texts.
    """

    def __init__(self, path: Path, lang: Lang, engine: Engine) -> None:
        self._path, self._lang, self._engine = path, lang, engine
        self._salt = f"{tokenizer(lang)}\0{lang}\0"
        self._interned: dict[str, str] = {}  # one shared object per token, to save memory
        self._places, self._end = _places(path) if lang == "zh" else ({}, 0)

    def of(self, texts: Sequence[str]) -> list[list[str]]:
        """Tokens of each text, in order; equal texts share one list.

        Raises:
            StoppedError: the disk is full. Tokens written so far are kept.
        """
        if self._lang == "en":
            return [self._shared(tokens) for tokens in cut(texts, "en")]
        keys = [self._key(text) for text in texts]
        found = dict(self._kept(set(keys)))
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        found.update(self._cut(missing))
        return [found[key] for key in keys]

    def _key(self, text: str) -> str:
        return blake2b((self._salt + text).encode(), digest_size=_KEY // 2).hexdigest()

    def _shared(self, tokens: list[str]) -> list[str]:
        return list(map(self._interned.setdefault, tokens, tokens))

    def _kept(self, keys: set[str]) -> Iterator[tuple[str, list[str]]]:
        places = sorted((self._places[key], key) for key in keys if key in self._places)
        if not places:
            return
        with self._path.open("rb") as file:
            for place, key in places:
                file.seek(place)
                tokens = _tokens(file.readline(), key)
                if tokens is not None:  # the text of a damaged line is tokenized again
                    yield key, self._shared(tokens)

    def _cut(self, missing: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
        """Tokenize texts and write their tokens to the file, a shard at a time."""
        if not missing:
            return
        if self._path.exists() and self._path.stat().st_size > self._end:
            with disk.writing(self._path):
                os.truncate(self._path, self._end)  # removes a line that a killed run did not finish
        tokens_of = self._engine.map(partial(cut, lang=self._lang), missing.values())
        done = zip(missing, tokens_of, strict=True)
        while shard := list(islice(done, SHARD)):
            lines = [json.dumps(pair, ensure_ascii=False, separators=(",", ":")).encode() for pair in shard]
            disk.append(self._path, b"".join(line + b"\n" for line in lines))
            for (key, tokens), line in zip(shard, lines, strict=True):
                self._places[key] = self._end
                self._end += len(line) + 1
                yield key, self._shared(tokens)


def _places(path: Path) -> tuple[dict[str, int], int]:
    """The offset of each key's line in the file, and the end of its last complete line."""
    places: dict[str, int] = {}
    end = 0
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                if line.startswith(_BEFORE):
                    places[line[len(_BEFORE) : len(_BEFORE) + _KEY].decode("ascii", "replace")] = end
                end += len(line)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return places, end


def _tokens(line: bytes, key: str) -> list[str] | None:
    try:
        found, tokens = json.loads(line)
    except ValueError:
        return None
    whole = found == key and isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
    return tokens if whole else None
