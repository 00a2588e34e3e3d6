"""A small hub on this machine, for huggingface_hub to talk to."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves one folder as a repository, in the few routes that huggingface_hub asks for.

    Args:
        kind: "models" or "datasets".
    """

    def __init__(self, folder: Path, kind: str, name: str):
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.asked.append(f"{self.command} {self.path}")
                path = unquote(self.path.split("?")[0]).strip("/")
                files = {each.relative_to(folder).as_posix(): each for each in sorted(folder.rglob("*")) if each.is_file()}
                json_type = {"Content-Type": "application/json"}
                resolved = path.removeprefix("datasets/").removeprefix(f"{name}/resolve/").partition("/")[2]
                if path.startswith(f"api/{kind}/{name}/tree"):
                    sizes = {each: files[each].stat().st_size for each in files}
                    body = [{"type": "file", "path": each, "size": size, "oid": "0" * 40} for each, size in sizes.items()]
                    self.answer(200, json.dumps(body).encode(), json_type)
                elif path.startswith(f"api/{kind}/{name}"):
                    siblings = [{"rfilename": each, "size": files[each].stat().st_size} for each in files]
                    body = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
                    self.answer(200, json.dumps(body).encode(), json_type)
                elif f"{name}/resolve/" in path and resolved in files:
                    content = files[resolved].read_bytes()
                    tag = hashlib.sha256(content).hexdigest()
                    self.answer(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
                else:
                    self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound" if name in path else "RepoNotFound"})

            do_HEAD = do_GET

            def answer(self, status: int, content: bytes, headers: dict[str, str]):
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def python(code: str, tmp_path: Path, endpoint: str, offline: bool = False) -> subprocess.CompletedProcess:
    """Runs `code` in a process of its own: huggingface_hub reads its settings when it is imported."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
        "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    env |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
