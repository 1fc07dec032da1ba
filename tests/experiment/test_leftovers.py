import pytest
from filelock import FileLock

from ccompress.data.base import vectors_cache
from ccompress.experiment.leftovers import Amount, Leftovers, clean

FILES = {
    "k1-3.safetensors": 1000,
    "k1-5.safetensors": 2000,
    ".k1-7.safetensors.0a1b2c3d.tmp": 30,  # left by a killed process
    "k1.lock": 0,
    "vectors-k2.safetensors": 400,
    "vectors-k2.lock": 0,
    "k10.lock": 0,
    "k3-1.safetensors": 5000,  # its lock was deleted
    ".tmpX4hI1p": 600000,  # a temporary file of safetensors
}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "runs" / ".stages"
    path.mkdir(parents=True)
    for name, size in FILES.items():
        (path / name).write_bytes(bytes(size))
    return path


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_nothing_is_deleted_unless_asked_for(folder):
    everything = Amount(len(FILES), sum(FILES.values()))
    assert clean(folder, delete=False) == Leftovers(everything, Amount())
    assert names(folder) == FILES.keys()
    assert clean(folder, delete=True) == Leftovers(everything, Amount())
    assert names(folder) == set()
    assert clean(folder.parent / ".locks", delete=True) == Leftovers(Amount(), Amount())


def test_files_in_use_are_kept(folder):
    with FileLock(folder / "k1.lock"):
        for delete in (False, True):
            leftovers = clean(folder, delete=delete)
            # The temporary file may belong to the file that is being written.
            assert leftovers.in_use == Amount(6, 1000 + 2000 + 30 + 5000 + 600000)
            assert leftovers.free == Amount(3, 400)
        assert names(folder) == {name for name in FILES if "k1" in name and name != "k10.lock"} | {
            "k3-1.safetensors",
            ".tmpX4hI1p",
        }
    clean(folder, delete=True)
    assert names(folder) == set()


def test_a_deleted_lock_can_be_taken_again(folder):
    clean(folder, delete=True)
    with FileLock(folder / "k1.lock"):
        assert clean(folder, delete=True) == Leftovers(Amount(), Amount(1, 0))


def test_the_verb_counts_and_deletes_leftovers(ccompress, folder, tmp_path):
    run = folder.parent / "0a1b2c3d4e5f" / "result.json"
    run.parent.mkdir()
    run.write_text("{}")
    (folder.parent / ".locks").mkdir()
    (folder.parent / ".locks" / "0a1b2c3d4e5f.lock").touch()
    done = ccompress("runs", "clean", "runs")
    assert done.returncode == 0, done.stderr
    assert "shared trainings  runs/.stages  9 files, 608 kB" in done.stdout
    assert done.stdout.endswith("not deleted: --delete deletes 10 files, 608 kB\n")
    assert names(folder) == FILES.keys()
    with FileLock(folder.parent / ".locks" / "0a1b2c3d4e5f.lock"):
        done = ccompress("runs", "clean", "runs", "--delete")
    assert "kept, because a process uses it now: 1 file, 0 kB" in done.stdout
    assert done.stdout.endswith("deleted 9 files, 608 kB\n")
    assert names(folder) == set()
    assert names(folder.parent / ".locks") == {"0a1b2c3d4e5f.lock"}
    assert run.is_file()
    assert ccompress("runs", "runs").returncode == 0  # the list of runs is as before


def test_the_verb_refuses_other_folders(ccompress):
    done = ccompress("runs", "clean", "nowhere")
    assert done.returncode == 2
    assert done.stderr == "ccompress: nowhere is not a folder of runs\n"


def test_the_cache_of_vectors_is_shown_and_deleted_only_on_request(ccompress, folder):
    vectors_cache().mkdir(parents=True, exist_ok=True)
    for path in vectors_cache().iterdir():  # files of other tests
        path.unlink()
    file = vectors_cache() / "vectors-2-0a1b.safetensors"
    file.write_bytes(bytes(5_000_000))
    file.with_suffix(".lock").touch()
    shown = f"word vectors      {vectors_cache()}  2 files, 5.00 MB"
    for arguments, message in {
        (): ", not counted without --vectors\nnot deleted: --delete deletes 9 files, 608 kB\n",
        ("--vectors",): "\nnot deleted: --delete deletes 11 files, 5.61 MB\n",
        ("--delete",): ", not counted without --vectors\ndeleted 9 files, 608 kB\n",
    }.items():
        assert ccompress("runs", "clean", "runs", *arguments).stdout.endswith(shown + message)
    with FileLock(file.with_suffix(".lock")):
        ccompress("runs", "clean", "runs", "--delete", "--vectors")
    assert file.is_file()
    done = ccompress("runs", "clean", "runs", "--delete", "--vectors")
    assert done.stdout.endswith("deleted 2 files, 5.00 MB\n")
    assert not file.exists()
