"""The entry point: verbs, Hydra, exit codes; nothing else."""

import importlib
import os
import re
import shlex
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ccompress import installation, streams
from ccompress.config import files
from ccompress.config.schema import keys
from ccompress.config.settings import (
    Settings,
    check,
    check_train,
    register_resolvers,
)
from ccompress.errors import DeviceLost, Diverged, InputError, OutOfMemory, nearest, one_line
from ccompress.experiment.results import RESULT, command_line

# verb -> module with main(arguments) -> exit code
VERBS = {
    "baseline": "ccompress.commands.baseline",
    "data": "ccompress.commands.data",
    "evaluate": "ccompress.commands.evaluate",
    "export": "ccompress.commands.export",
    "predict": "ccompress.commands.predict",
    "report": "ccompress.commands.report",
    "runs": "ccompress.commands.runs",
    "shrink": "ccompress.commands.shrink",
}


# Hydra's own folders: its outputs are switched off, and nothing would be found in them.
_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir")
# Launchers that the extra `launchers` brings.
_LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")


def main() -> None:
    """The console script `ccompress`."""
    # Threads wait for each other spinning for some microseconds, then give up the core. On an idle
    # machine two threads that never spin are half as fast; where anything else runs on it, threads
    # that spin as long as they like, the default, made a step ten times slower. OpenMP (GNU's, on
    # Linux) reads this once, when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    # With this much memory of its own for each stream, cuBLAS repeats its numbers to the last bit;
    # it reads this once, when torch first uses a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # We draw into files. A notebook hands its own way of drawing on to `!ccompress`, which may run
    # where that is not installed.
    os.environ["MPLBACKEND"] = "agg"
    streams.prepare()
    sys.exit(command(sys.argv[1:]))


def command(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code.

    0: done. 1: a run failed. 2: bad input. 130: Ctrl-C. 143: SIGTERM.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if _names_a_verb(arguments):
            return _verb(arguments[0], arguments[1:])
        return _hydra(arguments)
    except InputError as error:
        return _complain(str(error), 2)
    except (HydraException, OmegaConfBaseException) as error:
        return _complain(_explained(error), 2)
    except (OutOfMemory, DeviceLost) as error:
        return _complain(str(error), 1)
    except _Terminated:
        return _complain(f"terminated{_going_on(arguments)}", 143)
    except KeyboardInterrupt:
        return _complain(f"interrupted{_going_on(arguments)}", 130)
    except OSError as error:
        return _failed_by_system(error)
    except Exception as error:
        if not _raised_by_hydra(error):
            raise
        return _complain(one_line(error), 2)


def _failed_by_system(error: OSError) -> int:
    """Say what the system refused, such as a write to a full disk; the exit code."""
    if error.filename is None:
        # It is standard output that cannot be written. What is still buffered for it goes nowhere:
        # Python would write it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 0  # the reader has gone, as in `ccompress runs | head`: so do we
    return _complain(one_line(error), 1)


def _names_a_verb(arguments: list[str]) -> bool:
    return bool(arguments) and arguments[0][:1] not in "-+~" and "=" not in arguments[0]


def _raised_by_hydra(error: Exception) -> bool:
    """Whether Hydra's own code raised an error, as for `-m --cfg job`: the command is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "hydra"


def _going_on(arguments: list[str]) -> str:
    """What a user should know of runs that were stopped; verbs begin anew."""
    if _names_a_verb(arguments):
        return ""
    return "; the same command goes on from what is finished"


class _Terminated(BaseException):
    """SIGTERM arrived; no Exception, so that nothing on the way takes it for a failed run."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


def _complain(message: str, code: int) -> int:
    print(f"ccompress: {message}", file=sys.stderr)
    return code


def _verb(verb: str, arguments: list[str]) -> int:
    if verb not in VERBS:
        raise InputError(
            f"{verb!r} is no verb{nearest(verb, VERBS)}; verbs are {', '.join(sorted(VERBS))}, "
            f"options are KEY=VALUE (ccompress --help)"
        )
    module = importlib.import_module(VERBS[verb])
    try:
        return int(module.main(arguments))
    except (MemoryError, RuntimeError):
        from ccompress.machine import hardware_errors

        with hardware_errors("fewer or shorter texts need less, --device cpu none of a GPU's"):
            raise


def _hydra(arguments: list[str]) -> int:
    """Let Hydra read the command line, compose the configuration, and call `_task`."""
    # Hydra's parser takes no options between overrides, where one naturally writes -m.
    multirun = [argument for argument in arguments if argument in ("-m", "--multirun")]
    sys.argv[1:] = multirun[:1] + [word for word in arguments if word not in multirun]
    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us as they are, to be said in one line
    for group, _, option in (word.partition("=") for word in arguments):
        if group.lstrip("+~") in _FOLDERS:
            raise InputError(f"{group}: a run lies in a folder of runs_dir; give runs_dir=FOLDER")
        if option == "null" and (files.CONF / group).is_dir():
            raise InputError(f"{group}=null: it is one of {', '.join(files.options(group))}")
    hydra.main(version_base="1.3", config_path=str(files.CONF), config_name="config")(_task)()
    return 0


def _task(config: DictConfig) -> dict[str, Any]:
    """One run, here or in a launcher's process; what is returned tells a sweep of a failure."""
    from ccompress.experiment.launching import guarded

    register_resolvers()  # a launcher's process has not been through `_hydra`
    context = HydraConfig.get()
    # A path means what it meant where the command was given, whatever folder a launcher works in.
    os.chdir(context.runtime.cwd)
    if context.mode == RunMode.MULTIRUN:
        return guarded(lambda: _run_of_a_sweep(config, context))
    # SystemExit, because Hydra puts a line of its own before every Exception of a task.
    try:
        return _single_run(config, context)
    except InputError as error:
        raise SystemExit(_complain(str(error), 2)) from error
    except (Diverged, OutOfMemory, DeviceLost) as error:
        raise SystemExit(_complain(str(error), 1)) from error
    except OSError as error:
        raise SystemExit(_failed_by_system(error)) from error


def _run_of_a_sweep(config: DictConfig, context: HydraConf) -> dict[str, Any]:
    """One of many runs, which shows nothing."""
    from ccompress.experiment.run import run

    settings = check(config, context.runtime.choices)
    return run(settings, _line(settings), on_epoch=lambda row: None)


def _single_run(config: DictConfig, context: HydraConf) -> dict[str, Any]:
    """The only run, or what it left before."""
    from ccompress.experiment import console
    from ccompress.experiment.jobs import refuse_one_of_many
    from ccompress.experiment.run import finished, run
    from ccompress.machine import choose_device

    check_train(context)
    refuse_one_of_many(context.sweeper.params or {}, context.overrides.task)
    settings = check(config, context.runtime.choices)
    choose_device(settings.device)  # refuses one that is not here, even if the run is finished
    if row := finished(settings):
        elsewhere = f"a row of {settings.results_dir}, its folder is not here; "
        note = "" if (settings.folder / RESULT).is_file() else elsewhere
        console.show(row, settings, f"finished before; {note}force=true runs it again")
        return row
    with console.epochs(settings.epochs) as on_epoch:
        row = run(settings, _line(settings), on_epoch)
    console.show(row, settings, "")
    return row


def _line(settings: Settings) -> str:
    """The command line that gives the present run again."""
    context = HydraConfig.get()
    return command_line(
        context.overrides.task, context.runtime.config_sources, settings.method.uses_rate
    )


def _explained(error: Exception) -> str:
    """What Hydra or OmegaConf complains of, in one line, with what would be right."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = list(error.options or [])
        if group == "hydra/launcher" and option in _LAUNCHERS:
            return f"{group}={option} needs more packages: {installation.command('launchers')}"
        if group and known:
            return f"{group}={option} is not known{nearest(option, known)}; it is one of " + (
                ", ".join(known)
            )
    if unknown := re.match(r"Could not override '([^']+)'", str(error)):
        key = unknown.group(1)
        return f"{key} is not known{nearest(key, keys())}; ccompress --cfg job shows every key"
    if several := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", str(error)):
        override = several.group(1)
        return f"{override} names several values: -m runs each of them; {_quoted(override)}"
    if isinstance(error, OverrideParseException):
        form = _quoted(error.override) or "ccompress --help shows how options are written"
        return f"{error.override} cannot be read as KEY=VALUE; {form}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])


def _quoted(override: str) -> str:
    """How to type `override`, if its value is one text: quotes for Hydra, and for the shell."""
    key, equals, value = override.partition("=")
    quote = Quote.single if '"' in value else Quote.double
    typed = f"{key}{equals}{QuotedString(value, quote).with_quotes()}"
    try:
        OverridesParser.create().parse_override(typed)
    except HydraException:
        return ""  # there is no value, or it is the key that cannot be read
    return f"if the value is one text, quote it: {shlex.quote(typed)}"


if __name__ == "__main__":
    main()
