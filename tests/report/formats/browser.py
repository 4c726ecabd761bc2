"""A headless Chromium that opens pages of a folder, with nothing but the standard library.

The browser's proxy is the server of the pages, so that no request gets out. A driving page on the
same server opens each page in a frame of the width wanted and posts its findings.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HOST = "report.invalid"
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = Path(__file__).with_name("browser.js")


class Browser:
    """Visits of the pages in a folder.

    Args:
        folder: has the pages.
        profile: an empty folder for the browser's own files.
        axe: the file axe.min.js; None where there is none.
    """

    def __init__(self, folder: Path, profile: Path, axe: Path | None) -> None:
        self.folder, self.profile, self.axe = folder, profile, axe
        self.found: Any = None
        self.console = ""

    def visit(self, pages: list[str], seconds: float = 120) -> Any:
        """Return what the driver found on each page, by name.

        Raises:
            TimeoutError: the browser did not answer.
        """
        done = threading.Event()
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(pages, done))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu"),
            "--enable-logging=stderr",
            f"--proxy-server=127.0.0.1:{server.server_port}",
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={self.profile}", "--window-size=1280,900", f"http://{HOST}/driver"),
        ]
        log = self.profile.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            try:
                if not done.wait(seconds):
                    raise TimeoutError(log.read_text(encoding="utf-8", errors="replace")[-2000:])
            finally:
                process.terminate()
                process.wait(20)
                server.shutdown()
                server.server_close()
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        self.console = "\n".join(line for line in lines if "CONSOLE" in line)
        return self.found

    def _handler(self, pages: list[str], done: threading.Event) -> type[BaseHTTPRequestHandler]:
        browser = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                name = url.path.lstrip("/")
                if url.hostname != HOST:
                    self.send_error(403)
                elif name == "driver":
                    text = f"<!DOCTYPE html><script>const PAGES = {json.dumps(pages)};\n"
                    self.answer(text.encode() + DRIVER.read_bytes() + b"</script>")
                elif name == "axe.js" and browser.axe:
                    self.answer(browser.axe.read_bytes(), "text/javascript")
                elif (browser.folder / name).is_file():
                    data = (browser.folder / name).read_bytes()
                    if url.query == "axe":  # the policy of the page would refuse axe
                        data = data.replace(b"Content-Security-Policy", b"x-policy")
                    self.answer(data)
                else:
                    self.send_error(404)

            def do_CONNECT(self) -> None:
                self.send_error(403)

            def do_POST(self) -> None:
                if urlsplit(self.path).hostname != HOST:  # the browser asks for updates
                    self.send_error(403)
                    return
                browser.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(b"")
                done.set()

            def answer(self, data: bytes, kind: str = "text/html; charset=utf-8") -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler
