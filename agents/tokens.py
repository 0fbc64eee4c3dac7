"""How many tokens of the embedder a text has, without its tokenizer."""

import re
from typing import Final

# Word pieces of all-MiniLM-L6-v2 (uncased BERT): an English word is one token up to about six letters and one
# more for each further six, numbers break up sooner, anything else is a token a code point.
TOKEN: Final = re.compile(r"[A-Za-z]{1,6}|[0-9]{1,3}|[^\sA-Za-z0-9]")


def estimate_tokens(text: str) -> int:
    """An estimate from above for prose."""
    return len(TOKEN.findall(text))
