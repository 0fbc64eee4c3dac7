"""What Redis means when it refuses, and what to do about it."""

import re
from collections.abc import Mapping
from typing import Final

# Redis does not let us in, or not do what we must: it may do so later, when somebody has changed that.
LOCKED_OUT: Final = (
    *("NOAUTH", "WRONGPASS", "NOPERM", "ERR AUTH", "ERR invalid password", "ERR Client sent AUTH"),
    "ERR max number of clients",
)
_MAX_CHARS: Final = 160

_MEANINGS: Final[Mapping[str, str]] = {
    "OOM": "Redis is out of memory: raise its `maxmemory`, or have ended tasks go sooner by the setting"
    " `orchestrator.retention`",
    "MISCONF": "Redis cannot write its data to disk and refuses changes until it can: look at the space on its disk and"
    " into its log",
    "NOAUTH": "Redis asks for a password: put it into the setting `redis_url`, as redis://:password@host:6379/0",
    "WRONGPASS": "Redis refuses the user or the password in the setting `redis_url`",
    "ERR invalid password": "Redis refuses the password in the setting `redis_url`",
    "ERR AUTH": "Redis has no password, and the setting `redis_url` names one: leave it out, or give Redis one",
    "ERR Client sent AUTH": "Redis has no password, and the setting `redis_url` names one: leave it out, or give Redis"
    " one",
    "NOPERM": "the user in the setting `redis_url` may not do in Redis what Troupe must: give it more rights by ACL",
    "ERR max number of clients": "Redis takes no more connections: raise its `maxclients`",
    "LOADING": "Redis reads its data from disk and will answer when it has",
    "READONLY": "this Redis is a replica, or its master has failed over: the setting `redis_url` must name the master",
    "MASTERDOWN": "this Redis is a replica that has lost its master",
    "CLUSTERDOWN": "the Redis Cluster is down: too many of its masters cannot be reached",
    "NOREPLICAS": "Redis has too few replicas in reach, and refuses changes until it has enough",
    "BUSY": "Redis is held up by a script that takes too long",
}
_CODE: Final = re.compile(r"(?<![A-Za-z])(" + "|".join(sorted(_MEANINGS, key=len, reverse=True)) + r")\b")
# Where in which script it was.
_PLACE: Final = re.compile(r"[,.]? (?:script: [0-9a-f]{40}|on @user_script).*|Error running script .*?: -?", re.DOTALL)


def meaning(refusal: str) -> str:
    """What a refusal means and what to do, with the answer itself behind; the answer where it means nothing special."""
    answer = " ".join(_PLACE.sub("", refusal).split())[:_MAX_CHARS]
    code = _CODE.search(refusal)
    return f"{_MEANINGS[code[1]]} (it answers {answer!r})" if code else f"Redis answers {answer}"
