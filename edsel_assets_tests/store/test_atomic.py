import os
import subprocess
import sys
from pathlib import Path

import pytest

from edsel_assets.store import Home, StoreError, atomic_path, sweep_temporaries


def test_a_file_appears_whole_under_its_name(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_content(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_directory_is_swapped(tmp_path):
    target = tmp_path / "adapter"
    for content in ("one", "two"):
        with atomic_path(target, directory=True) as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / content).write_text(content)
    assert [p.name for p in (target / "sub").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "f"):
            pass
        with atomic_path(tmp_path / "d", directory=True):
            pass
    finally:
        os.umask(old)
    assert oct((tmp_path / "f").stat().st_mode & 0o777) == "0o640"
    assert oct((tmp_path / "d").stat().st_mode & 0o777) == "0o750"


def test_a_sweep_takes_torn_files_and_leaves_those_being_written(tmp_path):
    torn = tmp_path / f".a.parquet.{'0' * 16}.tmp"
    torn.write_text("torn")
    torn_folder = tmp_path / f".adapter.{'1' * 16}.tmp"
    (torn_folder / "sub").mkdir(parents=True)
    (tmp_path / ".hidden").write_text("mine")
    with atomic_path(tmp_path / "a.txt") as temporary:
        assert sweep_temporaries(tmp_path) == [torn, torn_folder]
        assert temporary.exists()
        temporary.write_text("kept")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden", "a.txt"]
    assert sweep_temporaries(tmp_path / "none") == []


def test_a_full_disk_is_one_line_of_what_where_and_remedy(tmp_path):
    script = (
        "import resource, signal, sys\n"
        "from edsel_assets.store import StoreError, atomic_path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with atomic_path(sys.argv[1]) as path:\n"
        "        path.write_bytes(b'x' * 2000)\n"
        "except StoreError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "big"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith(f"Cannot write {tmp_path / 'big'}: File too large. The system limits")
    assert run.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_the_remedy_for_a_full_disk_is_space(tmp_path):
    def fill():
        with atomic_path(tmp_path / "a"), open("/dev/full", "w") as full:
            full.write("x")

    with pytest.raises(StoreError, match=r"Cannot write .*a: No space left on device\. Free some space"):
        fill()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "store").write_text("a file")
    message = r"Cannot write .*store/demo/x: .*A part of the path is a file"
    with pytest.raises(StoreError, match=message), atomic_path(tmp_path / "store" / "demo" / "x"):
        pass


def test_an_absent_input_of_the_block_is_not_taken_for_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x"):
        (tmp_path / "input").read_text()


def test_the_home_comes_from_the_argument_then_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EDSEL_HOME", str(tmp_path / "env"))
    assert Home.at().store("demo").folder == tmp_path / "env" / "store" / "demo"
    assert Home.at(tmp_path).store("demo").folder == tmp_path / "store" / "demo"
    monkeypatch.delenv("EDSEL_HOME")
    monkeypatch.chdir(tmp_path)
    assert Home.at().folder == tmp_path / ".edsel"
    for bad in ("../x", "", ".x", "a/b"):
        with pytest.raises(ValueError, match="study must be a name"):
            Home.at().store(bad)
