"""The hub client against a server that plays the hub: layout, integrity, resuming, refusals, offline use."""

import os
import pathlib
import threading

import pytest

from fake_hub import Fault, Repo

WEIGHTS = "model.safetensors"
MISSING_HOST = "http://127.0.0.1:1"  # port 1: refused at once


def read(result, path):
    return (pathlib.Path(result["folder"]) / path).read_bytes()


def test_download_makes_the_hubs_own_layout(hub, repo, resolve):
    result = resolve()
    assert result["name"] == "org/model" and result["revision"] == repo.commit
    root = resolve.folder()
    assert result["folder"] == str(root / "snapshots" / repo.commit)
    for path, data in repo.files.items():
        assert read(result, path) == data
        link = root / "snapshots" / repo.commit / path
        depth = "../" * (2 + path.count("/"))
        assert os.readlink(link) == depth + "blobs/" + repo.etag(path)
    assert {b.name for b in (root / "blobs").iterdir()} == {repo.etag(p) for p in repo.files}
    assert (root / "refs" / "main").read_text() == repo.commit
    assert (root / ".no_exist" / repo.commit / "absent.json").read_bytes() == b""
    assert (resolve.cache / ".locks" / "models--org--model" / (repo.etag(WEIGHTS) + ".lock")).exists()
    tag = (resolve.cache / "CACHEDIR.TAG").read_text()
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55")


def test_requests_ask_for_identity_and_announce_progress(hub, repo, resolve):
    result = resolve()
    assert all(r.headers["accept-encoding"] == "identity" for r in hub.requests)
    last = [p for p in result["progress"] if p[0] == WEIGHTS][-1]
    assert last == [WEIGHTS, len(repo.files[WEIGHTS]), len(repo.files[WEIGHTS])]


def test_second_start_asks_once_and_downloads_nothing(hub, repo, resolve):
    resolve()
    hub.requests.clear()
    assert resolve()["revision"] == repo.commit
    assert [r.method for r in hub.requests] == ["HEAD"]


def test_commit_in_the_cache_needs_no_question(hub, repo, resolve):
    resolve()
    hub.requests.clear()
    assert resolve("org/model", "--revision", repo.commit)["revision"] == repo.commit
    assert hub.requests == []


def test_new_commit_shares_unchanged_blobs(hub, repo, resolve):
    resolve()
    repo.commit = "f" * 40
    repo.files["config.json"] = b'{"model_type": "bert", "new": 1}'
    hub.requests.clear()
    result = resolve()
    assert result["revision"] == "f" * 40
    assert read(result, "config.json") == repo.files["config.json"]
    assert read(result, WEIGHTS) == repo.files[WEIGHTS]
    assert hub.count("GET", WEIGHTS) == 0 and hub.count("GET", "config.json") == 1


def test_bare_name_is_a_sentence_transformers_model(hub, repo, resolve):
    hub.repos["sentence-transformers/model"] = repo
    assert resolve("model")["name"] == "sentence-transformers/model"


def test_revision_with_a_slash(hub, repo, resolve):
    repo.revisions = ("refs/pr/1",)
    assert resolve("org/model", "--revision", "refs/pr/1")["revision"] == repo.commit
    assert (resolve.folder() / "refs/refs/pr/1").read_text() == repo.commit
    assert "/resolve/refs%2Fpr%2F1/" in hub.requests[0].path


def test_renamed_repository_is_followed(hub, repo, resolve):
    hub.repos["old/name"] = Repo(files={}, large=set(), moved_to="org/model")
    result = resolve("old/name")
    assert result["name"] == "old/name" and read(result, WEIGHTS) == repo.files[WEIGHTS]


def test_token_never_reaches_another_origin(hub, repo, resolve):
    repo.private = True
    result = resolve(HF_TOKEN="secret\n")
    assert read(result, WEIGHTS) == repo.files[WEIGHTS]
    at_hub = [r for r in hub.requests if r.server == "hub"]
    at_cdn = [r for r in hub.requests if r.server == "cdn"]
    assert at_cdn and all("authorization" not in r.headers for r in at_cdn)
    assert all(r.headers["authorization"] == "Bearer secret" for r in at_hub)


def test_token_file(hub, repo, resolve):
    repo.private = True
    token = resolve.home / "token"
    token.write_text("secret\n")
    assert resolve(HF_TOKEN_PATH=str(token))["revision"] == repo.commit
    assert "error" in resolve("org/model", HF_HOME=str(resolve.home / "2"), HF_TOKEN="wrong")


# --- breaks ---


@pytest.mark.parametrize("server, file", [("cdn", WEIGHTS), ("hub", "modules.json")])
def test_truncated_body_is_resumed(hub, repo, resolve, server, file):
    cut = len(repo.files[file]) // 3
    hub.faults.append(Fault(server=server, path=file, cut_at=cut))
    result = resolve()
    assert read(result, file) == repo.files[file]
    ranges = [r.headers.get("range") for r in hub.requests if r.server == server and r.method == "GET" and file in r.path]
    assert [r for r in ranges if r] == ["bytes=%d-" % cut]


def test_unfinished_file_of_an_earlier_process_is_continued(hub, repo, resolve):
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, cut_at=1_000_000, times=1))
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, cut_at=0, times=4))
    failed = resolve()
    assert failed["error"] == "io" and "1000000 of 3000000 bytes" in failed["message"]
    blob = resolve.folder() / "blobs" / repo.etag(WEIGHTS)
    assert not blob.exists() and os.path.getsize(str(blob) + ".incomplete") == 1_000_000
    hub.requests.clear()
    assert read(resolve(), WEIGHTS) == repo.files[WEIGHTS]
    assert [r.headers["range"] for r in hub.requests if r.server == "cdn"] == ["bytes=1000000-"]
    assert not os.path.exists(str(blob) + ".incomplete")


def leave_unfinished(resolve, repo, data):
    blobs = resolve.folder() / "blobs"
    blobs.mkdir(parents=True)
    (blobs / (repo.etag(WEIGHTS) + ".incomplete")).write_bytes(data)


def test_server_that_ignores_ranges_sends_everything_again(hub, repo, resolve):
    leave_unfinished(resolve, repo, repo.files[WEIGHTS][:1000])
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, ignore_range=True))
    assert read(resolve(), WEIGHTS) == repo.files[WEIGHTS]
    assert hub.count("GET", WEIGHTS, "cdn") == 1


def test_server_that_answers_another_range_is_refused(hub, repo, resolve):
    leave_unfinished(resolve, repo, repo.files[WEIGHTS][:1000])
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, headers={"Content-Range": "bytes 5-2999999/3000000"}))
    result = resolve()
    assert result["error"] == "corrupt" and "1000" in result["message"] and "bytes 5-" in result["message"]


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * 3_000_000, b"x" * 3_000_001])
def test_bad_unfinished_file_is_thrown_away(hub, repo, resolve, stale):
    leave_unfinished(resolve, repo, stale)
    assert read(resolve(), WEIGHTS) == repo.files[WEIGHTS]


@pytest.mark.parametrize("server, file", [("cdn", WEIGHTS), ("hub", "modules.json")])
def test_wrong_checksum_is_refused_and_not_kept(hub, repo, resolve, server, file):
    wrong = b"?" * len(repo.files[file])
    hub.faults.append(Fault(server=server, path=file, replace=wrong))
    result = resolve()
    assert result["error"] == "corrupt" and file in result["message"] and repo.etag(file) in result["message"]
    assert not (resolve.folder() / "blobs" / repo.etag(file)).exists()
    assert read(resolve(), file) == repo.files[file]


def test_more_bytes_than_announced_are_refused(hub, repo, resolve):
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, replace=repo.files[WEIGHTS] + b"!"))
    result = resolve()
    assert result["error"] == "corrupt" and "3000000" in result["message"]


def test_fewer_bytes_than_announced_are_refused(hub, repo, resolve):
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, replace=b"", times=9))
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, replace=b"", times=9))
    result = resolve()
    assert result["error"] == "io" and "0 of 3000000" in result["message"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_transient_status_is_tried_again(hub, repo, resolve, status, method):
    hub.faults.append(Fault(method=method, path="config.json", status=status, headers={"Retry-After": "0"}, times=2))
    assert resolve()["revision"] == repo.commit
    assert hub.count(method, "config.json") >= 3


def test_retries_are_bounded(hub, repo, resolve):
    hub.faults.append(Fault(method="HEAD", status=503, times=100))
    result = resolve()
    assert result["error"] == "not_found" and "503" in result["message"]
    assert hub.count("HEAD") == 5


def test_retry_after_is_honoured(hub, repo, resolve):
    hub.faults.append(Fault(method="HEAD", status=429, headers={"Retry-After": "2"}))
    import time

    start = time.monotonic()
    assert resolve()["revision"] == repo.commit
    assert time.monotonic() - start >= 2


def test_endless_retry_after_is_not_waited_for(hub, repo, resolve):
    hub.faults.append(Fault(method="HEAD", status=429, headers={"Retry-After": "86400"}, times=9))
    assert "429" in resolve()["message"]
    assert hub.count("HEAD") == 1


def test_redirect_loop_ends(hub, repo, resolve):
    hub.faults.append(Fault(method="HEAD", status=307, headers={"Location": "/again"}, times=100))
    assert "redirects" in resolve()["message"]
    hub.faults[:] = [Fault(server="cdn", status=302, headers={"Location": "/again"}, times=100)]
    assert "redirects" in resolve()["message"]


# --- refusals ---


def test_unknown_model_says_that_it_may_be_private(hub, repo, resolve):
    result = resolve("org/nothing")
    assert result["error"] == "not_found"
    assert "org/nothing" in result["message"] and "private" in result["message"] and "HF_TOKEN" in result["message"]


def test_gated_model_says_where_to_accept(hub, repo, resolve):
    repo.gated = True
    result = resolve()
    assert result["error"] == "permission_denied" and hub.url + "/org/model" in result["message"]
    assert "HF_TOKEN" in result["message"]
    assert resolve(HF_TOKEN="secret")["revision"] == repo.commit


def test_unknown_revision(hub, repo, resolve):
    result = resolve("org/model", "--revision", "v9")
    assert result["error"] == "not_found" and "v9" in result["message"]


def test_required_file_that_does_not_exist(hub, repo, resolve):
    del repo.files[WEIGHTS]
    result = resolve()
    assert result["error"] == "not_found" and WEIGHTS in result["message"]


def test_forbidden(hub, repo, resolve):
    hub.faults.append(Fault(method="HEAD", status=403))
    result = resolve()
    assert result["error"] == "permission_denied" and "org/model" in result["message"]


@pytest.mark.parametrize("name", ["a/b/c", "../x/y", "org/..", "org/.x", "org/a b", "/nonexistent", "./nonexistent", "a/b%2e"])
def test_names_that_are_none(hub, resolve, name):
    result = resolve(name)
    assert result["error"] in ("invalid_argument", "not_found") and name in result["message"]
    assert hub.requests == []


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a//b", "a/./b", "a\\b"])
def test_revisions_that_are_none(hub, repo, resolve, revision):
    assert resolve("org/model", "--revision", revision)["error"] == "invalid_argument"
    assert hub.requests == []


@pytest.mark.parametrize("etag", ["../../../evil", "..", "/etc/passwd", "", "a\\b"])
def test_etags_that_would_leave_the_folder(hub, repo, resolve, etag):
    hub.extra_headers = {"X-Linked-Etag": '"%s"' % etag, "ETag": '"%s"' % etag}
    result = resolve()
    assert result["error"] == "corrupt" and "ETag" in result["message"]
    assert not list(resolve.home.rglob("evil*"))


@pytest.mark.parametrize("commit", ["../../evil", "", "main"])
def test_commits_that_are_none(hub, repo, resolve, commit):
    hub.extra_headers = {"X-Repo-Commit": commit}
    assert "X-Repo-Commit" in resolve()["message"]


# --- offline ---


def test_offline_uses_the_cache(hub, repo, resolve):
    online = resolve()
    hub.requests.clear()
    for switch in ({"HF_HUB_OFFLINE": "1"}, {"TRANSFORMERS_OFFLINE": "yes"}):
        assert resolve(**switch)["folder"] == online["folder"]
    assert hub.requests == []


@pytest.mark.parametrize("endpoint", [MISSING_HOST, "http://no-such-host.invalid"])
def test_unreachable_hub_uses_the_cache_and_says_so(hub, repo, resolve, endpoint):
    online = resolve()
    result = resolve(HF_ENDPOINT=endpoint)
    assert result["folder"] == online["folder"] and "using what the cache holds" in result["log"]


def test_silent_hub_uses_the_cache(hub, repo, resolve):
    online = resolve()
    release = threading.Event()
    hub.faults.append(Fault(method="HEAD", wait_for=release, times=9))
    result = resolve(HF_HUB_ETAG_TIMEOUT="1")
    release.set()
    assert result["folder"] == online["folder"]


def test_nothing_in_the_cache(hub, resolve):
    for switch in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": MISSING_HOST}):
        result = resolve(**switch)
        assert result["error"] == "not_found"
        assert "org/model" in result["message"] and str(resolve.cache) in result["message"]


@pytest.mark.parametrize("file", ["config.json", WEIGHTS])
@pytest.mark.parametrize("switch", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": MISSING_HOST}])
def test_half_downloaded_snapshot_names_the_missing_file(hub, repo, resolve, file, switch):
    folder = pathlib.Path(resolve()["folder"])
    (folder / file).unlink()
    result = resolve(**switch)
    assert result["error"] == "not_found" and file in result["message"] and "half" in result["message"]


def test_dangling_link_counts_as_missing_and_is_repaired(hub, repo, resolve):
    resolve()
    (resolve.folder() / "blobs" / repo.etag(WEIGHTS)).unlink()
    assert WEIGHTS in resolve(HF_HUB_OFFLINE="1")["message"]
    assert read(resolve(), WEIGHTS) == repo.files[WEIGHTS]


def test_own_broken_off_download_names_the_missing_file(hub, repo, resolve):
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, status=404))
    assert "404" in resolve()["message"]
    result = resolve(HF_HUB_OFFLINE="1")
    assert WEIGHTS in result["message"] and "half" in result["message"]


def test_optional_file_that_the_stored_tree_lists_is_missed(hub, repo, resolve):
    folder = pathlib.Path(resolve()["folder"])
    (folder / "1_Pooling/config.json").unlink()
    assert "folder" in resolve(HF_HUB_OFFLINE="1")  # nothing says that it should be there
    trees = resolve.folder() / "trees"
    trees.mkdir()
    entry = '{"size": 1, "blob_id": "0"}'
    (trees / (repo.commit + ".json")).write_text('{"format_version": 1, "files": {"1_Pooling/config.json": %s}}' % entry)
    assert "1_Pooling/config.json" in resolve(HF_HUB_OFFLINE="1")["message"]


def test_failed_update_leaves_the_old_snapshot_usable(hub, repo, resolve):
    old = resolve()
    repo.commit = "f" * 40
    repo.files[WEIGHTS] = b"new" * 1000
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, status=503, times=99))
    result = resolve()
    assert result["folder"] == old["folder"] and "using what the cache holds" in result["log"]
    assert resolve(HF_HUB_OFFLINE="1")["folder"] == old["folder"]


# --- files that name further ones, as an index names its shards ---

LIST = ["--list", "list.txt"]


@pytest.fixture
def listing(repo):
    repo.files |= {"list.txt": b"a-1.bin\na-2.bin\n", "a-1.bin": b"one", "a-2.bin": b"two" * 9}
    return repo


def test_further_files_are_fetched(hub, listing, resolve):
    result = resolve("org/model", "--optional", "list.txt", *LIST)
    assert read(result, "a-1.bin") == b"one" and read(result, "a-2.bin") == b"two" * 9
    hub.requests.clear()
    resolve("org/model", "--optional", "list.txt", *LIST)
    assert [r.method for r in hub.requests] == ["HEAD"]


def test_missing_further_file_is_named_with_its_remedy(hub, listing, resolve):
    del listing.files["a-2.bin"]
    message = resolve("org/model", "--optional", "list.txt", *LIST)["message"]
    assert "a-2.bin" in message and "so says the list" in message


def test_half_a_list_in_the_cache_is_not_a_model(hub, listing, resolve):
    result = resolve("org/model", "--optional", "list.txt", *LIST)
    (pathlib.Path(result["folder"]) / "a-2.bin").unlink()
    assert "a-2.bin" in resolve("org/model", "--optional", "list.txt", *LIST, HF_HUB_OFFLINE="1")["message"]
    assert read(resolve("org/model", "--optional", "list.txt", *LIST), "a-2.bin") == b"two" * 9


def test_failed_shard_leaves_the_old_snapshot_usable(hub, listing, resolve):
    old = resolve("org/model", "--optional", "list.txt", *LIST)
    listing.commit = "f" * 40
    listing.files["a-2.bin"] = b"new" * 1000
    hub.faults.append(Fault(path="a-2.bin", status=503, times=99))
    result = resolve("org/model", "--optional", "list.txt", *LIST)
    assert result["folder"] == old["folder"] and "using what the cache holds" in result["log"]


# --- several processes, folders ---


def test_processes_at_once_download_once(hub, repo, resolve):
    release = threading.Event()
    hub.faults.append(Fault(server="cdn", path=WEIGHTS, wait_for=release))
    processes = [resolve.start() for _ in range(3)]
    while hub.count("HEAD", repo.commit + "/" + WEIGHTS) < 3:  # all know what they want
        assert all(p.poll() is None for p in processes)
    release.set()
    results = [resolve.finish(p) for p in processes]
    assert len({r["folder"] for r in results}) == 1
    assert read(results[0], WEIGHTS) == repo.files[WEIGHTS]
    assert hub.count("GET", WEIGHTS, "cdn") == 1


def test_local_folder(resolve, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("config.json", WEIGHTS):
        assert name in resolve(str(folder))["message"]
        (folder / name).write_text("{}")
    result = resolve(str(folder) + "/")
    assert result["name"] == "mine" and result["folder"] == str(folder) and result["revision"] == ""


# --- ModelScope ---


@pytest.fixture
def modelscope(hub, repo):
    repo.revisions = ("master", "v1")
    hub.repos["org/model.v1"] = repo
    return repo


def test_modelscope_layout(hub, modelscope, resolve):
    hub.faults.append(Fault(path=WEIGHTS, cut_at=1000))
    result = resolve("modelscope:org/model.v1")
    folder = resolve.home / "ms/models/org/model___v1"
    assert result["folder"] == str(folder) and result["name"] == "org/model.v1" and result["revision"] == "master"
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == set(modelscope.files)
    for path, data in modelscope.files.items():
        assert read(result, path) == data
    offline = resolve("modelscope:org/model.v1", HF_HUB_OFFLINE="1")
    assert offline["folder"] == str(folder)
    (folder / WEIGHTS).unlink()
    assert WEIGHTS in resolve("modelscope:org/model.v1", MODELSCOPE_DOMAIN=MISSING_HOST)["message"]


@pytest.mark.parametrize("older", ["hub/models/org/model___v1", "org/model___v1", "hub/org/model___v1", "org/model.v1"])
def test_modelscope_finds_older_layouts(hub, modelscope, resolve, older):
    for path, data in modelscope.files.items():
        target = resolve.home / "ms" / older / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    result = resolve("modelscope:org/model.v1")
    assert result["folder"] == str(resolve.home / "ms" / older)
    assert hub.count("GET", "FilePath") == 0


def test_modelscope_refusals(hub, modelscope, resolve):
    assert "org/none" in resolve("modelscope:org/none")["message"]
    assert "v9" in resolve("modelscope:org/model.v1", "--revision", "v9")["message"]
    hub.faults.append(Fault(path="/repo/files?Recursive=true&Revision=master", status=200))
    assert "Data.Files" in resolve("modelscope:org/model.v1")["message"]


def test_modelscope_wrong_checksum(hub, modelscope, resolve):
    hub.faults.append(Fault(path=WEIGHTS, replace=b"?" * 3_000_000))
    result = resolve("modelscope:org/model.v1")
    assert result["error"] == "corrupt" and WEIGHTS in result["message"]
