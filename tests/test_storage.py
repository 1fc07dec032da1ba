import errno
import json
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from ccompress import storage


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "deep" / "file.safetensors"
    tensors = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros(0, dtype=np.uint8)}
    storage.save(path, tensors, {"note": "ü"})
    return path, tensors


def test_round_trip(stored):
    path, tensors = stored
    arrays, metadata = storage.load_numpy(path)
    assert metadata == {"note": "ü"}
    assert arrays.keys() == tensors.keys()
    for name, array in tensors.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def test_torch_tensors_of_any_layout_round_trip(tmp_path):
    tensor = torch.arange(6, dtype=torch.float64).reshape(2, 3).t().requires_grad_()
    storage.save(tmp_path / "t", {"t": tensor, "scalar": torch.tensor(3.0)})
    loaded, _ = storage.load(tmp_path / "t")
    assert torch.equal(loaded["t"], tensor)
    assert loaded["scalar"].shape == ()


def test_every_flipped_byte_of_the_data_is_noticed(stored):
    path, _ = stored
    contents = path.read_bytes()
    start = 8 + struct.unpack("<Q", contents[:8])[0]
    for position in range(start, len(contents)):
        damaged = bytearray(contents)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(storage.DamagedFile):
            storage.load_numpy(path)


def test_altered_metadata_is_noticed(stored):
    path, _ = stored
    contents = path.read_bytes()
    size = struct.unpack("<Q", contents[:8])[0]
    header = json.loads(contents[8 : 8 + size])
    header["__metadata__"]["note"] = "other"
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + contents[8 + size :])
    with pytest.raises(storage.DamagedFile, match="checksum"):
        storage.load_numpy(path)


@pytest.mark.parametrize("keep", [0, 1, 8, 50, -1])
def test_a_truncated_file_is_noticed(stored, keep):
    path, _ = stored
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(storage.DamagedFile):
        storage.load_numpy(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "text"
    storage.write_text(path, "old")
    with pytest.raises(RuntimeError), storage.replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.load(tmp_path / "nothing")


def once(path, make):
    return storage.made_once(
        path, make, lambda n: ({"n": np.array(n)}, {}), lambda file: int(file.array("n"))
    )


def test_made_once(tmp_path):
    path = tmp_path / "deep" / "n.safetensors"
    assert once(path, lambda: 3) == 3
    assert once(path, pytest.fail) == 3


def test_no_other_process_makes_the_file_at_the_same_time(tmp_path):
    path = tmp_path / "n.safetensors"

    def make():
        with pytest.raises(Timeout):
            FileLock(path.with_suffix(".lock"), timeout=0).acquire()
        return 3

    assert once(path, make) == 3
    FileLock(path.with_suffix(".lock"), timeout=0).acquire()  # free again


@pytest.mark.parametrize("before", [None, b"damaged"])
def test_a_waiting_caller_reads_the_file_that_the_other_made(tmp_path, before):
    path = tmp_path / "n.safetensors"
    if before:
        path.write_bytes(before)
    with ThreadPoolExecutor() as pool:
        with FileLock(path.with_suffix(".lock")):
            waiting = pool.submit(once, path, pytest.fail)
            storage.save(path, {"n": np.array(3)})
        assert waiting.result() == 3


def test_a_lock_is_free_after_a_failure(tmp_path):
    path = tmp_path / "n.safetensors"
    with pytest.raises(ZeroDivisionError):
        once(path, lambda: 1 // 0)
    assert once(path, lambda: 3) == 3


@pytest.fixture(params=[0o022, 0o027, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_umask_decides_who_may_read_a_file(tmp_path, umask):
    storage.write_text(tmp_path / "text", "words")
    storage.save(tmp_path / "tensors", {"a": np.zeros(3)})
    for name in ("text", "tensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_system_that_cannot_change_rights_is_accepted(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("Operation not permitted")

    for name in ("chmod", "fchmod", "lchmod"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    storage.write_text(tmp_path / "text", "words")
    storage.save(tmp_path / "tensors", {"a": np.zeros(3)})
    assert {path.name for path in tmp_path.iterdir()} == {"text", "tensors"}


@pytest.fixture
def small_files():
    """No file may be larger than 10,000 bytes, as after `ulimit -f`."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_tensors_that_cannot_be_written_are_an_error_of_the_system(tmp_path, small_files):
    with pytest.raises(OSError, match="File too large") as raised:
        storage.save(tmp_path / "tensors", {"a": np.zeros(9_000)})
    assert raised.value.errno == errno.EFBIG
    assert raised.value.filename == str(tmp_path / "tensors")
    assert not (tmp_path / "tensors").exists()
