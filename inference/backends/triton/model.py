"""What the settings say of a model on Triton."""

from typing import Literal

from pydantic import Field

from troupe.inference.backends.settings import ModelSettings


class TritonModel(ModelSettings):
    """A model that Triton serves."""

    kind: Literal["generator", "embedder"]
    extractive: bool = Field(default=False, description="whether it only quotes its sources")
    default_max_output_tokens: int = Field(default=512, gt=0)
