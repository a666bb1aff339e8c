"""The embeddings API as values: a request for the vectors of some texts, and the vectors that are read from its answer.

Source: https://platform.openai.com/docs/api-reference/embeddings. Vectors are asked for in base64 (little-endian float32,
about half the bytes of decimal numbers); servers that do not know the field answer with lists of numbers, which are read
as well.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sinoner.llm.failures import CallError, error_in_body
from sinoner.llm.request import Reply, Request, make_request, message_of, token_count

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

PATH = "/embeddings"


class Embeddings(NamedTuple):
    """A read answer: vectors of shape ``(texts, dim)``, each of length 1, and the tokens that were billed."""

    vectors: Vectors
    tokens: int


def embedding_request(model: str, texts: Sequence[str], identity: str) -> Request:
    """The request for the vectors of some texts.

    Args:
        model: name in the settings.
        texts: at least one.
        identity: the endpoint's name, or its address without credentials.
    """
    body = {"model": model, "input": list(texts), "encoding_format": "base64"}
    request = make_request(body, identity, kind="embed")
    return request._replace(path=PATH, read=partial(_reply, texts=len(texts)))


def texts_of(body: str) -> tuple[str, ...]:
    """The texts of a request for vectors as it is kept."""
    return tuple(json.loads(body)["input"])


def _reply(raw: str, texts: int) -> Reply:
    """What the dispatcher wants to know of an answer."""
    return Reply(raw, "", "stop", read_embeddings(raw, texts).tokens, 0)


def read_embeddings(raw: str, texts: int) -> Embeddings:
    """Read an answer of the embeddings API, in the order of the texts.

    Args:
        raw: the body.
        texts: how many were sent.

    Raises:
        CallError: the body is not an embeddings response, reports an error in spite of its status, or does not contain one
            usable vector per text (kind ``transient``).
    """
    import numpy as np

    try:
        tree = json.loads(raw)
        if (kind := error_in_body(tree)) is not None and not tree.get("data"):
            raise CallError(kind, message_of(raw))
        rows = [_numbers(item["embedding"]) for item in _in_order(tree["data"], texts)]
        usage = tree.get("usage") or {}
        tokens = token_count(usage.get("prompt_tokens") or usage.get("total_tokens"))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CallError("transient", f"the answer is no list of vectors: {raw[:80]!r}") from None
    sizes = sorted({len(row) for row in rows})
    if len(sizes) != 1:
        raise CallError("transient", f"the vectors of one answer have {sizes[0]} and {sizes[-1]} numbers")
    matrix = np.stack(rows)
    if not np.isfinite(matrix).all():
        raise CallError("transient", "a vector has numbers that are not finite")
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0.0)
    if not largest.all():
        raise CallError("transient", "a vector is all zero")
    matrix /= largest  # so that no square is too large or too small
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return Embeddings(matrix.astype(np.float32), tokens)


def _in_order(data: Any, texts: int) -> list[Any]:
    """The items by their ``index``; as they come where none is given."""
    if len(data) != texts:
        raise CallError("transient", f"{len(data)} vectors came for {texts} texts")
    places = [item.get("index") for item in data]
    if all(place is None for place in places):
        return list(data)
    if sorted(places) != list(range(texts)):
        raise CallError(
            "transient", f"the vectors of {texts} texts are not numbered from 0 to {texts - 1}, each once"
        )
    return sorted(data, key=lambda item: int(item["index"]))


def _numbers(value: Any) -> npt.NDArray[np.float64]:
    """One vector, from base64 or from a list."""
    import numpy as np

    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float64)
    vector = np.asarray(value, dtype=np.float64)
    if vector.ndim != 1:
        raise ValueError("not a list of numbers")
    return vector
