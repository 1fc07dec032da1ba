"""A local HTTP server in place of the servers from which data are downloaded."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Upstream:
    """A server.

    Attributes:
        address: Its address.
        contents: Path -> the contents of the file.
        breaks: Path -> how many more times the server stops in the middle of the file.
        requested: The requested paths, in order.
    """

    address: str
    contents: dict[str, bytes] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    requested: list[str] = field(default_factory=list)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """A server on the loopback interface. The downloader does not wait before it tries again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requested.append(self.path)
            if self.path not in served.contents:
                self.send_error(404)
                return
            contents = served.contents[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(contents)))
            self.end_headers()
            if served.breaks.get(self.path, 0):
                served.breaks[self.path] -= 1
                contents = contents[: len(contents) // 2]
            self.wfile.write(contents)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Upstream(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()
