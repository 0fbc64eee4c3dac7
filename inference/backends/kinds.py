"""The kinds of backends there are. A new one is a package beside this module, and its settings in the union."""

from typing import Annotated

from pydantic import Field

from troupe.inference.backends.gemini.settings import GeminiSettings
from troupe.inference.backends.triton.settings import TritonSettings

AnyBackend = Annotated[TritonSettings | GeminiSettings, Field(discriminator="kind")]
"""The settings of one backend; its `kind` tells which."""
