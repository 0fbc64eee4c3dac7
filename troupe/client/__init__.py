"""The Python SDK: tasks as typed, reconnecting streams."""

from troupe.client.client import TroupeClient
from troupe.client.cursor import is_terminal
from troupe.client.folder import Folder
from troupe.client.models import Models
from troupe.client.settings import ClientSettings
from troupe.core.errors import TroupeError

__all__ = ["ClientSettings", "Folder", "Models", "TroupeClient", "TroupeError", "is_terminal"]
