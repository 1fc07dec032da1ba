"""The entry point: verbs, Hydra, exit codes; nothing else."""

import itertools
import os
import re
import shlex
import signal
import sys
import traceback
from types import FrameType
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from ccompress import installation, streams
from ccompress.commands import completion, verbs
from ccompress.config import files
from ccompress.config.hints import hint, of_value
from ccompress.config.schema import keys
from ccompress.config.settings import (
    check,
    check_train,
    register_resolvers,
)
from ccompress.errors import (
    DeviceLost,
    DiskFull,
    Diverged,
    InputError,
    OutOfMemory,
    nearest,
    one_line,
)
from ccompress.experiment.results import command_line

# The folders that Hydra itself would write. We switch them off, so setting one has no effect.
_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir")
# Hydra's options that may be followed by a value.
_WITH_VALUE = {"--cfg", "-c", "--info", "-i", "--package", "-p", "--experimental-rerun"}
_WITH_VALUE |= {"--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"}
# Launchers that the extra `launchers` installs.
_LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")


def main() -> None:
    """The console script `ccompress`."""
    # A waiting thread spins for some microseconds and then gives up its core. On an idle machine,
    # two threads that never spin are half as fast. On a busy machine, threads that spin without a
    # limit (the default) made a step ten times slower. GNU's OpenMP, which torch uses on Linux,
    # reads this variable once, when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    # With a workspace of this size for each stream, cuBLAS repeats its numbers to the last bit.
    # cuBLAS reads this variable once, when torch first uses a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # We draw into files. A notebook passes its own drawing backend on to `!ccompress`, whose
    # environment may not have that backend.
    os.environ["MPLBACKEND"] = "agg"
    arguments = _verb_first(sys.argv[1:])
    trains = not _names_a_verb(arguments) or arguments[0] in verbs.TRAINING
    streams.prepare(outlive_reader=trains)
    sys.exit(command(arguments))


def command(arguments: list[str]) -> int:
    """Run a command line and return its exit code.

    The exit code is 0 for success, 1 if a run failed, 2 for bad input, 130 after Ctrl-C, 141 if
    nobody reads what a verb prints, and 143 after SIGTERM.
    """
    signal.signal(signal.SIGTERM, _terminate)
    arguments = _verb_first(arguments)
    try:
        if "--version" in arguments:
            print(f"ccompress {installation.__version__}")
            return 0
        if shell := completion.shell_of(arguments):
            completion.answer(shell, _hydra)
            return 0
        if arguments[1:2] == ["="]:
            key, _, value, *_ = [*arguments, ""]
            raise InputError(f"{key} = {value}: write {key}={value}, without blanks")
        if _names_a_verb(arguments):
            return _verb(arguments)
        return _hydra(arguments)
    except InputError as error:
        return _complain(str(error), 2)
    except (HydraException, OmegaConfBaseException) as error:
        return _complain(_explained(error), 2)
    except (OutOfMemory, DeviceLost, DiskFull) as error:
        return _complain(str(error), 1)
    except _Terminated:
        return _complain(f"terminated{_how_to_resume(arguments)}", 143)
    except KeyboardInterrupt:
        return _complain(f"interrupted{_how_to_resume(arguments)}", 130)
    except OSError as error:
        return _failed_by_system(error)
    except Exception as error:
        if not _raised_by_hydra(error):
            raise
        return _complain(one_line(error), 2)


def _failed_by_system(error: OSError) -> int:
    """Print what the operating system refused, such as a write to a full disk; the exit code."""
    if error.filename is None:
        # Standard output cannot be written. Python would try again with the buffered text when it
        # ends, so standard output now leads nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return 141  # the reader has ended, as in `ccompress runs | head`
    return _complain(one_line(error), 1)


def _names_a_verb(arguments: list[str]) -> bool:
    return bool(arguments) and arguments[0][:1] not in "-+~" and "=" not in arguments[0]


def _verb_first(arguments: list[str]) -> list[str]:
    """The arguments with options that stand before a verb behind it, where a verb reads them."""
    options = list(itertools.takewhile(lambda word: word.startswith("-"), arguments))
    rest = arguments[len(options) :]
    if rest[:1] and rest[0] in verbs.VERBS and not _WITH_VALUE & set(options):
        return [*rest, *options]
    return arguments


def _raised_by_hydra(error: Exception) -> bool:
    """Whether Hydra's own code raised the error, as for `-m --cfg job`: the command is wrong."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "hydra"


def _how_to_resume(arguments: list[str]) -> str:
    """The hint for a user who stopped runs; empty for a verb, which starts from its beginning."""
    if _names_a_verb(arguments):
        return ""
    return "; the same command continues after the finished runs"


class _Terminated(BaseException):
    """SIGTERM arrived. It is not an Exception, so that no handler takes it for a failed run."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise _Terminated


def _complain(message: str, code: int) -> int:
    print(f"ccompress: {message}", file=sys.stderr)
    return code


def _verb(words: list[str]) -> int:
    verb, arguments = verbs.find(words)
    try:
        return verb.main(arguments)
    except (MemoryError, RuntimeError):
        from ccompress.machine import hardware_errors

        with hardware_errors("use fewer or shorter texts, or --device cpu instead of a GPU"):
            raise


def _hydra(arguments: list[str]) -> int:
    """Let Hydra read the command line, compose the configuration, and call `_task`."""
    # Users write -m between overrides, where Hydra's parser accepts no options. So -m goes first.
    arguments = ["quiet=true" if word == "--quiet" else word for word in arguments]
    multirun = [argument for argument in arguments if argument in ("-m", "--multirun")]
    sys.argv[1:] = multirun[:1] + [word for word in arguments if word not in multirun]
    register_resolvers()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors, and we print each in one line
    _refuse_misplaced(arguments, bool(multirun))
    for group, _, option in (word.partition("=") for word in arguments):
        if group.lstrip("+~") in _FOLDERS:
            raise InputError(f"{group}: a run lies in a folder of runs_dir; give runs_dir=FOLDER")
        if option == "null" and (files.CONF / group).is_dir():
            raise InputError(f"{group}=null: it is one of {', '.join(files.options(group))}")
    hydra.main(version_base="1.3", config_path=str(files.CONF), config_name="config")(_task)()
    return 0


def _refuse_misplaced(arguments: list[str], is_sweep: bool) -> None:
    """Refuse options that Hydra does not know or that exclude each other."""
    known = get_args_parser()._option_string_actions
    for word, after in zip(arguments, [*arguments[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if is_sweep and name in ("--cfg", "-c", "--info", "-i"):
            raise InputError(
                f"{name} shows the configuration of one run: leave out -m, and give each option "
                f"one value"
            )
        if name.startswith("-") and not any(option.startswith(name) for option in known):
            key = name.lstrip("-")
            near = nearest(name, [*known, "--quiet"])
            meant = f" (did you mean {key}={value or after or '…'}?)" if key in keys() else near
            raise InputError(f"{name} is not an option{meant}; options of a run are KEY=VALUE")


def _task(config: DictConfig) -> dict[str, Any]:
    """One run, in this process or in a launcher's; the sweep reads a failure from the result."""
    from ccompress.experiment.launching import guarded

    register_resolvers()  # a launcher's process has not called `_hydra`
    context = HydraConfig.get()
    # Relative paths refer to the folder of the command, whatever folder a launcher works in.
    os.chdir(context.runtime.cwd)
    if context.mode == RunMode.MULTIRUN:
        return guarded(lambda: _run_of_a_sweep(config, context))
    # SystemExit, because Hydra prints a line of its own before each Exception of a task.
    try:
        return _single_run(config, context)
    except InputError as error:
        raise SystemExit(_complain(str(error), 2)) from error
    except (Diverged, OutOfMemory, DeviceLost) as error:
        raise SystemExit(_complain(str(error), 1)) from error
    except OSError as error:
        raise SystemExit(_failed_by_system(error)) from error


def _run_of_a_sweep(config: DictConfig, context: HydraConf) -> dict[str, Any]:
    """One run of a sweep, which prints nothing."""
    from ccompress.experiment.run import run

    settings = check(config, context.runtime.choices)
    line = command_line(
        context.overrides.task, context.runtime.config_sources, settings.method.uses_rate
    )
    return run(settings, line, on_epoch=lambda row: None)


def _single_run(config: DictConfig, context: HydraConf) -> dict[str, Any]:
    """The only run of a command, or its stored result; with `target_bytes`, what that finds."""
    from ccompress.experiment.jobs import Job, refuse_one_of_many
    from ccompress.experiment.single import Single

    check_train(context)
    overrides, sources = list(context.overrides.task), context.runtime.config_sources
    refuse_one_of_many(context.sweeper.params or {}, overrides)
    if config.get("target_bytes") is not None:
        from ccompress.experiment import target

        found = target.search(overrides, config.target_bytes, sources)
        job = Job(list(found.candidate.overrides), found.candidate.settings, "")
        return Single(job, sources).run(found.row)
    settings = check(config, context.runtime.choices)
    return Single(Job(overrides, settings, ""), sources).run()


def _explained(error: Exception) -> str:
    """An error of Hydra or OmegaConf in one line, with what would be right."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        known = list(error.options or [])
        if group == "hydra/launcher":
            known = sorted({*known, *_LAUNCHERS})
        if group == "hydra/launcher" and option in _LAUNCHERS:
            return f"{group}={option} needs more packages: {installation.command('launchers')}"
        if group and known:
            return f"{group}={option} is not known{nearest(option, known)}; it is one of " + (
                ", ".join(known)
            )
    if unknown := re.match(r"Could not override '([^']+)'", str(error)):
        key = unknown.group(1)
        return f"{key} is not known{hint(key)}; ccompress --cfg job shows every key"
    if several := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", str(error)):
        override = several.group(1)
        key, _, value = override.partition("=")
        meant = of_value(key, value)
        return f"{override} names several values{meant}: -m runs each of them; {_quoted(override)}"
    if isinstance(error, OverrideParseException):
        form = _quoted(error.override) or "ccompress --help shows how options are written"
        return f"{error.override} cannot be read as KEY=VALUE; {form}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])


def _quoted(override: str) -> str:
    """How to type `override` if its value is a single text: quoted for Hydra and for the shell."""
    key, equals, value = override.partition("=")
    quote = Quote.single if '"' in value else Quote.double
    typed = f"{key}{equals}{QuotedString(value, quote).with_quotes()}"
    try:
        OverridesParser.create().parse_override(typed)
    except HydraException:
        return ""  # there is no value, or Hydra cannot read the key
    return f"if the value is one text, quote it: {shlex.quote(typed)}"


if __name__ == "__main__":
    main()
