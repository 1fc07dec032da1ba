"""The command: `scripts/bench [--quick] [--threads N] [--out DIR] [PART ...]`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import (
    decomposition,
    gpu,
    lstm,
    memory,
    preparing,
    steps,
    sweep,
    vectors,
    vocabulary,
)
from benchmarks.measuring import Bench, machine_name, show, write
from ccompress import cores, machine
from ccompress.errors import InputError

PARTS = {
    "steps": steps.measure,
    "factors": steps.measure_factors,
    "vocabulary": vocabulary.measure,
    "decomposition": decomposition.measure,
    "vectors": vectors.measure,
    "preparing": preparing.measure,
    "lstm": lstm.measure,
    "memory": memory.measure,
    "sweep": sweep.measure,
    "gpu": gpu.measure,
}


def main(argv: Sequence[str]) -> int:
    """Measure the chosen parts, and print and write a table of each."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a trial: tiny data, one round each")
    parser.add_argument("--threads", type=int, default=cores.threads(), help="CPU threads")
    parser.add_argument("--out", type=Path, default=Path("results/bench"), help="folder of results")
    options = parser.parse_args(argv)
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"{', '.join(unknown)} is not a part; parts are {', '.join(PARTS)}")
    torch.set_num_threads(options.threads)
    # All contenders use the same GPU settings as a run.
    machine.use_device(machine.choose_device("auto"), "float32")
    print(f"{machine_name()}; {options.threads} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(options.quick, options.threads, Path(work), options.out)
        for part in options.parts or PARTS:
            try:
                rows = PARTS[part](bench)
            except InputError as error:
                print(f"scripts/bench: {part}: {error}", file=sys.stderr)
                return 2
            if not rows:
                print(f"\n{part}: skipped, there is no CUDA device here")
                continue
            show(part, rows)
            write(options.out / f"{part}.csv", rows, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
