"""Which orchestrator a command talks to."""

from troupe.client.settings import DEFAULT_TARGET, ClientSettings
from troupe.local.settings import LocalSettings
from troupe.local.stack_file import read_stack


def target_option(address: str) -> str:
    """What a command needs to reach this orchestrator, with a blank before it; empty for the usual address."""
    return "" if address == DEFAULT_TARGET else f" --target {address}"


def client_settings(target: str | None) -> ClientSettings:
    """The settings with their target: the option, else the setting, else the local stack, else the default."""
    settings = ClientSettings.load()
    if target:
        return settings.model_copy(update={"target": target})
    if "target" in settings.model_fields_set:
        return settings
    local = read_stack(LocalSettings.load().folder).get("orchestrator")
    return settings.model_copy(update={"target": local.address}) if local else settings
