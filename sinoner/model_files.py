"""Where a model comes from: a folder, the hub cache, or the hub; a one-line error when none has it.

The libraries that load models retry an unreachable hub for a minute or more and report it in messages of their own.
So one small file is requested from the hub, once, before any of them is called.
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

# Seconds before the one retry of a refused connection.
_PAUSE = 1.0
# Seconds to wait for the client beyond its own time-out.
_GRACE = 1.0


class NamedModel(NamedTuple):
    """A model as the settings name it.

    Attributes:
        model: a folder or a hub id, as written.
        setting: the setting that names it, for messages.
        remedy: what the user can do when the model is missing, for messages.
        files: a folder that contains one of these is a model folder.
        ids: hub ids that the name may stand for, the most likely first; empty = the name itself.
        cache: folder of downloaded models; None = the hub cache.
    """

    model: str
    setting: str
    remedy: str
    files: Sequence[str] = ("config.json",)
    ids: Sequence[str] = ()
    cache: str | None = None

    def refused(self, why: str) -> InputError:
        """The one-line error for a model that cannot be used."""
        return InputError(f"{self.setting}: {self.model!r}: {why}; {self.remedy}")

    def cannot_load(self, error: Exception) -> InputError:
        """The one-line error for a model that exists but that a library fails to load."""
        return self.refused(f"cannot be loaded ({_first_line(error)})")


def folder(named: NamedModel) -> Path | None:
    """The folder that the name stands for, or None when it can only be a hub id. Sends no request.

    Raises:
        InputError: the name is neither, or the folder contains no model.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HFValidationError

    path = os.path.expanduser(named.model)
    if os.path.isdir(path):
        if any((Path(path) / name).is_file() for name in named.files):
            return Path(path)
        raise named.refused(f"this folder contains no {named.files[0]}, so it is not a model folder")
    if os.path.exists(path):
        raise named.refused("this is a file, not a model folder")
    try:
        hf_hub_url(named.model, named.files[0])
    except HFValidationError:
        raise named.refused(
            "there is no such folder, and it is not a valid hub id (owner/name) either"
        ) from None
    return None


def located(named: NamedModel) -> str:
    """What a library can load the model from: a folder, or the id of a model that the hub has.

    When the hub cannot be reached, the folder of the cached copy is returned, so that no library sends further requests.

    Raises:
        InputError: there is no such model, or the hub cannot be reached and the cache does not have it.
    """
    from huggingface_hub import constants

    if (found := folder(named)) is not None:
        return str(found)
    ids = named.ids or (named.model,)
    cached = next((place for one in ids if (place := _cached(one, named)) is not None), None)
    if constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set, so the hub is not contacted"
        reason: str | None = f"there is no such folder, and the model is not in the hub cache; {why}"
    else:
        for one in ids:
            if (reason := _why_missing(one, named)) is None:
                return one
    if cached is not None:
        return cached
    assert reason is not None
    raise named.refused(reason)


def _cached(identifier: str, named: NamedModel) -> str | None:
    """The folder of the model in the cache."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(identifier, name, cache_dir=named.cache) for name in named.files)
    return next((str(Path(path).parent) for path in found if isinstance(path, str)), None)


def _why_missing(identifier: str, named: NamedModel) -> str | None:
    """Why the hub cannot provide a model; None when it can, or when it is overloaded, which the libraries wait out."""
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
        _request_metadata(hf_hub_url(identifier, named.files[0]), seconds)
    except EntryNotFoundError:  # with several possible files, any will do: the library checks
        alone = len(named.files) == 1
        return f"{hub}/{identifier} has no {named.files[0]}, so it is not a model" if alone else None
    except GatedRepoError:
        return f"{hub}/{identifier} requires accepting its terms: accept them on that page, then run hf auth login"
    except RepositoryNotFoundError:
        return f"there is no such folder, and {hub} has no such model, or it is private (run hf auth login)"
    except HfHubHTTPError:
        return None
    except (TimeoutError, httpx2.TimeoutException):  # our time-out, or the client's own
        why = (
            f"no response within {seconds} s; set the environment variable HF_HUB_ETAG_TIMEOUT to wait longer"
        )
    except (httpx2.HTTPError, OSError) as error:
        why = _first_line(error)
    else:
        return None
    return f"there is no such folder, the model is not in the hub cache, and {hub} cannot be reached ({why})"


def _request_metadata(url: str, seconds: float) -> None:
    """Request the metadata of a file from the hub.

    Runs in a thread that is abandoned shortly after the time-out: the client's own time-out covers neither name
    resolution nor a series of addresses that do not respond.

    Raises:
        TimeoutError: there was no response in time.
        Exception: whatever the hub client raises, including its own time-out.
    """
    import httpx2
    from huggingface_hub import get_hf_file_metadata

    response: Future[None] = Future()

    def request() -> None:
        try:
            try:
                get_hf_file_metadata(url, timeout=seconds)
            except httpx2.ConnectError:
                time.sleep(_PAUSE)
                get_hf_file_metadata(url, timeout=seconds)
        except Exception as error:  # raised again by response.result below
            response.set_exception(error)
        else:
            response.set_result(None)

    Thread(target=request, daemon=True).start()
    response.result(timeout=seconds + _GRACE)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
