"""A headless Chromium, driven over a pipe in its DevTools protocol: opens a page, collects what its
console says, evaluates JavaScript, takes screenshots. Standard library only."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

ANSWER_SECONDS = 60


def find():
    """The browser's path, or None."""
    return shutil.which("chromium") or shutil.which("google-chrome")


class Browser:
    """`with Browser() as b: b.open(path)`; gone with its profile when the block ends."""

    def __enter__(self):
        self._profile = tempfile.mkdtemp(prefix="mayfly-browser-")
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()

        def pipes():  # the protocol is on descriptors 3 and 4
            ends = [os.dup(to_read), os.dup(to_write)]  # before 3 and 4 are overwritten
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)
        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
             "--no-first-run", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
             f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=pipes, close_fds=False)
        for fd in (to_read, to_write):
            os.close(fd)
        self._rest, self._number, self._session = b"", 0, None
        self.console, self.requests = [], []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in targets if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page,
                                  flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        try:
            self._session = None
            self.call("Browser.close")
        except (OSError, RuntimeError):
            pass
        os.close(self._to)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method, **params):
        """Sends one command; its result. Events that arrive meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has gone")
            self._rest += piece
        text, self._rest = self._rest.split(b"\0", 1)
        message = json.loads(text)
        method, params = message.get("method"), message.get("params", {})
        if method == "Log.entryAdded":
            self.console.append(params["entry"].get("text", ""))
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.console.append(json.dumps(params)[:500])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        return message

    def open(self, path, width=800, scheme="light", media="screen"):
        """Opens a file and waits until it is complete."""
        self.call("Emulation.setEmulatedMedia", media=media,
                  features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                  deviceScaleFactor=1.5, mobile=False)
        self.call("Page.navigate", url=f"file://{os.path.abspath(path)}")
        deadline = time.monotonic() + ANSWER_SECONDS
        while self.run("document.readyState + location.protocol") != "completefile:":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path} did not load")

    def run(self, script):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:500])
        return result["result"].get("value")

    def screenshot(self, path, clip=None):
        """The whole page, or the box `clip` {x, y, width, height}, as a PNG."""
        box = clip or self.run("({x: 0, y: 0, width: document.documentElement.scrollWidth, "
                               "height: document.documentElement.scrollHeight})")
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={**box, "scale": 1})
        with open(path, "wb") as file:
            file.write(base64.b64decode(data["data"]))

    def pdf(self, path):
        """The page as it would be printed."""
        self.call("Emulation.setEmulatedMedia", media="print")
        data = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(data["data"]))
