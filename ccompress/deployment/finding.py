"""Where the model file is that a user names: by itself, by its run's folder or by its run's id."""

from pathlib import Path

from ccompress.errors import InputError

FILE = "model.safetensors"
RUNS_DIR = Path("results/runs")


def folder_of(run: str, runs_dir: Path) -> Path:
    """The run's folder that a user names.

    Args:
        run: The folder itself, or the first letters of the run's id.
        runs_dir: The folder that holds the runs.

    Raises:
        InputError: No folder or more than one folder fits.
    """
    if not run:
        raise InputError("no run is named: give its folder or the first letters of its id")
    folders = [Path(run)]
    if not folders[0].is_dir():
        folders = sorted(runs_dir.glob(f"{run}*")) if run.isalnum() else []
    if not folders:
        raise InputError(f"no run {run!r} in {runs_dir}: `ccompress runs` lists them")
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise InputError(f"{run!r} is the beginning of {len(folders)} runs: {names}")
    return folders[0]


def file_of(run: str, runs_dir: Path = RUNS_DIR) -> Path:
    """The model file that a user names.

    Args:
        run: The file itself, its folder, or the first letters of the run's id.
        runs_dir: The folder that holds the runs.

    Raises:
        InputError: No file or more than one file fits.
    """
    if run and (given := Path(run)).is_file():
        return given
    if run.endswith(Path(FILE).suffix):
        raise InputError(f"there is no file {run}")
    folder = folder_of(run, runs_dir)
    path = folder / FILE
    if not path.is_file():
        if not (folder / "config.yaml").is_file():
            raise InputError(f"{folder} is not a run's folder: `ccompress runs` lists them")
        raise InputError(
            f"{folder} has no {FILE}: the run is not finished or used "
            f"save_model=false; save_model=true runs it again"
        )
    return path
