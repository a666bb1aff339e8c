"""Batch mode of an OpenAI-compatible endpoint: files and batches, through the openai client.

Nothing is created twice: what will be sent stands in the ledger first, and after a kill or a broken connection the
endpoint's own list says whether a batch was created. Answers are joined by ``custom_id``, never by position.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sinoner.errors import EndpointError, StoppedError
from sinoner.llm.attempt import Attempt, answered, failed
from sinoner.llm.batch_records import Batch, BatchBook
from sinoner.llm.client import Client
from sinoner.llm.failures import RETRY, STOP, CallError, classify
from sinoner.llm.request import Request, message_of, read_reply

OVER = frozenset(("completed", "expired", "failed", "cancelled"))
_PATH = "/v1/chat/completions"
# Result lines committed together.
_TOGETHER = 500


def line(request: Request, client: Client) -> str:
    """One line of a batch's input file."""
    body = json.loads(request.payload)
    body["model"] = client.name_of(request.model)
    row = {"custom_id": request.key, "method": "POST", "url": _PATH, "body": body}
    return json.dumps(row, ensure_ascii=False) + "\n"


class BatchApi:
    """Files and batches of one endpoint.

    Raises (from every call):
        EndpointError: the endpoint has no batches, or refuses key or balance.
        StoppedError: it cannot be reached now; what is submitted goes on without us.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._api = client.openai()
        self._once = self._api.with_options(max_retries=0)  # a create that is tried again may create twice

    def submit(self, batch: Batch, file: Path, book: BatchBook) -> None:
        """Upload a batch's file and create it, going on wherever an earlier process stopped."""
        input_file = batch.file
        if input_file is None:
            with file.open("rb") as data:
                input_file = self._call(
                    lambda: self._once.files.create(file=(file.name, data), purpose="batch")
                ).id
            book.uploaded(batch.id, input_file)
        elif (known := self.created(batch.mark, input_file)) is not None:
            book.sent(batch.id, known)
            return
        made = self._call(
            lambda: self._once.batches.create(
                input_file_id=input_file,
                endpoint=_PATH,
                completion_window="24h",
                metadata={"sinoner": batch.mark},
            )
        )
        book.sent(batch.id, made.id)

    def created(self, mark: str, input_file: str) -> str | None:
        """The batch that an earlier call created without our learning its id, by our mark or by its input file."""
        for found in self._call(lambda: list(self._api.batches.list(limit=100))):
            if found.input_file_id == input_file or (found.metadata or {}).get("sinoner") == mark:
                return str(found.id)
        return None

    def status(self, remote: str) -> Any:
        """The batch as the endpoint tells it; None when it does not know it any more."""
        import openai

        def look() -> Any:
            try:
                return self._api.batches.retrieve(remote)
            except openai.NotFoundError:
                return None

        return self._call(look)

    def results(self, status: Any, folder: Path) -> Iterator[tuple[str, Attempt, bool]]:
        """What a finished batch brought: key, attempt, and whether a failure is final.

        Output and error file are both read, whatever the status: an expired batch has answers too.
        """
        for file_id in (status.output_file_id, status.error_file_id):
            if not file_id:
                continue
            path = folder / f"{Path(str(file_id)).name}.jsonl"
            self._call(partial(self._fetch, str(file_id), path))
            with path.open(encoding="utf-8", errors="replace") as rows:
                for row in rows:
                    if (item := self._read(row, str(status.id))) is not None:
                        yield item
            path.unlink()

    def _fetch(self, file_id: str, path: Path) -> None:
        self._api.files.content(file_id).write_to_file(path)

    def _read(self, row: str, remote: str) -> tuple[str, Attempt, bool] | None:
        """One line of an output or error file; None when it brings nothing (expired, unreadable)."""
        try:
            tree = json.loads(row)
            key, response = str(tree["custom_id"]), tree["response"]
            status = int(response["status_code"])
        except (ValueError, KeyError, TypeError):
            return None
        if not status:
            return None
        raw = self._client.hide(json.dumps(response.get("body"), ensure_ascii=False))
        try:
            if status != 200:
                raise CallError(classify(status, raw), message_of(raw), status=status, raw=raw)
            return key, answered(read_reply(raw), self._client.endpoint, batch=remote), False
        except CallError as error:
            body = raw if status == 200 else None
            attempt = failed(error, self._client.endpoint, raw=body, batch=remote)
            return key, attempt, error.kind not in RETRY and error.kind not in STOP

    def _call(self, do: Callable[[], Any]) -> Any:
        import openai

        try:
            return do()
        except openai.APIStatusError as error:
            text = self._client.hide(error.response.text)
            kind = classify(error.status_code, text)
            told = f"{self._client.endpoint}: batch mode: {kind}: {message_of(text)}"
            if kind in RETRY:
                raise StoppedError(f"{told}; run the same command again to continue") from None
            advice = (
                "it may have no batch mode: leave --mode batch away"
                if kind == "model_not_found"
                else "see its message"
            )
            raise EndpointError(f"{told}; {advice}") from None
        except openai.APIConnectionError as error:
            reason = self._client.hide(str(error.__cause__ or error))
            raise StoppedError(
                f"{self._client.endpoint}: batch mode: {reason}; run the same command again to continue"
            ) from None


def in_chunks(items: Iterator[tuple[str, Attempt, bool]]) -> Iterator[list[tuple[str, Attempt, bool]]]:
    """Result lines in lists that are committed together."""
    chunk: list[tuple[str, Attempt, bool]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == _TOGETHER:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
