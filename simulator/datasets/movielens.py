"""MovieLens-100K (F. M. Harper and J. A. Konstan, 2015, https://doi.org/10.1145/2827872), fetched when it is asked for.

GroupLens allows its use for research and not its redistribution, so it is never part of this project. The wheel of
RecBole 1.2.1 holds it; pip brings that wheel from wherever it is configured to, one file is taken out, checked and kept
in the user's cache folder. RecBole itself is not installed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

from simulator.datasets.histories import Histories, histories_of
from simulator.errors import RehearseError

NAME = "ml-100k"
REQUIREMENT = "recbole==1.2.1"
MEMBER = "recbole/dataset_example/ml-100k/ml-100k.inter"
SHA256 = "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff"
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
ITEMS = 1682
TIMEOUT_S = 120.0


class NoData(RehearseError):
    """The data cannot be had here."""

    kind = "no_data"


def cache_folder() -> Path:
    """Where this user's data is kept (XDG base directories)."""
    stated = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(stated) if os.path.isabs(stated) else Path.home() / ".cache"
    return home / "rehearse"


def fetch(say: Callable[[str], None] = lambda line: None) -> Path:
    """The file, from the cache or through pip. Raises NoData where neither has it.

    Another run that fetches at the same time does no harm: the file appears whole or not at all.
    """
    path = cached_path()
    if is_whole(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as folder:
            say(f"fetching {REQUIREMENT} for MovieLens-100K")
            wheel = _download(Path(folder))
            part = Path(folder) / path.name
            with zipfile.ZipFile(wheel) as packed, packed.open(MEMBER) as source, part.open("wb") as target:
                shutil.copyfileobj(source, target)
                target.flush()
                os.fsync(target.fileno())
            if not is_whole(part):
                raise NoData(f"{MEMBER} in {wheel.name} is not the file that was expected (sha256); use another index")
            os.replace(part, path)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise NoData(f"MovieLens-100K cannot be kept in {path.parent}: {error}") from error
    return path


def cached_path() -> Path:
    return cache_folder() / NAME / "ml-100k.inter"


def is_whole(path: Path) -> bool:
    """Whether this is the published file, to the byte."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    except OSError:
        return False


@lru_cache(maxsize=1)
def load() -> Histories:
    """Every user's items in the order of their ratings' times; equal times keep the file's order. Raises NoData where
    nobody has fetched the file."""
    path = cached_path()
    if not is_whole(path):
        raise NoData(f"MovieLens-100K is not in {path.parent}; fetch it first")
    return parse(path.read_text(encoding="ascii"))


def parse(text: str) -> Histories:
    """Histories of RecBole's tab-separated interactions. Raises NoData for another header."""
    header, _, body = text.partition("\n")
    if header.strip() != HEADER:
        raise NoData(f"interactions begin with {header[:60]!r}, not with {HEADER!r}")
    rows = np.array([line.split("\t") for line in body.splitlines()], dtype=np.float64)
    user, item, time = (rows[:, column].astype(np.int64) for column in (0, 1, 3))
    return histories_of(NAME, ITEMS, user, item, time)


def _download(folder: Path) -> Path:
    """The wheel, through this interpreter's pip and its configuration. Raises NoData with pip's last words."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet",
               "--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "15", "--dest", str(folder),
               *shlex.split(os.environ.get("PIP_ARGS", "")), REQUIREMENT]  # fmt: skip
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NoData(f"pip did not bring {REQUIREMENT} within {TIMEOUT_S:.0f} s") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoData(f"pip could not bring {REQUIREMENT} ({last})")
    return wheels[0]


def _die_with_parent() -> None:
    """Linux ends pip when this process is killed: nothing is left that could remove its files."""
    import ctypes
    import signal

    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
