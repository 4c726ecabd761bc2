"""Finding, fetching and verifying the data files that are declared in `checksums.yaml`.

A file 'set/name' is looked for as `<folder>/set/name`, then `<folder>/name`, in each folder of the
environment variable HWBENCH_DATA (separated as in PATH), then in `data/` of the working folder,
then in `data/` of the user's cache folder (see `hwbench.cache`), and finally at its addresses.
It may be gzipped, as `name.gz`. It is accepted if its checksum matches. A wrong file in one of the
user's folders is an error; a wrong file in the cache is fetched again. A file without a declared
checksum cannot be verified and is refused, unless the user confirms it by a checksum in
`SHA256SUMS` beside it, which `sha256sum` writes.

A plugin declares its files in a table of the same form, `checksums.yaml` in the package's folder;
those without a checksum come from the user's own folders, and a result records what they held.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import os
import re
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import numpy as np
import yaml
from pydantic import Field

from hwbench.build import plugins
from hwbench.cache import cache_folder
from hwbench.protocols import DataMissing
from hwbench.sources import find_package
from hwbench.spec import Strict, UserError, did_you_mean

CHECKSUMS = Path(__file__).with_name("checksums.yaml")
SUMS = "SHA256SUMS"  # the user's own checksums, in a folder of data files
PATIENCE = 4.0  # seconds until a silent host counts as unreachable
ALL_PATIENCE = 5.0  # seconds without an answer from any host until there is no network
_ROUNDS = 2  # attempts at each address


_VOUCH = (
    "no checksum of this file is known, so nothing tells whether it is the published one. "
    f"If you trust it, run `sha256sum {{0}} >> {SUMS}` in its folder"
)


class DataCorrupt(UserError):
    """A file exists but is not the declared one; the message gives expected and found values."""


# --- declarations ---------------------------------------------------------------------------------


class Form(Strict):
    """One form of a file, packed or not: the checksums and size that it must have."""

    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-f]{64}$")] = None
    md5: Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}$")] = None
    bytes: Annotated[int | None, Field(ge=0)] = None

    @property
    def checksum(self) -> str:
        """Return 'sha256:…' or 'md5:…' if one is declared, else ''."""
        return f"sha256:{self.sha256}" if self.sha256 else f"md5:{self.md5}" if self.md5 else ""


class _Entry(Form):
    about: str = ""
    packed: Form | None = None
    addresses: list[str] | None = None


class _Set(Strict):
    about: str
    origin: str
    licence: str
    split: str
    addresses: list[str] = Field(default_factory=list)
    files: dict[str, _Entry]


@dataclass(frozen=True)
class File:
    """A declared data file 'set/file', with checksums, addresses and a description.

    `owner` is the plugin that declares it, empty for hwbench.
    """

    name: str
    plain: Form
    packed: Form | None
    addresses: tuple[str, ...]
    about: str
    origin: str
    licence: str
    split: str
    owner: str = ""

    def form(self, path: str | Path) -> Form:
        """Return the form of a file or an address with this name."""
        return self.packed if self.packed is not None and str(path).endswith(".gz") else self.plain

    def paths(self, folder: Path) -> list[Path]:
        """Return the possible paths of the file in a folder, in order of preference."""
        dataset, _, file = self.name.partition("/")
        places = [folder / dataset / file, folder / file]
        packed = [p.with_name(f"{p.name}.gz") for p in places] if self.packed is not None else []
        return [p for pair in zip(places, packed, strict=True) for p in pair] if packed else places


def declared() -> dict[str, File]:
    """Return every file that hwbench and the plugins declare, by its name 'set/file'.

    >>> declared()["mnist/t10k-labels-idx1-ubyte"].packed.bytes
    4542

    Raises:
        UserError: the table of a plugin is wrong, or declares a set that is declared already.
    """
    out = dict(_declared_in(CHECKSUMS, ""))
    for plugin in plugins():
        package = find_package(plugin.split(".")[0])
        for folder in (package.submodule_search_locations if package else None) or ():
            table = Path(folder) / CHECKSUMS.name
            own = _declared_in(table, plugin) if table.is_file() else {}
            taken = {n.split("/")[0] for n in own} & {
                n.split("/")[0] for n, file in out.items() if file.owner != plugin
            }
            if taken:
                raise UserError(f"{table}: {min(taken)} is already the name of a data set")
            out |= own
    return out


@functools.cache
def _declared_in(table: Path, owner: str) -> dict[str, File]:
    try:
        found = yaml.safe_load(table.read_text(encoding="utf-8")) or {}
        sets = {str(name): _Set.model_validate(raw) for name, raw in found.items()}
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{table}: {error}") from None
    out = {}
    for name, dataset in sets.items():
        for file, entry in dataset.files.items():
            given = dataset.addresses if entry.addresses is None else entry.addresses
            out[f"{name}/{file}"] = File(
                name=f"{name}/{file}",
                plain=Form(sha256=entry.sha256, md5=entry.md5, bytes=entry.bytes),
                packed=entry.packed,
                addresses=tuple(address.replace("{file}", file) for address in given),
                about=entry.about or dataset.about,
                origin=dataset.origin,
                licence=dataset.licence,
                split=dataset.split,
                owner=owner,
            )
    return out


def _get(name: str) -> File:
    try:
        return _vouched(declared()[name])
    except KeyError:
        raise UserError(
            f"no data file {name!r} is declared{did_you_mean(name, list(declared()))}"
        ) from None


def _vouched(file: File) -> File:
    """Return a file with the user's checksums for those of its forms that have none."""
    if file.plain.checksum and (file.packed is None or file.packed.checksum):
        return file
    given = _sums(file)

    def completed(form: Form, name: str) -> Form:
        return form if form.checksum else form.model_copy(update={"sha256": given.get(name)})

    name = file.name.rpartition("/")[2]
    packed = None if file.packed is None else completed(file.packed, f"{name}.gz")
    return replace(file, plain=completed(file.plain, name), packed=packed)


def _sums(file: File) -> dict[str, str]:
    """Return the user's checksums by name, from the folders in which a file is looked for."""
    given: dict[str, str] = {}
    places = {path.with_name(SUMS) for folder in folders() for path in file.paths(folder)}
    for path in filter(_is_file, places):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if found := re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line):
                given[found[2]] = found[1]
    return given


def select(words: Sequence[str] = ()) -> list[str]:
    """Return the files that the words name, each a data set or a file; all if there are no words.

    >>> select(["omniglot/chardata.mat"])
    ['omniglot/chardata.mat']

    Raises:
        UserError: a word names nothing; the message contains the nearest name.
    """
    names = list(declared())
    sets = list(dict.fromkeys(name.split("/")[0] for name in names))
    for word in words:
        if word not in names and word not in sets:
            raise UserError(f"no data set or file {word!r}{did_you_mean(word, names + sets)}")
    return [n for n in names if not words or n in words or n.split("/")[0] in words]


# --- checksums ------------------------------------------------------------------------------------

# Each file, checksum, size and time is hashed once.
_verdicts: dict[tuple[str, str, str, int, int], str] = {}


def _digest(path: Path, kind: str, unpack: bool = False) -> str:
    with gzip.open(path) if unpack else path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()  # type: ignore[arg-type]


def _judge(file: File, path: Path) -> str:
    form = file.form(path)
    kind, _, expected = form.checksum.partition(":")
    if not kind:
        return ""
    found = _digest(path, kind)
    if found == expected:
        return ""
    if form is file.packed and file.plain.sha256:  # Equal content may be packed differently.
        with contextlib.suppress(OSError, EOFError, zlib.error):
            if _digest(path, "sha256", unpack=True) == file.plain.sha256:
                return ""
    size = path.stat().st_size
    sizes = (
        f" ({form.bytes} bytes expected, {size} found)" if form.bytes not in (None, size) else ""
    )
    return f"{kind} {expected} expected, {found} found{sizes}"


def _fault(file: File, path: Path) -> str:
    """Return a description of what is wrong with a file, or '' if it is correct."""
    stat = path.stat()
    expected = file.form(path).checksum
    key = (file.name, expected, str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if key not in _verdicts:
        _verdicts[key] = _judge(file, path)
    return _verdicts[key]


# --- paths ----------------------------------------------------------------------------------------


def folders() -> list[Path]:
    """Return the user's folders in order of search: those of HWBENCH_DATA, then `data/`."""
    given = os.environ.get("HWBENCH_DATA", "").split(os.pathsep)
    return [*(_expanded(folder) for folder in given if folder), Path("data")]


def _expanded(folder: str) -> Path:
    try:
        return Path(folder).expanduser()
    except RuntimeError:  # `~` of a user without a home folder
        return Path(folder)


def _is_file(path: Path) -> bool:
    """Return whether there is a file that can be read; a folder that cannot be is passed over."""
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except (OSError, ValueError):  # no permission, or a path that no file system takes
        return False


def cache() -> Path:
    """Return the folder of fetched files.

    Raises:
        UserError: the user has no home folder, and no variable names a folder.
    """
    return cache_folder() / "data"


def _cached(file: File) -> Iterator[Path]:
    with contextlib.suppress(UserError):  # Without a home folder there is no cache.
        yield from (p for p in file.paths(cache())[:2] if _is_file(p) and file.form(p).checksum)


def locate(name: str) -> Path | None:
    """Return the path of a file on this machine, whose checksum matches, or None.

    Raises:
        DataCorrupt: the file in one of the user's folders has another checksum, or none is known.
        UserError: no such file is declared.
    """
    file = _get(name)
    for path in (p for folder in folders() for p in file.paths(folder) if _is_file(p)):
        if not (file.form(path).checksum or file.owner):
            raise DataCorrupt(f"{path}: {_VOUCH.format(path.name)}")
        if fault := _fault(file, path):
            raise DataCorrupt(f"{path} is not {name}: {fault}; replace or remove it")
        return path
    return next((path for path in _cached(file) if not _fault(file, path)), None)


def checksums(names: Iterable[str]) -> dict[str, str]:
    """Return the checksum of each file, as 'sha256:…': the declared one, or that of its content.

    A file is left out if it is not declared, or has no checksum and is not on this machine.
    """
    found = {}
    for name in names:
        file = declared().get(name)
        path = locate(name) if file and not file.plain.checksum else None
        if file and file.plain.checksum:
            found[name] = file.plain.checksum
        elif path is not None:
            found[name] = f"sha256:{_content_digest(path, path.stat().st_mtime_ns)}"
    return found


@functools.cache
def _content_digest(path: Path, changed: int) -> str:
    return _digest(path, "sha256", unpack=path.suffix == ".gz")


def replaceable(names: Iterable[str]) -> list[str]:
    """Return the files that may be replaced while hwbench stays the same.

    Those are a plugin's, and those without a checksum.
    """
    known = declared()
    return [n for n in names if n in known and (known[n].owner or not known[n].plain.checksum)]


def fetch(name: str) -> Path:
    """Return the path of a file, after downloading it to the user's cache if necessary.

    Raises:
        DataMissing: it is not on this machine and cannot be downloaded.
        DataCorrupt: the file in one of the user's folders has another checksum.
        UserError: no such file is declared.
    """
    return locate(name) or _download(_get(name))


def available(names: Iterable[str], download: bool = True) -> bool:
    """Return whether all these files are available, after downloading missing ones if `download`.

    Raises:
        DataCorrupt: a file in one of the user's folders has another checksum.
    """
    try:
        return all((fetch if download else locate)(name) is not None for name in names)
    except DataMissing:
        return False


def obtainable(names: Iterable[str]) -> bool:
    """Return whether all these files are here or at a reachable address; nothing is downloaded.

    Raises:
        DataCorrupt: a file in one of the user's folders has another checksum.
    """
    try:
        return all(locate(name) or _reachable(_checked(_get(name))) for name in names)
    except ImportError:  # The packages for downloading are not installed.
        return False


def either(*alternatives: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first group whose files are all on this machine, or the very first group."""
    found = (group for group in alternatives if available(group, download=False))
    return next(found, alternatives[0])


# --- downloads ------------------------------------------------------------------------------------

_silent: set[str] = set()  # hosts that did not answer in this process
_waits: list[float] = []  # seconds of waiting in which no host answered; none after an answer


def forget() -> None:
    """Forget checked files and silent hosts, as in a new process."""
    _verdicts.clear()
    _silent.clear()
    _waits.clear()


def _answers(address: str) -> bool:
    """Return whether the host of an address answers at all."""
    import requests

    try:
        requests.head(address, timeout=PATIENCE, allow_redirects=False).close()
    except requests.RequestException:
        return False
    return True


def _reachable(addresses: Sequence[str]) -> list[str]:
    """Return the addresses whose hosts answer; all are asked at once, as name lookups can hang.

    When none has answered for `ALL_PATIENCE` in all, there is no network, and no host is asked.
    """
    hosts = {urlsplit(address).netloc: address for address in addresses}
    answered: set[str] = set()

    def ask(host: str) -> None:
        if _answers(hosts[host]):
            answered.add(host)

    asked = [
        threading.Thread(target=ask, args=(host,), daemon=True)
        for host in hosts
        if host not in _silent
    ]
    started = time.monotonic()
    deadline = started + min(PATIENCE, max(0.0, ALL_PATIENCE - sum(_waits)))
    if deadline > started:
        for thread in asked:
            thread.start()
        for thread in asked:
            thread.join(max(0.0, deadline - time.monotonic()))
        _silent.update(set(hosts) - answered)
    if answered:
        _waits.clear()
    elif asked:
        _waits.append(time.monotonic() - started)
    return [address for address in addresses if urlsplit(address).netloc in answered]


def _try(file: File, address: str) -> Path | str:
    """Download from one address; return the path, or the reason for a failure."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    target = file.paths(cache())[0]
    if file.packed is not None and address.endswith(".gz"):
        target = target.with_name(f"{target.name}.gz")
    try:
        downloader = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            chunk_size=1 << 16,
            timeout=(PATIENCE, 5 * PATIENCE),
            headers={"Accept-Encoding": "identity"},  # Otherwise a .gz may arrive unpacked.
        )
        path = Path(
            pooch.retrieve(
                address,
                known_hash=file.form(address).checksum,
                fname=target.name,
                path=target.parent,
                downloader=downloader,
            )
        )
    except (requests.RequestException, OSError, ValueError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return path


def _silence(address: str) -> str:
    asked = urlsplit(address).netloc in _silent
    return "no answer" if asked else "not asked, as no other host answered"


def _checked(file: File) -> list[str]:
    """Return the addresses of forms with a checksum, from which alone anything is fetched."""
    return [address for address in file.addresses if file.form(address).checksum]


def _download(file: File) -> Path:
    checked = _checked(file)
    reasons = dict.fromkeys(file.addresses, "without a checksum")
    try:
        usable = _reachable(checked)
        reasons |= {address: _silence(address) for address in checked if address not in usable}
        for address in list(usable) * _ROUNDS:
            outcome = _try(file, address)
            if isinstance(outcome, Path):
                return outcome
            reasons[address] = outcome
    except ImportError as error:
        reasons = dict.fromkeys(file.addresses, f"downloading needs {error.name}")
    raise DataMissing(_missing(file, reasons))


def _missing(file: File, reasons: dict[str, str]) -> str:
    dataset, _, name = file.name.partition("/")
    packed = f" or {name}.gz" if file.packed is not None and file.plain.checksum else ""
    if file.packed is not None and not file.plain.checksum:
        name = f"{name}.gz"
    forms = [
        f.checksum.replace(":", " ")
        for f in (file.plain, file.packed)
        if f is not None and f.checksum
    ]
    checksum = " or ".join(forms) or "checksum unknown"
    tried = "; ".join(f"{address} ({reason})" for address, reason in reasons.items())
    place = f"data/{dataset}/, or a folder named by HWBENCH_DATA"
    return (
        f"{file.name} is not on this machine and cannot be downloaded. "
        f"Put {name}{packed} ({checksum}) into {place}. "
        + ("" if forms else f"Run `sha256sum {name} >> {SUMS}` there if you trust your copy. ")
        + (f"{'Tried' if _checked(file) else 'Not fetched'}: {tried}" if tried else "")
        + ("" if tried else "It is published at no address")
    )


# --- reading --------------------------------------------------------------------------------------


def wrong(name: str, what: object) -> DataCorrupt:
    """Return the error that a reader raises for a file with unexpected content.

    In the cache such a file is removed, so that it is fetched again.
    """
    path = locate(name)
    if path is not None and path in _cached(_get(name)):
        path.unlink(missing_ok=True)
        return DataCorrupt(
            f"{path} was not {name}: {what}; it is removed and will be fetched again"
        )
    return DataCorrupt(f"{path or name} is not {name}: {what}; replace or remove it")


def read(name: str) -> bytes:
    """Return the content of a file, fetched if necessary and unpacked if packed.

    Raises:
        DataMissing: it is unavailable.
        DataCorrupt: its checksum or its format is wrong.
    """
    path = fetch(name)
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise wrong(name, error) from None


def arrays(name: str) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, fetched if necessary.

    Raises:
        DataMissing: it is unavailable.
        DataCorrupt: its checksum or its format is wrong.
    """
    try:
        with np.load(io.BytesIO(read(name)), allow_pickle=False) as found:
            return {key: found[key] for key in found.files}
    except (zipfile.BadZipFile, ValueError) as error:
        if isinstance(error, DataCorrupt):
            raise
        raise wrong(name, error) from None


# --- for `hwbench data` ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """The state of one file.

    Attributes:
        state: 'absent', 'present' (not checked), 'verified' (its checksum matches), 'unchecked' (no
            checksum is known) or 'corrupt'.
        path: its path, or None if absent.
        detail: for a corrupt file, the checksums.
    """

    file: File
    state: Literal["absent", "present", "verified", "unchecked", "corrupt"]
    path: Path | None = None
    detail: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain values, for JSON."""
        form = self.file.plain if self.path is None else self.file.form(self.path)
        return {
            "name": self.file.name,
            "state": self.state,
            "path": None if self.path is None else str(self.path),
            "detail": self.detail,
            "checksum": form.checksum,
            "bytes": form.bytes,
            "about": self.file.about,
            "origin": self.file.origin,
            "licence": self.file.licence,
            "split": self.file.split,
            "addresses": list(self.file.addresses),
        }


def _first(file: File) -> Path | None:
    own = (p for folder in folders() for p in file.paths(folder) if _is_file(p))
    return next(own, None) or next(_cached(file), None)


def listing(words: Sequence[str] = ()) -> list[Record]:
    """Return the path of each declared file (among those that the words name), unchecked.

    Raises:
        UserError: a word names nothing.
    """
    found = [(_get(name), _first(_get(name))) for name in select(words)]
    return [Record(file, "absent" if path is None else "present", path) for file, path in found]


def verify(words: Sequence[str] = ()) -> list[Record]:
    """Return the same after checking each file's checksum; nothing is downloaded.

    Raises:
        UserError: a word names nothing.
    """
    out = []
    for record in listing(words):
        if record.path is None:
            out.append(record)
            continue
        fault = _judge(record.file, record.path)
        known = record.file.form(record.path).checksum
        state: Literal["corrupt", "verified", "unchecked"]
        state = "corrupt" if fault else "verified" if known else "unchecked"
        detail = fault if known else _VOUCH.format(record.path.name)
        out.append(Record(record.file, state, record.path, detail))
    return out
