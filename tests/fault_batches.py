"""Files and batches of the fault server, in the format of OpenAI and in memory.

The status of a batch follows the clock: validating, in_progress, finalizing and, after ``batch_delay`` seconds, completed.
Its lines are answered at the first request after that time. Connection faults do not apply to batches; error
responses are written to the error file, all others to the output file, shuffled.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

STAMPS = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass
class File:
    """A file and its object."""

    tree: dict[str, Any]
    data: bytes


@dataclass
class Batch:
    """A batch, its object and its remaining lines."""

    tree: dict[str, Any]
    auth: str
    started: float  # time.monotonic()
    number: int  # of this server, from 0
    lines: list[dict[str, Any]] = field(default_factory=list)

    def move(self, status: str) -> None:
        """Set the status."""
        if self.tree["status"] != status:
            self.tree["status"] = status
            self.tree[f"{status}_at"] = int(time.time())


class Batches:
    """The files and batches of a server."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.numbers = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        """Delete all files and batches."""
        self.files: dict[str, File] = {}
        self.batches: dict[str, Batch] = {}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the routes below /v1."""
        router.add_post("/v1/files", self.upload)
        router.add_get("/v1/files", self.list_files)
        router.add_get("/v1/files/{id}", self.show_file)
        router.add_get("/v1/files/{id}/content", self.show_content)
        router.add_delete("/v1/files/{id}", self.delete_file)
        router.add_post("/v1/batches", self.create)
        router.add_get("/v1/batches", self.list_batches)
        router.add_get("/v1/batches/{id}", self.show_batch)
        router.add_post("/v1/batches/{id}/cancel", self.cancel)

    def advance(self) -> None:
        """Update every batch to the current time."""
        for batch in self.batches.values():
            self._advance(batch)

    # Files

    async def upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        part = form.get("file")
        if not isinstance(part, web.FileField):
            return refuse(400, "'file' is a required property")
        file = self._keep(part.file.read(), part.filename, str(form.get("purpose", "batch")))
        return self._answer(request, file.tree, "drop_after_upload")

    async def list_files(self, _: web.Request) -> web.StreamResponse:
        newest = [file.tree for file in reversed(self.files.values())]
        return web.json_response({"object": "list", "data": newest, "has_more": False})

    async def show_file(self, request: web.Request) -> web.StreamResponse:
        file = self.files.get(request.match_info["id"])
        return web.json_response(file.tree) if file else refuse(404, "No such File object")

    async def show_content(self, request: web.Request) -> web.StreamResponse:
        file = self.files.get(request.match_info["id"])
        if file is None:
            return refuse(404, "No such File object")
        return web.Response(body=file.data, content_type="application/octet-stream")

    async def delete_file(self, request: web.Request) -> web.StreamResponse:
        file = self.files.pop(request.match_info["id"], None)
        if file is None:
            return refuse(404, "No such File object")
        return web.json_response({"id": file.tree["id"], "object": "file", "deleted": True})

    def _keep(self, data: bytes, name: str, purpose: str) -> File:
        tree = {
            "id": f"file-{next(self.numbers):06}",
            "object": "file",
            "bytes": len(data),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        return self.files.setdefault(tree["id"], File(tree, data))

    def _answer(self, request: web.Request, tree: dict[str, Any], drop: str) -> web.StreamResponse:
        """Respond with a created object, or drop the response once if the option ``drop`` is set."""
        if getattr(self.server.options, drop):
            self.server.change(**{drop: False})
            self.server.by_fault[drop] += 1
            return self.server.abort(request)
        return web.json_response(tree)

    # Batches

    async def create(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        file = self.files.get(asked.get("input_file_id"))
        if file is None:
            return refuse(400, f"No such File object: {asked.get('input_file_id')}")
        now = int(time.time())
        tree = {
            "id": f"batch_{next(self.numbers):06}",
            "object": "batch",
            "endpoint": asked.get("endpoint"),
            "errors": None,
            "input_file_id": file.tree["id"],
            "completion_window": asked.get("completion_window"),
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86400,
            **{f"{name}_at": None for name in STAMPS},
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": None if self.server.options.batch_no_metadata else asked.get("metadata"),
        }
        auth = request.headers.get("Authorization", "")
        batch = Batch(tree, auth, time.monotonic(), len(self.batches))
        self.batches[tree["id"]] = batch
        batch.lines, errors = self._read(file.data)
        if errors:
            tree["errors"] = {"object": "list", "data": errors}
            batch.lines = []
        return self._answer(request, tree, "drop_after_create")

    def _read(self, data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The requests in an input file, and its errors."""
        lines: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        seen: set[str] = set()

        def wrong(code: str, message: str, line: int | None = None) -> None:
            errors.append({"code": code, "message": message, "param": None, "line": line})

        for number, text in enumerate(data.decode().split("\n"), 1):
            if not text.strip():
                continue
            try:
                line = json.loads(text)
                if line["custom_id"] in seen:
                    wrong("duplicate_custom_id", "The custom_id of this line is not unique.", number)
                seen.add(line["custom_id"])
                self.server.asked(line["body"])
                lines.append(line)
            except (ValueError, LookupError, TypeError, AttributeError):
                wrong("invalid_json_line", "This line is not a request in JSON.", number)
        most = self.server.options.batch_max_requests
        if most and len(lines) > most:
            wrong("too_many_tasks", f"The number of requests in the file can't exceed {most}.")
        if not lines and not errors:
            wrong("empty_file", "The input file has no requests.")
        return lines, errors

    async def list_batches(self, request: web.Request) -> web.StreamResponse:
        self.advance()
        limit, after = int(request.query.get("limit", 20)), request.query.get("after")
        newest = [batch.tree for batch in reversed(self.batches.values())]
        if after is not None:
            ids = [tree["id"] for tree in newest]
            if after not in ids:
                return refuse(400, f"No batch found with id '{after}'.")
            newest = newest[ids.index(after) + 1 :]
        page = newest[:limit]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return web.json_response(
            {
                "object": "list",
                "data": page,
                "has_more": len(newest) > limit,
                "first_id": None,
                "last_id": None,
            }
            | ends
        )

    async def show_batch(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return refuse(404, f"No batch found with id '{request.match_info['id']}'.")
        self._advance(batch)
        return web.json_response(batch.tree)

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return refuse(404, f"No batch found with id '{request.match_info['id']}'.")
        self._advance(batch)
        if batch.tree["status"] in ENDED:
            return refuse(409, f"Cannot cancel a batch with status '{batch.tree['status']}'.")
        batch.move("cancelling")
        return web.json_response(batch.tree)

    def _advance(self, batch: Batch) -> None:
        """Set the current status of a batch; finish it when it is due."""
        tree, o = batch.tree, self.server.options
        if tree["status"] in ENDED:
            return
        if tree["status"] == "cancelling":  # half of its lines are completed
            share = 0.5 if tree["in_progress_at"] else 0.0
            self._finish(batch, share, "cancelled", "batch_cancelled", "This request was cancelled.")
            return
        spent = time.monotonic() - batch.started
        if tree["errors"]:
            if spent >= o.batch_delay / 4:
                batch.move("failed")
            return
        if spent >= o.batch_delay / 4:
            batch.move("in_progress")
            tree["request_counts"]["total"] = len(batch.lines)
        if spent >= o.batch_delay * 3 / 4:
            batch.move("finalizing")
        if spent < o.batch_delay:
            return
        if o.batch_fraction < 1 and (o.batch_bad < 0 or batch.number < o.batch_bad):
            message = "This request could not be executed before the completion window expired."
            self._finish(batch, o.batch_fraction, "expired", "batch_expired", message)
        else:
            self._finish(batch, 1.0, "completed", "", "")

    def _finish(self, batch: Batch, share: float, status: str, code: str, message: str) -> None:
        """Answer that share of the lines, write the files and end the batch."""
        tree, lines = batch.tree, batch.lines
        random.Random(f"{self.server.options.seed}|{batch.number}").shuffle(lines)
        most = math.floor(share * len(lines) + 1e-9)
        good, bad = [], []
        for number, line in enumerate(lines):
            answer = {"id": f"batch_req_{next(self.numbers):06}", "custom_id": line["custom_id"]}
            if number >= most:
                bad.append({**answer, "response": None, "error": {"code": code, "message": message}})
                continue
            reply = self.server.line(line["body"], batch.auth)
            response = {
                "status_code": reply.status,
                "request_id": answer["id"].replace("batch_", ""),
                "body": self._body(reply),
            }
            (good if reply.status == 200 else bad).append({**answer, "response": response, "error": None})
        counts = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        if self.server.options.batch_duplicate:
            good = [line for n, line in enumerate(good) for _ in range(2 if n % 3 == 2 else 1)]
        for key, rows in (("output", good), ("error", bad)):
            if rows:
                data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
                file = self._keep(data, f"{tree['id']}_{key}.jsonl", "batch_output")
                tree[f"{key}_file_id"] = file.tree["id"]
        tree["request_counts"] = counts
        batch.lines = []
        batch.move(status)

    def _body(self, reply: Any) -> Any:
        if reply.kind == "application/json":
            return json.loads(reply.body)
        return {"error": {"message": reply.body.decode(), "type": None, "code": None}}


def refuse(status: int, message: str) -> web.Response:
    """An error response in the format of OpenAI."""
    tree = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": tree}, status=status)
