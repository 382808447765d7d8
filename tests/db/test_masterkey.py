"""The master key: where it is looked for, what is refused, and two processes that make it at once."""

from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from db.masterkey import FILE_VARIABLE, KEY_VARIABLE, MasterKey, MasterKeyError, find_master_key, make_master_key
from tests.db.conftest import ROOT

KEY = bytes(range(7, 39))
TEXT = base64.b64encode(KEY).decode()


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


def key_file(path: Path, text: str = TEXT, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_order_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "config"
    assert find_master_key(home) is None and not home.exists()  # looking makes nothing
    own = make_master_key(home)
    assert own.source == "OWN_FILE" and len(own.key) == 32
    monkeypatch.setenv(KEY_VARIABLE, TEXT + "\n")
    found = find_master_key(home)
    assert found is not None and (found.source, found.key) == ("ENV", KEY)
    other = bytes(range(100, 132))
    monkeypatch.setenv(FILE_VARIABLE, str(key_file(tmp_path / "k", base64.b64encode(other).decode() + "\n")))
    found = find_master_key(home)
    assert found is not None and (found.source, found.key) == ("FILE", other)
    assert make_master_key(home).key == other  # nothing is made where there is one
    assert (home / "master.key").read_text().strip() == base64.b64encode(own.key).decode()


def test_our_own_file_is_private_and_kept(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = make_master_key(tmp_path / "deep" / "config")
    finally:
        os.umask(old)
    path = tmp_path / "deep" / "config" / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert make_master_key(path.parent).key == first.key
    assert [p.name for p in path.parent.iterdir()] == ["master.key"]  # what was written aside is gone
    assert make_master_key(tmp_path / "other").key != first.key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666, 0o610])
@pytest.mark.parametrize("ours", [True, False])
def test_a_file_that_others_may_use_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, ours: bool
) -> None:
    path = key_file(tmp_path / "master.key", mode=mode)
    if not ours:
        monkeypatch.setenv(FILE_VARIABLE, str(path))
    with pytest.raises(MasterKeyError, match=f"mode {mode:04o}.*chmod 600") as caught:
        find_master_key(tmp_path)
    assert TEXT not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "not base64!", TEXT[:-8], TEXT + TEXT, "A" * 44, "A" * 43 + "=", TEXT * 40, "\udcff" * 3]
)
def test_what_is_no_key_is_refused_without_being_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path = tmp_path / "k"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    with pytest.raises(MasterKeyError) as caught:
        find_master_key(tmp_path)
    assert not content or content not in str(caught.value)
    assert caught.value.__cause__ is None and "\n" not in str(caught.value)
    if "\udcff" not in content and content:
        monkeypatch.delenv(FILE_VARIABLE)
        monkeypatch.setenv(KEY_VARIABLE, content)
        with pytest.raises(MasterKeyError, match=KEY_VARIABLE):
            find_master_key(tmp_path)


def test_places_that_are_no_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path in (tmp_path / "absent", tmp_path, fifo, tmp_path / "x" / "y"):
        monkeypatch.setenv(FILE_VARIABLE, str(path))
        with pytest.raises(MasterKeyError, match=FILE_VARIABLE):
            find_master_key(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = key_file(tmp_path / "master.key")
    os.chown(path, 12345, 12345)
    with pytest.raises(MasterKeyError, match="another user"):
        find_master_key(tmp_path)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file where a folder should be")
    with pytest.raises(MasterKeyError, match="cannot be written"):
        make_master_key(tmp_path / "config")


def test_many_processes_make_one_key(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from db.masterkey import make_master_key\n"
        "sys.stdin.read(); print(make_master_key(Path(sys.argv[1])).check)"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "config")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for _ in range(4)
    ]  # fmt: skip
    for one in started:
        assert one.stdin is not None
        one.stdin.close()
    checks = {one.stdout.read() for one in started if one.stdout is not None}
    assert [one.wait() for one in started] == [0] * 4
    assert checks == {make_master_key(tmp_path / "config").check + "\n"}
    assert [p.name for p in (tmp_path / "config").iterdir()] == ["master.key"]


def test_nothing_shows_the_key() -> None:
    master = MasterKey(KEY, "ENV", "here")
    shown = f"{master!r} {master} {master.check} {master.origin}"
    for form in (TEXT, KEY.hex(), repr(KEY), TEXT[:12]):
        assert form not in shown
    with pytest.raises(TypeError):
        pickle.dumps(master)
    assert master.check != MasterKey(KEY[::-1], "ENV", "here").check
