"""Downloads from a server on this machine: whole and checked, or not at all."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine.contract.errors import UserError
from engine.models import download as module
from engine.models.download import UnreachableError, download

CONTENT = bytes(range(256)) * 8192  # 2 MB, several chunks


class Handler(BaseHTTPRequestHandler):
    released = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/missing.pth":
            self.send_error(404, "Not\x1b[31m here")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/whole.pth":
            self.wfile.write(CONTENT)
        else:
            self.wfile.write(CONTENT[:1000])
        if self.path == "/stalled.pth":
            self.wfile.flush()
            self.released.wait()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        Handler.released.set()
        running.shutdown()
        thread.join()
        Handler.released.clear()


def test_a_whole_file_with_its_progress(server: str, tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "new" / "folder" / "whole.pth"
    download(f"{server}/whole.pth", path, hashlib.sha256(CONTENT).hexdigest()[:8], told.append)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["whole.pth"]
    assert told[-1] == "downloading whole.pth, 100% of 2 MB"
    assert 2 <= len(told) <= 11


def test_another_file_than_expected(server: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"whole\.pth is not the file it should be .* 0badc0de"):
        download(f"{server}/whole.pth", tmp_path / "x.pth", "0badc0de", lambda _words: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cut.pth", "missing.pth", "stalled.pth"])
def test_a_failed_download_leaves_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    with pytest.raises(UnreachableError) as raised:
        download(f"{server}/{name}", tmp_path / name, None, lambda _words: None)
    assert str(raised.value)
    assert str(raised.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_no_host_and_no_room(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="refused"):
        download("http://127.0.0.1:9/x.pth", tmp_path / "x.pth", None, lambda _words: None)
    (tmp_path / "file").touch()
    with pytest.raises(UnreachableError):
        download("http://127.0.0.1:9/x", tmp_path / "file" / "x", None, lambda _words: None)
