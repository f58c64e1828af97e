import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from training.errors import DataError, DiskError, UserError
from training.files import environment, run_folder, writing
from training.files.logs import CsvLog, read_log
from training.files.run_folder import locked, make_run_folder
from training.files.writing import atomic_write

ROOT = Path(__file__).resolve().parents[3]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals, limits and locks of POSIX")


def python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_atomic_write_creates_and_replaces(tmp_path: Path) -> None:
    for data in (b"first", b"", b"\x00\xff" * 100_000):
        atomic_write(tmp_path / "file", data)
        assert contents(tmp_path) == {"file": data}
    atomic_write(str(tmp_path / "file"), b"path as text")
    assert contents(tmp_path) == {"file": b"path as text"}


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("before", [{}, {"file": b"old"}])
def test_a_failed_write_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int, before: dict[str, bytes]
) -> None:
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(DiskError) as caught:
        atomic_write(tmp_path / "file", b"x" * 1234567)
    message = str(caught.value)
    assert str(tmp_path / "file") in message
    assert "1,234,567 bytes" in message
    assert os.strerror(code) in message
    assert caught.value.exit_code == 5
    assert contents(tmp_path) == before


def test_an_interrupted_write_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    atomic_write(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "file", b"new")
    assert contents(tmp_path) == {"file": b"old"}


def test_bytes_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        (state,) = contents(tmp_path).values()  # what a reader would find at this moment
        calls.append(f"fsync {state.decode()}")
        fsync(descriptor)

    def watched_replace(source: Path, target: Path) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    atomic_write(tmp_path / "file", b"new")
    assert calls == ["fsync new", "replace", "fsync new"]


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def files_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "no fsync of folders here")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    atomic_write(tmp_path / "file", b"new")
    assert contents(tmp_path) == {"file": b"new"}


@posix
def test_a_link_is_followed_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    atomic_write(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "there") == {"file": b"data"}
    os.mkfifo(tmp_path / "pipe")
    for special in ("pipe", "there"):
        with pytest.raises(DiskError, match="is not a file"):
            atomic_write(tmp_path / special, b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "there"]


def test_a_missing_folder_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file"):
        atomic_write(tmp_path / "nowhere" / "file", b"data")


FULL_DISK = """
import resource, sys
from pathlib import Path
from training.errors import DiskError
from training.files.logs import CsvLog
from training.files.writing import atomic_write

folder = Path(sys.argv[1])
atomic_write(folder / "file", b"old")
log = CsvLog(folder / "log.csv", ["step", "loss"])
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for size in (4097, 100_000):
    try:
        atomic_write(folder / "file", bytes(size))
    except DiskError as error:
        print(error)
try:
    for step in range(10_000):
        log.append({"step": step, "loss": 0.5})
except DiskError as error:
    print(error)
print(step)
"""


@posix
def test_a_full_disk_costs_the_new_file_only(tmp_path: Path) -> None:
    """The kernel refuses the write itself, in the middle of the data."""
    child = python(FULL_DISK, tmp_path)
    *messages, last = child.communicate(timeout=60)[0].splitlines()
    assert child.returncode == 0
    expected = [("file", "4,097 bytes"), ("file", "100,000 bytes"), ("log.csv", "bytes")]
    for text, (name, size) in zip(messages, expected, strict=True):
        assert str(tmp_path / name) in text
        assert size in text
    assert all("File too large" in text for text in messages)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "log.csv"]
    assert (tmp_path / "file").read_bytes() == b"old"
    np.testing.assert_array_equal(read_log(tmp_path / "log.csv")["step"], np.arange(int(last)))
    log = CsvLog(tmp_path / "log.csv", ["step", "loss"])  # and it goes on where it can
    log.truncate_after(int(last))
    log.append({"step": int(last)})
    assert read_log(log.path)["step"][-1] == int(last)


WRITER = """
import sys
from pathlib import Path
from training.files.run_folder import locked
from training.files.writing import atomic_write

folder = Path(sys.argv[1])
with locked(folder):
    print("ready", flush=True)
    letters = b"ab"
    for turn in range(10**9):
        atomic_write(folder / "file", letters[turn % 2 : turn % 2 + 1] * 3_000_000)
"""


@posix
def test_a_killed_writer_leaves_a_whole_file_and_no_lock(tmp_path: Path) -> None:
    moments = random.Random(0)
    for _ in range(6):
        child = python(WRITER, tmp_path)
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(UserError, match="another run is at work"), locked(tmp_path):
            pass
        time.sleep(moments.uniform(0.01, 0.06))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if (tmp_path / "file").exists():
            assert (tmp_path / "file").read_bytes() in (b"a" * 3_000_000, b"b" * 3_000_000)
    (tmp_path / f"{writing.TEMPORARY}0123").write_bytes(b"half")
    with locked(tmp_path):
        assert set(contents(tmp_path)) <= {"file", run_folder.LOCK}


def test_make_run_folder_creates_and_takes_any_folder_without_a_run(tmp_path: Path) -> None:
    folder = make_run_folder(tmp_path / "a" / "b", resume=False)
    assert folder == tmp_path / "a" / "b"
    assert folder.is_dir()
    (folder / "notes.txt").touch()
    assert make_run_folder(str(folder), resume=False) == folder
    assert make_run_folder(folder, resume=True) == folder


@pytest.mark.parametrize("name", run_folder.RUN_FILES)
def test_a_run_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(UserError, match=rf"holds a run already \({name}\).* --out.* --resume"):
        make_run_folder(tmp_path, resume=False)
    assert make_run_folder(tmp_path, resume=True) == tmp_path
    assert contents(tmp_path) == {name: b"precious"}


def test_run_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, not a folder"):
        make_run_folder(tmp_path / "file", resume=True)
    with pytest.raises(DiskError, match="Not a directory"):
        make_run_folder(tmp_path / "file" / "run", resume=False)
    with pytest.raises(DiskError, match=run_folder.LOCK), locked(tmp_path / "nowhere"):
        pass


@posix
def test_a_lock_ends_with_its_block(tmp_path: Path) -> None:
    with locked(tmp_path):
        again = locked(tmp_path)
        with pytest.raises(UserError, match="another run"):
            again.__enter__()
    with locked(tmp_path):
        pass


def test_a_log_is_plain_text(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", ["step", "loss", "PCKh@0.5"])
    log.append({"step": 1, "loss": 0.1})
    log.append({"PCKh@0.5": 81.25, "loss": np.float64(0.1), "step": 2})
    log.append({"step": 3, "loss": float("nan"), "PCKh@0.5": None})
    assert log.path.read_bytes() == b"step,loss,PCKh@0.5\n1,0.1,\n2,0.1,81.25\n3,nan,\n"
    read = read_log(log.path)
    assert list(read) == ["step", "loss", "PCKh@0.5"]
    np.testing.assert_array_equal(read["step"], [1, 2, 3])
    np.testing.assert_array_equal(read["PCKh@0.5"], [np.nan, 81.25, np.nan])


def test_a_log_is_taken_up_again_with_the_same_columns_only(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    CsvLog(path, ["step", "loss"]).append({"step": 1})
    CsvLog(path, ["step", "loss"]).append({"step": 2})
    assert path.read_text() == "step,loss\n1,\n2,\n"
    with pytest.raises(UserError, match="has the columns"):
        CsvLog(path, ["step", "lr"])
    with pytest.raises(ValueError, match="no columns"):
        CsvLog(path, ["step", "loss"]).append({"step": 3, "los": 1.0})
    with pytest.raises(ValueError, match="first column"):
        CsvLog(path, ["loss", "step"])
    assert path.read_text() == "step,loss\n1,\n2,\n"


@pytest.mark.parametrize(
    ("step", "kept"), [(0, ""), (4, ""), (5, "5,0.50\n"), (9, "5,0.50\n"), (10, "5,0.50\n10,\n10,2\n")]
)
@pytest.mark.parametrize("torn", ["", "1", "1,0.", "15,0.3"])
def test_truncate_after_keeps_whole_rows_up_to_a_step(tmp_path: Path, step: int, kept: str, torn: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"step,loss\n5,0.50\n10,\n10,2\n11,3\n{torn}")
    log = CsvLog(path, ["step", "loss"])
    log.truncate_after(step)
    assert path.read_text() == f"step,loss\n{kept}"
    log.append({"step": step + 1})
    assert path.read_text() == f"step,loss\n{kept}{step + 1},\n"


def test_a_failed_truncation_leaves_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CsvLog(tmp_path / "log.csv", ["step"])
    log.append({"step": 1})
    log.append({"step": 2})

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DiskError, match="No space left"):
        log.truncate_after(1)
    assert contents(tmp_path) == {"log.csv": b"step\n1\n2\n"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is not a log"),
        (b"a,b\n1,2\n", "is not a log"),
        (b"step,loss\n1,2\n1,2,3\n", "line 3: expected 2 numbers"),
        (b"step,loss\n1,two\n", "line 2: expected 2 numbers"),
        (b"step\n\xff\n", "cannot read the log"),
    ],
)
def test_what_is_no_log_is_named(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=message) as caught:
        read_log(path)
    assert str(path) in str(caught.value)


def test_a_log_without_rows_has_columns(tmp_path: Path) -> None:
    read = read_log(CsvLog(tmp_path / "log.csv", ["step", "loss"]).path)
    assert {name: column.shape for name, column in read.items()} == {"step": (0,), "loss": (0,)}


def test_sha256_of_the_standard_s_example(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert environment.sha256(tmp_path / "abc") == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def test_environment_is_json_and_says_what_runs() -> None:
    found = json.loads(json.dumps(environment.environment()))
    assert list(found) == ["python", "numpy", "hbcore", "git", "platform", "cpus"]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"] == np.__version__
    assert found["cpus"] >= 1


@pytest.mark.parametrize(("printed", "revision"), [("0123abc-dirty\n", "0123abc-dirty"), ("", None)])
def test_the_revision_is_what_git_says(monkeypatch: pytest.MonkeyPatch, printed: str, revision: str | None) -> None:
    """Nothing outside a checkout, where it complains on stderr."""

    def git(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[:3] == ["git", "describe", "--always"]
        assert options["cwd"] == Path(environment.__file__).parent
        return subprocess.CompletedProcess(command, 0, printed, "")

    monkeypatch.setattr(subprocess, "run", git)
    assert environment._git_revision() == revision


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_environment_without_git_or_package(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    assert environment.environment()["git"] is None
    assert environment._version("no-such-package-anywhere") is None


def test_a_fingerprint_tells_what_is_labelled_and_not_where_it_lies() -> None:
    def labels(x: float = 1.0, name: str = "a", folder: str = "here") -> object:
        return types.SimpleNamespace(
            points=np.array([[x, 2.0]]), names=(name, None), folder=Path(folder), more={"k": {3}}
        )

    same = environment.fingerprint([labels()])
    assert environment.fingerprint([labels(folder="there")]) == same
    others = [[labels(x=1.5)], [labels(name="b")], [labels(), labels()], [], [[labels()]], labels(), b"a", b"b"]
    others += ["a", ("a", "b"), ("ab",), np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1))]
    assert len({environment.fingerprint(value) for value in others} - {same}) == len(others)
