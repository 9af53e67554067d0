"""Flags that Hydra answers (``--help``, ``--cfg job``), checked before it would raise on them."""

from __future__ import annotations

from collections.abc import Sequence

from chandir.harness.base.errors import UserError, nearest, one_of
from chandir.harness.command.arguments import parse
from chandir.harness.command.options import settings
from chandir.harness.sweep.plan import jobs

SHELLS = ("bash", "fish", "zsh")
# Flags, and what may follow each: None is nothing, an empty tuple anything.
FLAGS: dict[str, tuple[str, ...] | None] = {
    "--help": None,
    "--hydra-help": None,
    "--version": None,
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
    "--shell-completion": None,
    "--resolve": None,
    "--package": (),
    "--multirun": None,
}
SHORT = {
    **{"-h": "--help", "-c": "--cfg", "-i": "--info", "-sc": "--shell-completion"},
    **{"-p": "--package", "-m": "--multirun"},
}
ALONE = {"--resolve", "--package", "--multirun"}  # these ask nothing by themselves
# What each of them may stand beside.
BESIDE = {
    "--resolve": ("--cfg", "--help"),
    "--package": ("--cfg",),
    "--multirun": ("--help", "--hydra-help", "--version"),
}


def asked(arguments: Sequence[str]) -> bool:
    """Whether something is asked of Hydra."""
    return any(_flag(argument) in FLAGS.keys() - ALONE for argument in arguments)


def version(arguments: Sequence[str]) -> bool:
    """Whether it is the version that is asked for."""
    return "--version" in arguments


def _flag(argument: str) -> str:
    name = argument.partition("=")[0]
    return SHORT.get(name, name)


def check(arguments: Sequence[str]) -> list[str]:
    """Refuse flags that there are not, and overrides that run.py would refuse.

    Returns:
        The arguments as Hydra takes them: overrides first, and not on both sides of a flag.

    Raises:
        UserError: for the first.
    """
    flags: set[str] = set()
    overrides: list[str] = []
    asking: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        asking.append(argument)
        flag = _flag(argument)
        if flag not in FLAGS:
            raise UserError(f"{argument}: there is no such flag{nearest(flag, FLAGS)}")
        if flag in flags:
            raise UserError(f"{argument}: {flag} is given already; expected it once")
        flags.add(flag)
        values, given = FLAGS[flag], argument.partition("=")[2] or None
        if values is None:
            if given is not None:
                raise UserError(f"{argument}: expected {flag} alone")
            continue
        if given is None and waiting and "=" not in waiting[0] and waiting[0][:1] != "-":
            asking.append(given := waiting.pop(0))
        if flag == "--info" and given is None:
            continue
        if flag == "--package":
            values = tuple(sorted({key.partition(".")[0] for key in settings()}))
        if given not in values:
            what = flag if given is None else f"{flag}={given}"
            raise UserError(
                f"{what}: expected {flag} {one_of(values)}{nearest(given or '', values)}"
            )
    _together(flags)
    if "--shell-completion" in flags:
        known = [
            f"{verb}={shell}" for verb in ("install", "uninstall", "query") for shell in SHELLS
        ]
        if len(overrides) != 1 or overrides[0] not in known:
            raise UserError(
                f"--shell-completion {' '.join(overrides)}: expected one of {', '.join(known)}"
            )
        return [*overrides, *asking]
    parsed = parse(overrides)
    own = tuple(str(it.input_line) for it in parsed if not it.key_or_group.startswith("hydra"))
    if swept := [it.input_line for it in parsed if it.is_sweep_override()]:
        raise UserError(f"{swept[0]} is a sweep: expected one value, whose configuration is shown")
    jobs(own)
    return [*overrides, *asking]


def _together(flags: set[str]) -> None:
    """Refuse flags of which Hydra would answer one, or none.

    Raises:
        UserError: naming those that do not belong together.
    """
    asking = sorted(flags - ALONE)
    if len(asking) > 1:
        raise UserError(f"{' '.join(asking)}: expected one of them; ask one question at a time")
    for flag in sorted(flags & ALONE):
        if asking[0] not in BESIDE[flag]:
            raise UserError(
                f"{flag} has no effect with {asking[0]}: expected it only with "
                f"{one_of(BESIDE[flag])}; remove it, or ask that"
            )
