"""Fetching: through pip, checked, kept whole; and a plain sentence where it cannot be had."""

import hashlib
import os
import sys
import zipfile

import numpy as np
import pytest

from simulator.datasets import movielens
from simulator.datasets.movielens import HEADER, MEMBER, NoData

TEXT = HEADER + "\n" + "\n".join(f"{user}\t{item}\t4\t{item}" for user in (1, 2) for item in range(1, 6)) + "\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, and a published file that is small."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(movielens, "SHA256", hashlib.sha256(TEXT.encode()).hexdigest())
    movielens.load.cache_clear()
    yield tmp_path
    movielens.load.cache_clear()


def pip_brings(monkeypatch, text, member=MEMBER):
    calls = []

    def download(folder):
        calls.append(folder)
        wheel = folder / "recbole-1.2.1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as packed:
            packed.writestr(member, text)
        return wheel

    monkeypatch.setattr(movielens, "_download", download)
    return calls


def test_a_file_is_fetched_once(home, monkeypatch):
    calls = pip_brings(monkeypatch, TEXT)
    path = movielens.fetch()
    assert path == home / "cache" / "rehearse" / "ml-100k" / "ml-100k.inter"
    assert movielens.fetch() == path and len(calls) == 1
    assert [list(sequence) for sequence in movielens.load().sequences] == [[1, 2, 3, 4, 5]] * 2
    assert [file.name for file in path.parent.iterdir()] == [path.name], "nothing else is left behind"


def test_a_torn_file_is_fetched_again(home, monkeypatch):
    calls = pip_brings(monkeypatch, TEXT)
    path = movielens.cached_path()
    path.parent.mkdir(parents=True)
    path.write_text(TEXT[: len(TEXT) // 2])
    with pytest.raises(NoData, match="fetch it first"):
        movielens.load()
    movielens.fetch()
    assert path.read_text() == TEXT and len(calls) == 1


@pytest.mark.parametrize("member, text", [(MEMBER, TEXT + "1\t2\t3\t4\n"), ("recbole/other", TEXT)])
def test_another_file_is_not_taken(home, monkeypatch, member, text):
    pip_brings(monkeypatch, text, member)
    with pytest.raises(NoData):
        movielens.fetch()
    assert list(movielens.cached_path().parent.iterdir()) == []


def test_pip_is_this_interpreters_and_takes_what_the_user_passes_on(home, monkeypatch):
    words = []

    class Done:
        returncode, stderr = 1, "ERROR: no such place\n"

    def run(command, **how):
        words.extend(command)
        return Done()

    monkeypatch.setattr(movielens.subprocess, "run", run)
    monkeypatch.setenv("PIP_ARGS", "--no-index --find-links 'a folder'")
    with pytest.raises(NoData, match="no such place"):
        movielens.fetch()
    assert words[:4] == [sys.executable, "-m", "pip", "download"]
    assert words[-4:] == ["--no-index", "--find-links", "a folder", "recbole==1.2.1"]
    assert "--no-deps" in words


def test_a_cache_that_cannot_be_written_is_said(home, monkeypatch):
    pip_brings(monkeypatch, TEXT)
    (home / "cache").write_text("a file stands here")
    with pytest.raises(NoData, match="cannot be kept"):
        movielens.fetch()


def test_a_relative_cache_folder_is_ignored(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert movielens.cache_folder().is_absolute()


@pytest.mark.skipif(
    not os.path.exists(movielens.cached_path()), reason="MovieLens-100K was not fetched on this machine"
)
def test_the_published_counts():
    found = movielens.load()
    lengths = np.array([len(sequence) for sequence in found.sequences])
    assert (len(lengths), lengths.sum(), lengths.min(), lengths.max()) == (943, 100_000, 20, 737)
    assert np.median(lengths) == 65
    assert set(np.concatenate(found.sequences).tolist()) == set(range(1, movielens.ITEMS + 1))
