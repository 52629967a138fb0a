"""A small HTTP server that plays the Hugging Face hub, its content network, and ModelScope.

Two listeners on loopback: the hub, which answers HEAD and GET of /ORG/NAME/resolve/REVISION/PATH with the headers of
the real one and redirects large files to the second listener, the content network ("cdn"). Faults are put in a
list; each is spent on the first request that it fits. Every request is kept in `requests`.
"""

import dataclasses
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclasses.dataclass
class Repo:
    files: dict
    large: set  # paths kept in LFS: named by SHA-256, served by the cdn
    commit: str = "1234567890123456789012345678901234567890"
    revisions: tuple = ("main",)
    private: bool = False
    gated: bool = False
    token: str = "secret"
    moved_to: str = ""

    def etag(self, path):
        data = self.files[path]
        return hashlib.sha256(data).hexdigest() if path in self.large else git_sha1(data)


@dataclasses.dataclass
class Fault:
    """Spent on the first request with this server, method and end of path, after `skip` such requests."""

    server: str = "hub"
    method: str = "GET"
    path: str = ""
    skip: int = 0
    status: int = 0  # answer this instead
    headers: dict = dataclasses.field(default_factory=dict)
    cut_at: int = -1  # close the connection after so many bytes of the body
    replace: bytes = None  # send this body, under the true headers
    ignore_range: bool = False
    wait_for: threading.Event = None  # hold the answer back
    times: int = 1


@dataclasses.dataclass
class Request:
    server: str
    method: str
    path: str
    headers: dict


class FakeHub:
    def __init__(self):
        self.repos = {}
        self.requests = []
        self.faults = []
        self.extra_headers = {}  # replace what a resolve answer would say
        self._lock = threading.Lock()
        self._servers = {name: self._listen(name) for name in ("hub", "cdn")}
        self.url = self._url("hub")
        self.cdn_url = self._url("cdn")

    def _listen(self, name):
        handler = type("Handler", (_Handler,), {"fake": self, "server_name": name})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server

    def _url(self, name):
        return "http://127.0.0.1:%d" % self._servers[name].server_address[1]

    def close(self):
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    def count(self, method="GET", path="", server=None):
        return sum(
            r.method == method and path in r.path and server in (None, r.server) for r in self.requests
        )

    def take_fault(self, request):
        """The fault for this request, if any; keeps the request."""
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                fits = fault.server == request.server and fault.method == request.method
                path = unquote(request.path.removesuffix("?signature=1"))
                if not fits or not path.endswith(fault.path) or fault.times == 0:
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        request = Request(self.server_name, self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        fault = self.fake.take_fault(request) or Fault()
        if fault.wait_for:
            fault.wait_for.wait(20)
        if fault.status:
            return self._send(fault.status, fault.headers, b"fault")
        path = unquote(urlsplit(self.path).path)
        if self.server_name == "cdn":
            return self._cdn(path, fault)
        if path.startswith("/api/v1/models/"):
            return self._modelscope(path, fault)
        return self._resolve(path, fault)

    # --- Hugging Face ---

    def _refuse(self, status, code, message, headers=None):
        self._send(status, {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})}, message.encode())

    def _resolve(self, path, fault):
        name, _, rest = path.lstrip("/").partition("/resolve/")
        raw_revision = urlsplit(self.path).path.partition("/resolve/")[2].partition("/")[0]
        revision, file = unquote(raw_revision), rest[len(unquote(raw_revision)) + 1 :]
        repo = self.fake.repos.get(name)
        if repo and repo.moved_to:
            return self._send(307, {"Location": "/%s/resolve/%s/%s" % (repo.moved_to, raw_revision, quote(file))}, b"")
        authorized = repo and self.headers.get("Authorization") == "Bearer " + repo.token
        if repo is None or (repo.private and not authorized):
            return self._refuse(401, "RepoNotFound", "Invalid username or password.")
        if repo.gated and not authorized:
            return self._refuse(401, "GatedRepo", "Access to this model is restricted.")
        if revision != repo.commit and revision not in repo.revisions:
            return self._refuse(404, "RevisionNotFound", "Invalid rev id: " + revision)
        headers = {"X-Repo-Commit": repo.commit, **self.fake.extra_headers}
        if file not in repo.files:
            return self._refuse(404, "EntryNotFound", "Entry not found", headers)
        if file in repo.large:
            headers.update(
                {
                    "X-Linked-Etag": '"%s"' % repo.etag(file),
                    "X-Linked-Size": str(len(repo.files[file])),
                    "ETag": '"another"',
                    "Location": "%s/%s/%s?signature=1" % (self.fake.cdn_url, name, file),
                    **self.fake.extra_headers,
                }
            )
            return self._send(302, headers, b"Found. Redirecting")
        headers = {"ETag": 'W/"%s"' % repo.etag(file), **headers}
        self._file(repo.files[file], headers, fault)

    def _cdn(self, path, fault):
        org, name, file = path.lstrip("/").split("/", 2)
        self._file(self.fake.repos[org + "/" + name].files[file], {"ETag": '"cdn"'}, fault)

    # --- ModelScope ---

    def _modelscope(self, path, fault):
        name, _, rest = path[len("/api/v1/models/") :].partition("/repo")
        repo, query = self.fake.repos.get(name), parse_qs(urlsplit(self.path).query)
        if repo is None or query["Revision"][0] not in repo.revisions:
            return self._send(404, {}, b'{"Code": 10010205001, "Message": "not found"}')
        if rest == "/files":
            return self._send(200, {"Content-Type": "application/json"}, json.dumps(self._listing(repo)).encode())
        self._file(repo.files[query["FilePath"][0]], {}, fault)

    @staticmethod
    def _listing(repo):
        folders = {p.rpartition("/")[0] for p in repo.files if "/" in p}
        files = [{"Type": "tree", "Path": f, "Name": f, "Size": 0, "Sha256": ""} for f in sorted(folders)]
        for path, data in repo.files.items():
            sha = hashlib.sha256(data).hexdigest()
            entry = {"Type": "blob", "Path": path, "Name": path.split("/")[-1], "Size": len(data), "Sha256": sha}
            files.append(entry)
        return {"Code": 200, "Data": {"Files": files}, "Success": True}

    # --- bytes ---

    def _file(self, data, headers, fault):
        start, status = 0, 200
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and not fault.ignore_range:
            start = int(wanted[len("bytes=") :].rstrip("-"))
            if start >= len(data):
                return self._send(416, {"Content-Range": "bytes */%d" % len(data)}, b"")
            status = 206
            headers = {**headers, "Content-Range": "bytes %d-%d/%d" % (start, len(data) - 1, len(data))}
        body = data if fault.replace is None else fault.replace
        self._send(status, {**headers, **fault.headers}, body[start:], fault.cut_at)

    def _send(self, status, headers, body, cut_at=-1):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut_at >= 0:
            self.wfile.write(body[:cut_at])
            self.wfile.flush()
            self.close_connection = True
            return
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client had enough
