"""The tools of this process, and who may call which."""

from collections.abc import Mapping, Sequence

from troupe.agents.tools.tool import Tool


class ToolRegistry:
    """Tools by name."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.definition.name: tool for tool in tools}

    def permitted(self, names: Sequence[str]) -> Mapping[str, Tool]:
        """The tools of an agent's list.

        Raises:
            ValueError: a name is not registered; told at start, when agents are put together.
        """
        if unknown := [name for name in names if name not in self._tools]:
            raise ValueError(f"no tool is named {unknown[0]!r}; there are {', '.join(sorted(self._tools))}")
        return {name: self._tools[name] for name in names}
