"""What servers behind the contract of Triton's vLLM backend call the same thing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

DialectName = Literal["vllm", "vllm-25.10"]


@dataclass(frozen=True)
class Dialect:
    """One server's names."""

    schema_parameter: str

    def schema(self, schema: Mapping[str, Any]) -> Mapping[str, str]:
        """The sampling parameter that binds an answer to a JSON Schema: a text with JSON in it, not a table."""
        return {self.schema_parameter: json.dumps({"json": schema})}


DIALECTS: Final[Mapping[DialectName, Dialect]] = {
    # Images of Triton with vLLM after 25.10, and the models that come with Troupe.
    "vllm": Dialect(schema_parameter="structured_outputs"),
    # Images up to 25.10.
    "vllm-25.10": Dialect(schema_parameter="guided_decoding"),
}
