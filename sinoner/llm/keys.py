"""Keys and addresses: where keys come from, and what of an address may be shown."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from sinoner.errors import EndpointError

DEFAULT_URL = "https://api.openai.com/v1"


def read_key(variable: str, file: str | None, environ: Mapping[str, str]) -> str:
    """The key of an endpoint, from a file or from the environment.

    Raises:
        EndpointError: there is none, or no key can look like this. The key itself is never in the message.
    """
    if file is not None:
        place = f"the file {file}"
        try:
            key = Path(file).expanduser().read_text(encoding="utf-8", errors="replace").strip()
        except OSError as error:
            raise EndpointError(
                f"no API key: {place} cannot be read ({error.strerror}); check llm.api_key_file"
            ) from None
    else:
        place = f"the environment variable {variable}"
        key = environ.get(variable, "").strip()
    if not key:
        raise EndpointError(
            f"no API key: set {place} (any text will do for a server of your own),"
            " or name another one with llm.api_key_env"
        )
    if not (key.isascii() and key.isprintable()):
        raise EndpointError(f"the API key in {place} has characters that no key has; set it again")
    return key


def address(url: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    """The address to use, and the address to show and keep, which has no login in it.

    ``${NAME}`` is filled in from the environment, so that a login need not stand in a file.

    Raises:
        EndpointError: it is no address, or a variable that it names is not set.
    """
    given = (url or environ.get("OPENAI_BASE_URL") or DEFAULT_URL).rstrip("/")

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise EndpointError(f"llm.base_url names ${{{match[1]}}}: set that environment variable")
        if given[match.end() :].startswith("@") and re.search(r"[/?#@\[\]\\\s]", environ[match[1]]):
            raise EndpointError(  # parts of it would be taken for host and path, and shown
                f"--base-url is not an address (the special characters in ${{{match[1]}}} must be percent-encoded);"
                " write http://HOST:PORT/v1"
            )
        return environ[match[1]]

    used = re.sub(r"\$\{(\w+)\}", value, given)
    try:
        parts = urlsplit(used)
        _ = parts.port
    except ValueError as error:
        told = "a login with special characters must be percent-encoded" if "@" in used else error
        raise EndpointError(f"--base-url is not an address ({told}); write http://HOST:PORT/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
        raise EndpointError(f"--base-url is not an address ({shown!r}); write http://HOST:PORT/v1")
    return used, urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def secrets(key: str, url: str) -> tuple[str, ...]:
    """What must never be shown or kept: the key, and the login of an address, also in the form it is sent in."""
    parts = urlsplit(url)
    login = unquote(parts.username or ""), unquote(parts.password or "")
    sent = b64encode(":".join(login).encode()).decode()
    return tuple(s for s in (key, sent, parts.password or "", *reversed(login)) if len(s) >= 8)


def proxy(url: str) -> str | None:
    """The proxy that the environment wants for an address, asked once and not for every request."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    found = getproxies().get(parts.scheme)
    return f"http://{found}" if found and "://" not in found else found


def with_path(url: str, path: str) -> str:
    """An address with a path added, before its query if it has one (``?api-version=…``)."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path))
