"""A hub of its own on this machine: what huggingface_hub asks for when a folder is uploaded, and nothing else."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml


def wrong(card: str) -> list[dict[str, str]]:
    """What the hub says of a card: its front matter is a mapping, and its base model one of the hub."""
    head = yaml.safe_load(card.split("---\n")[1])
    base = head.get("base_model", "of/a-hub")
    good = isinstance(base, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", base)
    return [] if good else [{"message": f'"base_model" with value "{base}" is not valid.'}]


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address and the repositories that were made; what is committed lands in ``folder/OWNER/NAME``."""
    made: list[dict[str, Any]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.say({"id": "me", "name": "me", "orgs": [], "sha": "0" * 40, "siblings": []})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != "Bearer hf_may_write":
                return self.say({"error": "Invalid username or password."}, 401)
            if self.path == "/api/repos/create":
                made.append(json.loads(body))
                name = f"{made[-1]['organization']}/{made[-1]['name']}"
                return self.say({"url": f"http://{self.headers['Host']}/{name}", "id": name})
            name = self.path.removeprefix("/api/models/").rpartition("/main")[0].rpartition("/")[0]
            if "/preupload/" in self.path:
                files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
                return self.say({"files": files})
            if "/commit/" not in self.path:  # it also asks whether the card's front matter is good
                return self.say({"errors": wrong(json.loads(body)["content"]), "warnings": []})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    place = folder / name / line["value"]["path"]
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(base64.b64decode(line["value"]["content"]))
            return self.say(
                {
                    "commitUrl": f"http://{self.headers['Host']}/{name}/commit/{'0' * 40}",
                    "commitOid": "0" * 40,
                    "success": True,
                }
            )

        def say(self, value: Any, status: int = 200) -> None:
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", made
    finally:
        server.shutdown()
