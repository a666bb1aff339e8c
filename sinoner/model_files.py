"""Where a model comes from: a folder, the cache of the hub, or the hub; and one line when from none of them.

The libraries that load models try a hub that cannot be reached again and again, for a minute and more, and report it in
words of their own. So it is asked once, for one small file, before any of them is called.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from sinoner.errors import InputError

# Seconds until a connection that failed at once is tried a second time.
_PAUSE = 1.0
# Seconds that the client gets beyond its own time-out before it is given up on.
_GRACE = 1.0


class NamedModel(NamedTuple):
    """A model as it was named.

    Attributes:
        model: as written: a folder or a hub id.
        setting: where it is written, for messages.
        remedy: what to do when there is no such model, for messages.
        files: a folder that holds one of these is a model.
        ids: hub ids that it may mean, the likeliest first; none = itself.
        cache: folder of downloaded models; None = that of the hub.
    """

    model: str
    setting: str
    remedy: str
    files: Sequence[str] = ("config.json",)
    ids: Sequence[str] = ()
    cache: str | None = None

    def refused(self, why: str) -> InputError:
        """The error, in one line, for a model that cannot be used."""
        return InputError(f"{self.setting}: {self.model!r}: {why}; {self.remedy}")

    def cannot_load(self, error: Exception) -> InputError:
        """The same for a model that is there but that a library fails to load."""
        return self.refused(f"cannot be loaded ({_first_line(error)})")


def folder(asked: NamedModel) -> Path | None:
    """The folder that a model is named by, or None when it can only be a hub id. No hub is asked.

    Raises:
        InputError: it is neither, or the folder holds no model.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HFValidationError

    path = os.path.expanduser(asked.model)
    if os.path.isdir(path):
        if any((Path(path) / name).is_file() for name in asked.files):
            return Path(path)
        raise asked.refused(f"this folder holds no {asked.files[0]}, so it is no model")
    if os.path.exists(path):
        raise asked.refused("is a file, not the folder of a model")
    try:
        hf_hub_url(asked.model, asked.files[0])
    except HFValidationError:
        raise asked.refused("there is no such folder, and it is no hub id (owner/name) either") from None
    return None


def located(asked: NamedModel) -> str:
    """What a library can load the model from: a folder, or a hub id that the hub has.

    A hub that cannot be reached leaves the copy in the cache, whose folder is returned: then no library asks for more.

    Raises:
        InputError: there is no such model, or the hub cannot be reached and the cache does not have it.
    """
    from huggingface_hub import constants

    if (found := folder(asked)) is not None:
        return str(found)
    ids = asked.ids or (asked.model,)
    kept = next((place for one in ids if (place := _kept(one, asked)) is not None), None)
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set, so the hub is not asked"
        answer: str | None = f"there is no such folder, and the cache of the hub does not have it; {why}"
    else:
        for one in ids:
            if (answer := _missing(one, asked)) is None:
                return one
    if kept is not None:
        return kept
    assert answer is not None
    raise asked.refused(answer)


def _kept(identifier: str, asked: NamedModel) -> str | None:
    """The folder of the model in the cache."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(identifier, name, cache_dir=asked.cache) for name in asked.files)
    return next((str(Path(path).parent) for path in found if isinstance(path, str)), None)


def _missing(identifier: str, asked: NamedModel) -> str | None:
    """Why the hub cannot give a model; None when it can, or when it is too busy to answer, which the libraries wait for."""
    import httpx2
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
    )

    hub, seconds = constants.ENDPOINT, constants.HF_HUB_ETAG_TIMEOUT
    try:
        _ask(hf_hub_url(identifier, asked.files[0]), seconds)
    except EntryNotFoundError:  # of several files, any will do: the library finds out
        alone = len(asked.files) == 1
        return f"{hub}/{identifier} has no {asked.files[0]}, so it is no model" if alone else None
    except GatedRepoError:
        return f"{hub}/{identifier} asks for consent first: give it there, then hf auth login"
    except RepositoryNotFoundError:
        return f"there is no such folder, and {hub} has no such model, or only for those who may see it (hf auth login)"
    except HfHubHTTPError:
        return None
    except (TimeoutError, httpx2.TimeoutException):  # given up on, or given up by the client itself
        why = f"no answer in {seconds} s; the environment variable HF_HUB_ETAG_TIMEOUT gives it longer"
    except (httpx2.HTTPError, OSError) as error:
        why = _first_line(error)
    else:
        return None
    return (
        f"there is no such folder, the cache of the hub does not have it, and {hub} cannot be reached ({why})"
    )


def _ask(url: str, seconds: float) -> None:
    """Ask the hub about a file.

    In a thread that is abandoned after the time-out and a little more: the client's own time-out covers neither the
    resolving of names nor several addresses that do not answer.

    Raises:
        TimeoutError: there was no answer in time.
        Exception: whatever the client of the hub raises, its own time-out among it.
    """
    import httpx2
    from huggingface_hub import get_hf_file_metadata

    answer: Future[None] = Future()

    def ask() -> None:
        try:
            try:
                get_hf_file_metadata(url, timeout=seconds)
            except httpx2.ConnectError:
                time.sleep(_PAUSE)
                get_hf_file_metadata(url, timeout=seconds)
        except Exception as error:  # raised where the answer is waited for
            answer.set_exception(error)
        else:
            answer.set_result(None)

    Thread(target=ask, daemon=True).start()
    answer.result(timeout=seconds + _GRACE)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
