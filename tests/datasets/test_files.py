"""Where files are found, when they are accepted, and what is said when they cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from hwbench.cache import cache_folder
from hwbench.datasets import files
from hwbench.protocols import DataMissing
from hwbench.spec import UserError

NAME = "things/thing.bin"
RIGHT = b"the right content, " * 50
SHA256 = hashlib.sha256(RIGHT).hexdigest()


def put(folder: Path, content: bytes, name: str = NAME) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- the table ------------------------------------------------------------------------------------


def test_every_declared_file_is_complete():
    for name, file in files.declared().items():
        assert name.count("/") == 1
        assert file.about, name
        assert file.origin, name
        assert file.licence, name
        assert file.split, name
        assert file.plain.checksum or file.packed or file.addresses, f"{name} is not verifiable"
        assert all(a.startswith(("http://", "https://")) for a in file.addresses), name
        assert all("{" not in a for a in file.addresses), name


def test_mnist_has_two_mirrors_that_serve_the_packed_files():
    mnist = [f for name, f in files.declared().items() if name.startswith("mnist/")]
    assert len(mnist) == 4
    for file in mnist:
        assert len(file.addresses) >= 3
        for address in file.addresses:
            assert address.endswith(f"/{file.name.split('/')[1]}.gz")
            assert file.form(address) is file.packed


def test_the_table_is_strict(tmp_path, monkeypatch):
    """A misspelt key, and a checksum that is none, are errors."""
    good = {"about": "a", "origin": "o", "licence": "l", "split": "s"}
    for files_ in ({"f": {"sha265": "0" * 64}}, {"f": {"sha256": "0" * 63}}):
        table = tmp_path / "checksums.yaml"
        table.write_text(yaml.safe_dump({"set": {**good, "files": files_}}))
        monkeypatch.setattr(files, "CHECKSUMS", table)
        with pytest.raises(ValueError, match=r"sha26?56?"):
            files.declared.__wrapped__()


def test_a_new_file_is_one_entry(tmp_path, monkeypatch):
    entry = {
        "about": "a",
        "origin": "o",
        "licence": "l",
        "split": "s",
        "files": {"x.csv": {"bytes": 3}},
    }
    table = tmp_path / "checksums.yaml"
    table.write_text(yaml.safe_dump({"new": entry}))
    monkeypatch.setattr(files, "CHECKSUMS", table)
    assert list(files.declared.__wrapped__()) == ["new/x.csv"]


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UserError, match=r"did you mean mnist/train-images-idx3-ubyte\?"):
        files.fetch("mnist/train-image-idx3-ubyte")
    with pytest.raises(UserError, match=r"did you mean omniglot\?"):
        files.select(["omniglott"])


def test_select_takes_sets_and_files():
    assert files.select(["binarized_mnist"]) == [
        f"binarized_mnist/binarized_mnist_{part}.amat" for part in ("train", "valid", "test")
    ]
    assert files.select() == list(files.declared())


# --- the order of search --------------------------------------------------------------------------


def test_order_of_search(alone, declare, monkeypatch):
    """HWBENCH_DATA's folders, set/file before file; then data/; then the cache."""
    declare(NAME, RIGHT)
    monkeypatch.setenv(
        "HWBENCH_DATA", os.pathsep.join([str(alone / "one"), "", str(alone / "two")])
    )
    places = [
        put(alone / "one", RIGHT),
        put(alone / "one", RIGHT, "thing.bin"),
        put(alone / "two", RIGHT),
        put(alone / "two", RIGHT, "thing.bin"),
        put(alone / "data", RIGHT),
        put(alone / "data", RIGHT, "thing.bin"),
        put(alone / "cache" / "data", RIGHT),
    ]
    for path in places:
        found = files.locate(NAME)
        assert found is not None
        assert found.resolve() == path
        assert files.fetch(NAME) == found
        path.unlink()
    assert files.locate(NAME) is None


def test_home_is_expanded(alone, declare, monkeypatch):
    declare(NAME, RIGHT)
    monkeypatch.setenv("HOME", str(alone / "me"))
    monkeypatch.setenv("HWBENCH_DATA", "~/sets")
    path = put(alone / "me" / "sets", RIGHT)
    assert files.locate(NAME) == path


@pytest.mark.parametrize("variable", ["HWBENCH_CACHE", "XDG_CACHE_HOME", "HOME"])
def test_fetched_files_are_in_the_user_s_cache_folder(alone, monkeypatch, variable):
    """On every platform, whatever pooch would choose there."""
    for name in ("HWBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(alone / "mine"))
    monkeypatch.setattr("pooch.os_cache", lambda name: alone / "Library" / name)
    assert files.cache() == cache_folder() / "data"
    assert files.cache().is_relative_to(alone / "mine")


def test_without_a_home_folder_there_is_no_cache(alone, declare, monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    declare(NAME, RIGHT)
    monkeypatch.delenv("HWBENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert files.locate(NAME) is None


def test_plain_and_packed_are_both_accepted(alone, declare):
    declare(NAME, RIGHT, packed=True)
    packed = put(alone / "data", gzip.compress(RIGHT, mtime=0), f"{NAME}.gz")
    assert files.locate(NAME).resolve() == packed
    assert files.read(NAME) == RIGHT
    plain = put(alone / "data", RIGHT)
    assert files.locate(NAME).resolve() == plain
    assert files.read(NAME) == RIGHT


def test_packed_by_someone_else_is_accepted_by_its_content(alone, declare):
    declare(NAME, RIGHT, packed=True)
    put(alone / "data", gzip.compress(RIGHT, compresslevel=1, mtime=7), f"{NAME}.gz")
    assert files.read(NAME) == RIGHT
    files.forget()
    path = put(alone / "data", gzip.compress(RIGHT + b"!", mtime=7), f"{NAME}.gz")
    with pytest.raises(files.DataCorrupt, match=str(path.relative_to(alone))):
        files.read(NAME)


def vouch(folder: Path, path: Path) -> None:
    """Give the checksum of a file as `sha256sum` does."""
    line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    with (folder / files.SUMS).open("a") as sums:
        sums.write(line)


def test_a_file_without_checksum_needs_one_of_the_user_s(alone, declare):
    declare(NAME, None)
    path = put(alone / "data", b"anything")
    with pytest.raises(files.DataCorrupt, match=r"sha256sum thing\.bin >> SHA256SUMS"):
        files.read(NAME)
    (record,) = files.verify()
    assert (record.state, "SHA256SUMS" in record.detail) == ("unchecked", True)
    (path.parent / files.SUMS).write_text("# mine\nnonsense\n")
    vouch(path.parent, path)
    assert files.read(NAME) == b"anything"
    assert files.verify()[0].state == "verified"
    path.write_bytes(b"<html>sorry</html>")
    with pytest.raises(files.DataCorrupt, match="expected"):
        files.read(NAME)


def test_a_declared_checksum_counts_whatever_the_user_gives(alone, declare):
    declare(NAME, RIGHT)
    path = put(alone / "data", b"wrong")
    vouch(path.parent, path)
    with pytest.raises(files.DataCorrupt, match=SHA256):
        files.read(NAME)


# --- wrong files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [RIGHT[:-1], b"X" + RIGHT[1:], b""], ids=["truncated", "corrupted", "empty"]
)
@pytest.mark.parametrize("by", ["HWBENCH_DATA", "data"])
def test_a_wrong_file_of_the_users_is_an_error(alone, declare, monkeypatch, wrong, by):
    declare(NAME, RIGHT)
    if by == "HWBENCH_DATA":
        monkeypatch.setenv("HWBENCH_DATA", str(alone / "mine"))
    path = put(alone / ("mine" if by == "HWBENCH_DATA" else "data"), wrong)
    put(alone / "cache" / "data", RIGHT)  # not taken silently instead
    for ask in (files.locate, files.fetch, lambda name: files.available([name])):
        with pytest.raises(files.DataCorrupt) as caught:
            ask(NAME)
        message = str(caught.value)
        assert path.name in message
        assert SHA256 in message
        assert hashlib.sha256(wrong).hexdigest() in message
        assert (f"{len(RIGHT)} bytes expected, {len(wrong)} found" in message) == (
            len(wrong) != len(RIGHT)
        )
    assert isinstance(caught.value, UserError)


def test_an_md5_is_checked_where_only_that_is_known(alone, declare):
    declare(NAME, RIGHT, md5=True)
    put(alone / "data", RIGHT)
    assert files.locate(NAME) is not None
    put(alone / "data", RIGHT[:-1])
    with pytest.raises(files.DataCorrupt, match=hashlib.md5(RIGHT).hexdigest()):
        files.locate(NAME)


def test_a_wrong_file_in_the_cache_counts_as_absent(alone, declare):
    declare(NAME, RIGHT)
    put(alone / "cache" / "data", RIGHT[:-1])
    assert files.locate(NAME) is None
    assert not files.available([NAME])
    (record,) = files.verify()
    assert record.state == "corrupt"
    assert SHA256 in record.detail


def test_hashing_happens_once_per_version_of_a_file(alone, declare, monkeypatch):
    declare(NAME, RIGHT)
    path = put(alone / "data", RIGHT)
    taken = []
    digest = files._digest
    monkeypatch.setattr(files, "_digest", lambda *a, **k: taken.append(a) or digest(*a, **k))
    for _ in range(3):
        files.locate(NAME)
    assert len(taken) == 1
    path.write_bytes(b"X" + RIGHT[1:])
    os.utime(path, ns=(1, 1))
    with pytest.raises(files.DataCorrupt):
        files.locate(NAME)
    assert len(taken) == 2


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-20], lambda raw: raw[:30] + b"~~~" + raw[33:]]
)
def test_a_damaged_archive_without_checksum_is_an_error(alone, declare, damage):
    table = declare(NAME, None, packed=True)
    assert table.packed.checksum == ""
    path = put(alone / "data", damage(gzip.compress(RIGHT * 9)), f"{NAME}.gz")
    vouch(path.parent, path)
    with pytest.raises(files.DataCorrupt, match=r"thing\.bin\.gz"):
        files.read(NAME)


def test_no_pickle_is_read(alone, declare):
    declare("set/a.npz", None)
    path = put(alone / "data", b"", "set/a.npz")
    np.savez(path, x=np.array([{"an": "object"}], dtype=object))
    vouch(path.parent, path)
    with pytest.raises(files.DataCorrupt, match=r"set/a\.npz"):
        files.arrays("set/a.npz")
    path.write_bytes(b"no archive")
    vouch(path.parent, path)
    with pytest.raises(files.DataCorrupt, match=r"set/a\.npz"):
        files.arrays("set/a.npz")


# --- missing files --------------------------------------------------------------------------------


def test_a_missing_file_says_what_and_where(alone, declare):
    declare(NAME, RIGHT, addresses=("http://example.invalid/thing.bin",))
    with pytest.raises(DataMissing) as caught:
        files.fetch(NAME)
    message = str(caught.value)
    for part in (NAME, SHA256, "data/things/", "HWBENCH_DATA", "example.invalid", "no answer"):
        assert part in message
    assert isinstance(caught.value, FileNotFoundError)


def test_a_file_that_is_published_nowhere(alone, declare):
    declare(NAME, RIGHT)
    with pytest.raises(DataMissing, match="published at no address"):
        files.fetch(NAME)


def test_every_declared_file_can_be_missed(alone):
    for name in files.declared():
        with pytest.raises(DataMissing, match=name.split("/")[0]):
            files.fetch(name)


def test_available_and_either(alone, declare):
    declare("a/1", b"1")
    declare("a/2", b"2")
    declare("b/3", b"3")
    assert files.available([])
    assert not files.available(["a/1"])
    assert files.either(("a/1", "a/2"), ("b/3",)) == ("a/1", "a/2")
    put(alone / "data", b"3", "b/3")
    assert files.either(("a/1", "a/2"), ("b/3",)) == ("b/3",)
    put(alone / "data", b"1", "a/1")
    assert files.either(("a/1", "a/2"), ("b/3",)) == ("b/3",)
    put(alone / "data", b"2", "a/2")
    assert files.either(("a/1", "a/2"), ("b/3",)) == ("a/1", "a/2")
    assert files.available(["a/1", "a/2", "b/3"], download=False)


def test_obtainable_downloads_nothing(alone, declare, monkeypatch):
    """A file is here, or its address answers."""
    declare("a/1", b"1", addresses=("https://example.org/1",))
    monkeypatch.setattr(files, "_download", lambda file: pytest.fail("downloaded"))
    monkeypatch.setattr(files, "_answers", lambda address: False)
    assert files.obtainable([])
    assert not files.obtainable(["a/1"])
    put(alone / "data", b"1", "a/1")
    assert files.obtainable(["a/1"])
    (alone / "data" / "a" / "1").unlink()
    files.forget()
    monkeypatch.setattr(files, "_answers", lambda address: True)
    assert files.obtainable(["a/1"])


def test_a_hanging_network_fails_fast_and_once(alone, declare, monkeypatch):
    """A name lookup can hang beyond any timeout: it must not hold us, nor be tried again."""
    declare(
        NAME,
        RIGHT,
        addresses=("http://one.invalid/x", "http://two.invalid/x", "http://two.invalid/y"),
    )
    asked = []
    release = threading.Event()

    def hang(address: str) -> bool:
        asked.append(address)
        release.wait(20)
        return True

    monkeypatch.setattr(files, "_answers", hang)
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    start = time.monotonic()
    try:
        for _ in range(3):
            assert not files.available([NAME])
    finally:
        release.set()
    assert time.monotonic() - start < 2
    assert len(asked) == 2  # once per host


def test_without_a_network_the_hosts_of_all_files_cost_little(alone, declare, monkeypatch):
    release, asked = threading.Event(), []

    def hang(address: str) -> bool:
        asked.append(address)
        release.wait(20)
        return True

    monkeypatch.setattr(files, "_answers", hang)
    monkeypatch.setattr(files, "PATIENCE", 0.2)
    monkeypatch.setattr(files, "ALL_PATIENCE", 0.3)
    start = time.monotonic()
    try:
        for i in range(20):
            declare(f"{NAME}{i}", RIGHT, addresses=(f"http://host{i}.invalid/x",))
            assert not files.available([f"{NAME}{i}"])
    finally:
        release.set()
    assert time.monotonic() - start < 2  # 20 hosts of 0.2 s would take 4
    assert 1 <= len(asked) <= 3
    with pytest.raises(DataMissing, match="not asked, as no other host answered"):
        files.fetch(f"{NAME}19")


def test_one_answer_shows_that_there_is_a_network(alone, declare, monkeypatch):
    """Waits before an answer no longer count."""
    release = threading.Event()

    def answer(address: str) -> bool:
        return "silent" not in address or release.wait(20)

    monkeypatch.setattr(files, "_answers", answer)
    try:
        for host in ("silent1", "good1", "silent2", "good2"):
            monkeypatch.setattr(files, "PATIENCE", 0.1 if "silent" in host else 10.0)
            monkeypatch.setattr(files, "ALL_PATIENCE", sum(files._waits) + 10.1)
            reachable = files._reachable([f"http://{host}.invalid/x"])
            assert bool(reachable) == host.startswith("good")
            assert len(files._waits) == host.startswith("silent")
    finally:
        release.set()


def test_what_a_failing_download_says(alone, declare, monkeypatch):
    import pooch

    declare(NAME, RIGHT, addresses=("http://one.invalid/x",))
    monkeypatch.setattr(files, "_answers", lambda address: True)

    def fail(*args, **kwargs):
        raise OSError("the disk is full")

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DataMissing, match="the disk is full"):
        files.fetch(NAME)


# --- a server of our own --------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch) -> Iterator[tuple[str, dict[str, bytes], list[str]]]:
    """An address on this machine, what it serves by path, and the paths it was asked for."""
    served: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            asked.append(self.path)
            body = served.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", served, asked
        httpd.shutdown()
        thread.join()


@pytest.fixture
def reachable(alone, monkeypatch, request):
    """Undo the isolation of `alone` for the server of our own."""
    monkeypatch.setattr(files, "_answers", ANSWERS)


ANSWERS = files._answers


def test_download_goes_into_the_cache_once(declare, reachable, alone, server):
    root, served, asked = server
    declare(NAME, RIGHT, addresses=(f"{root}/a/thing.bin",))
    served["/a/thing.bin"] = RIGHT
    path = files.fetch(NAME)
    assert path == alone / "cache" / "data" / NAME
    assert path.read_bytes() == RIGHT
    assert files.fetch(NAME) == path
    assert files.available([NAME], download=False)
    assert asked == ["/a/thing.bin"]


def test_mirrors_are_tried_in_order_and_checked(declare, reachable, server):
    """A page that is not there, then one with other content, then the right one."""
    root, served, asked = server
    declare(NAME, RIGHT, addresses=tuple(f"{root}/{m}/thing.bin" for m in "abc"))
    served["/b/thing.bin"] = b"<html>sorry</html>"
    served["/c/thing.bin"] = RIGHT
    assert files.read(NAME) == RIGHT
    assert asked == ["/a/thing.bin", "/b/thing.bin", "/c/thing.bin"]


def test_a_dead_mirror_is_passed_over(declare, reachable, server):
    root, served, _ = server
    declare(NAME, RIGHT, addresses=("http://127.0.0.1:9/thing.bin", f"{root}/thing.bin"))
    served["/thing.bin"] = RIGHT
    assert files.read(NAME) == RIGHT


def test_nothing_is_fetched_without_a_checksum(declare, reachable, alone, server):
    """A page of HTML was taken for data, and stayed in the cache."""
    root, served, asked = server
    declare(NAME, None, addresses=(f"{root}/thing.bin",))
    served["/thing.bin"] = b"<html>sorry</html>"
    with pytest.raises(DataMissing, match=r"Not fetched: .* \(without a checksum\)"):
        files.fetch(NAME)
    assert not files.obtainable([NAME])
    cached = put(alone / "cache" / "data", b"<html>sorry</html>")  # of an earlier version
    assert files.locate(NAME) is None
    assert asked == []
    (alone / "data/things").mkdir(parents=True)
    (alone / "data/things" / files.SUMS).write_text(f"{SHA256}  thing.bin\n")
    with pytest.raises(DataMissing, match="thing"):
        files.fetch(NAME)
    served["/thing.bin"] = RIGHT
    assert files.fetch(NAME) == cached
    assert cached.read_bytes() == RIGHT


def test_what_a_reader_refuses_leaves_the_cache(declare, alone):
    declare(NAME, RIGHT)
    path = put(alone / "cache" / "data", RIGHT)
    assert "will be fetched again" in str(files.wrong(NAME, "nonsense"))
    assert not path.exists()
    mine = put(alone / "data", RIGHT)
    assert "replace or remove it" in str(files.wrong(NAME, "nonsense"))
    assert mine.exists()


def test_http_is_left_where_a_checksum_guards_it():
    """And the host has nothing else: LeCun's, and S3's for static pages."""
    plain = (
        "http://yann.lecun.com/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    for name, file in files.declared().items():
        for address in file.addresses:
            guarded = file.form(address).checksum
            assert address.startswith("https://") or (guarded and address.startswith(plain)), name


def test_a_wrong_file_in_the_cache_is_fetched_again(declare, reachable, alone, server):
    root, served, _ = server
    declare(NAME, RIGHT, addresses=(f"{root}/thing.bin",))
    put(alone / "cache" / "data", RIGHT[:-1])
    served["/thing.bin"] = RIGHT
    assert files.read(NAME) == RIGHT


def test_a_packed_address_gives_the_packed_file(declare, reachable, alone, server):
    root, served, _ = server
    declare(NAME, RIGHT, addresses=(f"{root}/thing.bin.gz",), packed=True)
    served["/thing.bin.gz"] = gzip.compress(RIGHT, mtime=0)
    assert files.fetch(NAME) == alone / "cache" / "data" / f"{NAME}.gz"
    assert files.read(NAME) == RIGHT


def test_wrong_everywhere_is_missing_with_reasons(declare, reachable, alone, server):
    root, served, asked = server
    declare(NAME, RIGHT, addresses=(f"{root}/a", f"{root}/b"))
    served["/a"] = RIGHT[:-1]
    with pytest.raises(DataMissing, match="404") as caught:
        files.fetch(NAME)
    assert SHA256 in str(caught.value)
    assert asked == ["/a", "/b"] * 2
    assert not (alone / "cache" / "data" / NAME).exists()


def test_requests_to_nowhere_do_not_answer(alone):
    assert not ANSWERS("http://127.0.0.1:9/")


# --- records --------------------------------------------------------------------------------------


def test_listing_and_verify(alone, declare):
    for name in ("a/right", "a/wrong", "b/absent"):
        declare(name, RIGHT)
    put(alone / "data", RIGHT, "a/right")
    put(alone / "data", b"wrong", "a/wrong")
    assert [r.state for r in files.listing()] == ["present", "present", "absent"]
    assert [r.state for r in files.verify()] == ["verified", "corrupt", "absent"]
    assert [r.file.name for r in files.verify(["b"])] == ["b/absent"]
    record = files.verify(["a/wrong"])[0].as_dict()
    assert record["checksum"] == f"sha256:{SHA256}"
    assert SHA256 in record["detail"]
    assert record["path"] == str(Path("data/a/wrong"))
