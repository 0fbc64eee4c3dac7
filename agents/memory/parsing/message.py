"""Mails and saved pages (MHTML): the heading lines, the text, and what is attached as far as it can be read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from typing import Final, Protocol

from troupe.agents.memory.document import Heading, ParsedDocument, Span
from troupe.agents.memory.errors import unreadable
from troupe.agents.memory.parsing.charsets import name_of
from troupe.agents.memory.parsing.encoding import decode
from troupe.agents.memory.parsing.html import parse_html
from troupe.agents.memory.parsing.media import media_type_of
from troupe.core import media
from troupe.core.errors import TroupeError

_SHOWN: Final = ("From", "To", "Cc", "Date", "Subject")
_MAX_ATTACHMENTS: Final = 100
_STUB: Final = 5  # a plain text that is so many times shorter than the HTML only points to it


class Parse(Protocol):
    """Reads an attachment."""

    def __call__(self, content: bytes, *, uri: str, media_type: str, charset: str = "") -> ParsedDocument:
        """The document."""
        ...


@dataclass(slots=True)
class _Letter:
    """Puts documents one behind the other."""

    parts: list[str] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    atoms: list[Span] = field(default_factory=list)
    length: int = 0

    def put(self, text: str) -> None:
        self.parts.append(f"{text}\n\n")
        self.length += len(text) + 2

    def document(self, document: ParsedDocument, *, below: int) -> None:
        at = self.length
        self.headings += [Heading(h.level + below, h.title, h.start + at, h.end + at) for h in document.headings]
        self.atoms += [Span(a.start + at, a.end + at, a.header) for a in document.atoms]
        self.put(document.text)


def parse_message(content: bytes, uri: str, parse: Parse) -> ParsedDocument:
    """Title: the subject.

    Raises:
        TroupeError: it is no message.
    """
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
    if not message.keys() or not any(name in message for name in (*_SHOWN, "Content-Type", "Received")):
        raise unreadable(uri, "it is no mail: it does not begin with heading lines such as `From:`")
    letter = _Letter()
    lines = [f"{name}: {value}" for name in _SHOWN if (value := _header(message, name))]
    if lines and "From" in message:
        letter.put("\n".join(lines))
    body = _body(message, uri)
    if body is not None:
        letter.document(body, below=0)
    for number, part in enumerate(_attachments(message)):
        if number < _MAX_ATTACHMENTS:
            _attach(letter, part, uri, parse)
    subject = _header(message, "Subject") or (body.title if body is not None else "")
    metadata = body.metadata if body is not None else {}
    return ParsedDocument("".join(letter.parts).rstrip("\n"), subject, letter.headings, letter.atoms, metadata)


def _header(message: Message, name: str) -> str:
    """A heading line, decoded; empty if there is none that can be read."""
    try:
        return " ".join(str(message.get(name, "")).split()).encode("utf-8", "replace").decode()
    except (ValueError, LookupError, IndexError, AttributeError):  # the parser of addresses stumbles over some
        return ""


def _body(message: EmailMessage, uri: str) -> ParsedDocument | None:
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    written = _plain(plain, uri) if isinstance(plain, EmailMessage) else None
    if not isinstance(html, EmailMessage):
        return written
    rich = parse_html(_bytes(html), uri, charset=name_of(html.get_content_charset() or ""))
    if written is None or len(written.text.strip()) * _STUB < len(rich.text):
        return rich
    return written


def _plain(part: EmailMessage, uri: str) -> ParsedDocument:
    decoded = decode(_bytes(part), uri, transport=name_of(part.get_content_charset() or ""))
    return ParsedDocument(text=decoded.text.replace("\r\n", "\n").strip(), metadata=decoded.metadata)


def _bytes(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachments(message: EmailMessage) -> Iterator[EmailMessage]:
    for part in message.iter_attachments():
        if isinstance(part, EmailMessage) and part.get_content_disposition() != "inline":
            yield part


def _attach(letter: _Letter, part: EmailMessage, uri: str, parse: Parse) -> None:
    """Writes an attachment, or why it cannot be read."""
    name = part.get_filename() or "without a name"
    try:
        content = _bytes(part)
        media_type = media_type_of(name, "", content)
        if media_type == media.EMAIL:
            raise unreadable(uri, "it is a mail itself")
        document = parse(content, uri=name, media_type=media_type, charset=name_of(part.get_content_charset() or ""))
    except TroupeError as error:
        letter.put(f"Attachment: {name} ({error.message.rpartition('cannot be read: ')[2]})")
        return
    title = f"Attachment: {name}"
    letter.headings.append(Heading(1, title, letter.length, letter.length + len(title)))
    letter.put(title)
    letter.document(document, below=1)
