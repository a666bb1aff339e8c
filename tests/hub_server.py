"""A small stand-in for the Hugging Face Hub on the loopback, for the real clients.

It keeps repositories in memory: create, validate-yaml, preupload, LFS batch and PUT, commit, tree, info and
resolve, as far as ``huggingface_hub`` and ``datasets`` use them with HF_HUB_DISABLE_XET=1. Every request except
the LFS PUT (a signed address on the real Hub) needs the bearer token. Unknown paths are recorded in ``unknown``;
with ``storage_refuses`` set, the LFS PUT returns 403.

    with HubServer() as hub:
        subprocess.run([...], env={**os.environ, **hub.env(home)})
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import yaml
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

TOKEN = "hf_stand_in_0123456789"
LFS_SUFFIXES = (".parquet", ".safetensors")
KINDS = {"models": "model", "datasets": "dataset"}


@dataclass
class Repo:
    kind: str
    name: str
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return self.commits[-1]

    @property
    def path(self) -> str:
        return self.name if self.kind == "model" else f"{self.kind}s/{self.name}"

    def commit(self, message: str) -> None:
        self.commits.append(hashlib.sha1(f"{self.name} {len(self.commits)} {message}".encode()).hexdigest())


class HubServer:
    """Runs in a thread between ``__enter__`` and ``__exit__``; ``url`` is its address."""

    def __init__(self, token: str = TOKEN, owners: tuple[str, ...] = ("someone",)) -> None:
        self.token = token
        self.owners = owners
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.unknown: list[str] = []
        self.storage_refuses = False
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(_app(self), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> HubServer:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the stand-in did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def env(self, home: Path) -> dict[str, str]:
        """The environment in which the real clients use the stand-in and do not touch the user's files."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
        }


def _error(status: int, message: str, code: str | None = None) -> JSONResponse:
    headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
    return JSONResponse({"error": message}, status, headers)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _file_info(path: str, data: bytes) -> dict[str, Any]:
    info: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _git_oid(data)}
    if path.endswith(LFS_SUFFIXES):
        info["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return info


def _oid(path: str, data: bytes) -> str:
    info = _file_info(path, data)
    oid: str = info.get("lfs", info)["oid"]
    return oid


def _tree(repo: Repo, under: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{under}/" if under else ""
    found: dict[str, dict[str, Any]] = {}
    for path, data in sorted(repo.files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            folder = prefix + "/".join(parts[:depth])
            found[folder] = {"type": "directory", "path": folder, "size": 0, "oid": _git_oid(folder.encode())}
        if recursive or len(parts) == 1:
            found[path] = _file_info(path, data)
    return list(found.values())


def _app(hub: HubServer) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        hub.requests.append(f"{request.method} {request.url.path}")
        if (
            not request.url.path.startswith("/lfs/")
            and request.headers.get("authorization") != f"Bearer {hub.token}"
        ):
            # A careless server repeats the token; no client may print it.
            return _error(401, f"Invalid credentials: {request.headers.get('authorization')}")
        response: Response = await call_next(request)
        return response

    _writing(app, hub)
    _uploading(app, hub)
    _reading(app, hub)

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "DELETE"])
    def unknown(path: str, request: Request) -> Response:
        hub.unknown.append(f"{request.method} /{path}")
        return _error(404, "Not found")

    return app


def _find(
    hub: HubServer, kinds: str, owner: str, name: str, revision: str | None = None
) -> Repo | JSONResponse:
    repo = hub.repos.get((KINDS.get(kinds, ""), f"{owner}/{name}"))
    if repo is None:
        return _error(404, "Repository not found", "RepoNotFound")
    if revision not in (None, "main", *repo.commits):
        return _error(404, "Revision not found", "RevisionNotFound")
    return repo


def _writing(app: FastAPI, hub: HubServer) -> None:
    @app.post("/api/repos/create")
    async def create(request: Request) -> Response:
        asked = await request.json()
        owner = asked.get("organization") or hub.owners[0]
        if owner not in hub.owners:
            return _error(403, f"You don't have the rights to create a repository under {owner}")
        kind, name = asked.get("type") or "model", f"{owner}/{asked['name']}"
        if old := hub.repos.get((kind, name)):
            return JSONResponse(
                {"error": "You already created this repo", "url": f"{hub.url}/{old.path}"}, 409
            )
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repo = hub.repos[kind, name] = Repo(kind, name, private)
        repo.commit("initial commit")
        return JSONResponse({"url": f"{hub.url}/{repo.path}", "name": name, "id": name})

    @app.post("/api/validate-yaml")
    async def validate(request: Request) -> Response:
        asked = await request.json()
        meta = yaml.safe_load(asked["content"].split("\n---\n")[0].removeprefix("---\n"))
        needed = {"license": str, "language": list, "tags": list}
        wrong = [f'"{k}" is missing or wrong' for k, t in needed.items() if not isinstance(meta.get(k), t)]
        errors = [{"message": message} for message in wrong]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    @app.post("/api/{kinds}/{owner}/{name}/commit/{revision}")
    async def commit(kinds: str, owner: str, name: str, revision: str, request: Request) -> Response:
        repo = _find(hub, kinds, owner, name, revision)
        if isinstance(repo, JSONResponse):
            return repo
        files, title = dict(repo.files), ""
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            key, value = item["key"], item["value"]
            if key == "header":
                title = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in hub.blobs:
                    return _error(400, f"{value['path']}: its content was not uploaded")
                files[value["path"]] = hub.blobs[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            else:
                return _error(400, f"unknown operation {key}")
        repo.files = files
        repo.commit(title)
        return JSONResponse(
            {"success": True, "commitOid": repo.sha, "commitUrl": f"{hub.url}/{repo.path}/commit/{repo.sha}"}
        )


def _uploading(app: FastAPI, hub: HubServer) -> None:
    @app.post("/api/{kinds}/{owner}/{name}/preupload/{revision}")
    async def preupload(kinds: str, owner: str, name: str, revision: str, request: Request) -> Response:
        repo = _find(hub, kinds, owner, name, revision)
        if isinstance(repo, JSONResponse):
            return repo
        modes = [
            {
                "path": f["path"],
                "uploadMode": "lfs" if f["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
                "oid": _oid(f["path"], repo.files[f["path"]]) if f["path"] in repo.files else None,
            }
            for f in (await request.json())["files"]
        ]
        return JSONResponse({"files": modes})

    async def batch(request: Request) -> Response:
        objects = []
        for wanted in (await request.json())["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in hub.blobs:
                entry["actions"] = {"upload": {"href": f"{hub.url}/lfs/{wanted['oid']}"}}
            objects.append(entry)
        return JSONResponse({"transfer": "basic", "objects": objects})

    app.post("/{owner}/{name}.git/info/lfs/objects/batch")(batch)
    app.post("/datasets/{owner}/{name}.git/info/lfs/objects/batch")(batch)

    @app.put("/lfs/{oid}")
    async def put(oid: str, request: Request) -> Response:
        data = await request.body()
        if hub.storage_refuses:
            return _error(403, "storage is full")
        if hashlib.sha256(data).hexdigest() != oid:
            return _error(400, "content and hash differ")
        hub.blobs[oid] = data
        return Response()


def _reading(app: FastAPI, hub: HubServer) -> None:
    def info(kinds: str, owner: str, name: str, revision: str | None = None) -> Response:
        repo = _find(hub, kinds, owner, name, revision)
        if isinstance(repo, JSONResponse):
            return repo
        siblings = [{"rfilename": path} for path in sorted(repo.files)]
        return JSONResponse(
            {"id": repo.name, "sha": repo.sha, "private": repo.private, "siblings": siblings, "tags": []}
        )

    def tree(
        kinds: str, owner: str, name: str, revision: str, path: str = "", recursive: bool = False
    ) -> Response:
        repo = _find(hub, kinds, owner, name, revision)
        if isinstance(repo, JSONResponse):
            return repo
        entries = _tree(repo, path, recursive)
        return (
            JSONResponse(entries) if entries or not path else _error(404, "Entry not found", "EntryNotFound")
        )

    async def paths_info(kinds: str, owner: str, name: str, revision: str, request: Request) -> Response:
        repo = _find(hub, kinds, owner, name, revision)
        if isinstance(repo, JSONResponse):
            return repo
        if "json" in request.headers.get("content-type", ""):
            paths = (await request.json())["paths"]
        else:
            from urllib.parse import parse_qs

            paths = parse_qs((await request.body()).decode())["paths"]
        entries = {entry["path"]: entry for entry in _tree(repo, "", True)}
        return JSONResponse([entries[path] for path in paths if path in entries])

    app.get("/api/{kinds}/{owner}/{name}")(info)
    app.get("/api/{kinds}/{owner}/{name}/revision/{revision}")(info)
    app.get("/api/{kinds}/{owner}/{name}/tree/{revision}")(tree)
    app.get("/api/{kinds}/{owner}/{name}/tree/{revision}/{path:path}")(tree)
    app.post("/api/{kinds}/{owner}/{name}/paths-info/{revision}")(paths_info)

    def resolve(owner: str, name: str, revision: str, path: str, request: Request) -> Response:
        kinds = "datasets" if request.url.path.startswith("/datasets/") else "models"
        repo = _find(hub, kinds, owner, name, revision)
        if isinstance(repo, JSONResponse):
            return repo
        if path not in repo.files:
            return _error(404, "Entry not found", "EntryNotFound")
        data = repo.files[path]
        headers = {"ETag": f'"{_oid(path, data)}"', "X-Repo-Commit": repo.sha, "Accept-Ranges": "bytes"}
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(len(data))})
        if (wanted := request.headers.get("range", "")).startswith("bytes="):
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            return Response(data[start : end + 1], 206, headers)
        return Response(data, headers=headers)

    for prefix in ("", "/datasets"):
        address = prefix + "/{owner}/{name}/resolve/{revision}/{path:path}"
        app.api_route(address, methods=["GET", "HEAD"])(resolve)
