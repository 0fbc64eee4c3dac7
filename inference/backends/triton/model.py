"""What the settings say of a model on Triton."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from troupe.inference.backends.chat_templates import ChatTemplate
from troupe.inference.backends.settings import ModelSettings
from troupe.inference.backends.triton.dialects import DialectName


def _template(source: str) -> str:
    if source:
        ChatTemplate(source)
    return source


class TritonModel(ModelSettings):
    """A model that Triton serves."""

    kind: Literal["generator", "embedder"]
    extractive: bool = Field(default=False, description="whether it only quotes its sources")
    default_max_output_tokens: int = Field(default=512, gt=0)
    chat_template: Annotated[str, AfterValidator(_template)] = Field(
        default="", description="Jinja; unset means the parameter `chat_template` of the model's config.pbtxt"
    )
    dialect: DialectName = Field(default="vllm", description="`vllm-25.10` for images of Triton with vLLM up to 25.10")
