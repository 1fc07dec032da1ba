import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest
import tiny_data
from hatchling.build import build_wheel
from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_runs_from_any_folder(tmp_path, monkeypatch):
    # An empty environment that sees the dependencies of this one, but not this source tree. The
    # path file adds their folder without its own path files, which would add editable installs.
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    site = next(environment.glob("lib/python*/site-packages"))
    dependencies = Path(pytest.__file__).parents[1]
    (site / "dependencies.pth").write_text(f"{dependencies}\n")

    monkeypatch.chdir(ROOT)
    wheel = tmp_path / build_wheel(str(tmp_path))  # the function that pip calls
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)  # this installs a wheel that has only Python files
    shipped = {name.removeprefix("ccompress/") for name in names if "/conf/" in name}
    assert shipped == {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert {"hydra_plugins/ccompress_sweeper.py", "ccompress/data/datasets/books.txt"} <= set(names)
    assert not [name for name in names if "imdb-glove.300d" in name]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    overrides = tiny_data.write(tmp_path / "data")
    code = "import sys; from ccompress.cli import main; main()"

    def run(*arguments):
        return subprocess.run(
            [environment / "bin" / "python", "-c", code, *arguments],
            cwd=elsewhere,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("-m", "seed=0,1", *overrides)
    assert done.returncode == 0, done.stderr
    assert len(list(elsewhere.glob("results/runs/*/result.json"))) == 2
    one_run = ["dataset=sst2", "network=dan", "method=none", "seed=0"]
    without_vectors = run("-m", "+experiment=paper", *one_run)
    assert without_vectors.returncode == 2
    for way in ("clone the repository", "vectors=glove300"):
        assert way in without_vectors.stderr
    assert len(without_vectors.stderr.strip().splitlines()) == 1, without_vectors.stderr


def test_the_vectors_stay_out_of_the_sdist(tmp_path):
    sdist = SdistBuilder(str(ROOT))
    names = [str(file.relative_path) for file in sdist.recurse_included_files()]
    assert "results/vectors/README.md" in names
    assert "results/vectors/imdb-glove.300d.txt.gz" not in names
