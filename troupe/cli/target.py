"""Which orchestrator a command talks to, and what it says about that.

What the person names goes first: `--target`, then the setting. Else it is the stack of the own data directory, else
the usual address. Where nobody named one, a server of another user is refused: documents and questions would go there.
"""

import os
import pwd
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from troupe.cli.streams import note
from troupe.client.settings import DEFAULT_TARGET, ClientSettings
from troupe.local.errors import StackError
from troupe.local.listeners import listeners, own_orchestrators, owner_of
from troupe.local.settings import LocalSettings
from troupe.local.stack_file import running_stack

_NAMED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """The orchestrators that there are; empty where there is none."""

    option: str = ""
    setting: str = ""
    stack: str = ""
    folder: Path = Path()
    others: Sequence[str] = field(default=())
    """Those of this user's other stacks."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which one it is. `note` is for the person, where there is more than one."""

    address: str
    note: str = ""


def choose(candidates: Candidates, *, foreigner: Callable[[str], str]) -> Target:
    """Decides; `foreigner` names the other user whose server answers at an address, and is empty for the own.

    Raises:
        StackError: it is another user's, and nobody asked for it.
    """
    if candidates.option:
        return Target(candidates.option)
    if candidates.setting:
        return Target(candidates.setting, _beside_setting(candidates))
    address = candidates.stack or DEFAULT_TARGET
    _refuse_foreign(address, "--target", foreigner)
    return Target(address, _beside_own(candidates, address))


def client_settings(target: str | None) -> ClientSettings:
    """The settings with their target; says on standard error which one it is where there is a choice.

    Raises:
        StackError: see `choose`.
    """
    settings = ClientSettings.load()
    chosen = choose(_candidates(target, settings), foreigner=_foreigner)
    if chosen.note:
        note(chosen.note)
    return settings.model_copy(update={"target": chosen.address})


def inference_address(option: str | None) -> str:
    """Where the inference service is that a command asks by itself, found as the orchestrator is.

    Raises:
        StackError: it is another user's, and nobody asked for it.
    """
    settings = ClientSettings.load()
    if option or "inference_address" in settings.model_fields_set:
        return option or settings.inference_address
    member = running_stack(LocalSettings.load().folder).get("inference")
    address = member.address if member is not None else settings.inference_address
    _refuse_foreign(address, "--inference", _foreigner)
    return address


def target_option(address: str) -> str:
    """What a command needs to reach this orchestrator, with a blank before it; empty for the usual address."""
    return "" if address == DEFAULT_TARGET else f" --target {address}"


def _refuse_foreign(address: str, option: str, foreigner: Callable[[str], str]) -> None:
    if user := foreigner(address):
        raise StackError(
            f"the server at {address} is run by the user {user}, not by you: start your own with `troupe up`, or say"
            f" that you mean this one with {option} {address}"
        )


def _candidates(target: str | None, settings: ClientSettings) -> Candidates:
    if target:
        return Candidates(option=target)
    folder = LocalSettings.load().folder
    member = running_stack(folder).get("orchestrator")
    stack = member.address if member is not None else ""
    if "target" in settings.model_fields_set:
        return Candidates(setting=settings.target, stack=stack, folder=folder)
    return Candidates(stack=stack, folder=folder, others=own_orchestrators())


def _beside_setting(candidates: Candidates) -> str:
    if not candidates.stack or _same(candidates.stack, candidates.setting):
        return ""
    return (
        f"asking {candidates.setting}, as the setting `client.target` says; the stack of {candidates.folder} is at"
        f" {candidates.stack}"
    )


def _beside_own(candidates: Candidates, address: str) -> str:
    others = [other for other in candidates.others if not _same(other, address)]
    if not others and address == DEFAULT_TARGET:
        return ""
    which = f", the stack of {candidates.folder}" if candidates.stack else ""
    named = [*others[:_NAMED], *([f"{len(others) - _NAMED} more"] if len(others) > _NAMED else [])]
    beside = f"; others of yours listen at {', '.join(named)}: --target chooses" if others else ""
    return f"asking {address}{which}{beside}"


def _same(one: str, other: str) -> bool:
    return one.replace("localhost", "127.0.0.1") == other.replace("localhost", "127.0.0.1")


def _foreigner(address: str) -> str:
    uid = owner_of(address, listeners())
    if uid is None or uid == os.geteuid():
        return ""
    try:
        return f"{pwd.getpwuid(uid).pw_name!r}"
    except KeyError:
        return f"with the number {uid}"
