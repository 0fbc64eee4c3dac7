"""The titles of documents. Programs put file names and their own into the field for it. Pure."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

from troupe.agents.memory.document import Heading

# A program's name, alone or with its version; or in front of what it printed.
_PROGRAM: Final = re.compile(
    r"microsoft\s+(?:word|excel|powerpoint|office|outlook|publisher|visio)\s*[-–—:].*"
    r"|(?:word|excel|powerpoint|publisher|visio)\s+[-–—]\s+.*\.\w{3,4}"
    r"|(?:(?:microsoft|adobe|corel|apple|apache|google|gpl|mac|the)\s+)*"
    r"(?:word|excel|powerpoint|office|outlook|publisher|visio|(?:libre|open)office(?:\.org)?|docs|sheets|slides"
    r"|quark\s?xpress|indesign|framemaker|pagemaker|illustrator|photoshop|wordpad|notepad|keynote|pages"
    r"|(?:pdf|xe|lua)?latex|ghostscript|acrobat|distiller|canva)"
    r"(?:\s+(?:writer|calc|impress|draw|distiller|pro|dc|x|cs\d?|cc|pdf|output|for (?:mac|windows|office|ios)|online"
    r"|365|\(?v?\d[\d.]*\)?))*",
    re.IGNORECASE,
)
# What programs call a file that nobody named, by language; a number or a letter may follow.
_NAMELESS: Final = (
    r"un(?:titled|named|known|specified|benannt)|ohne titel|sans (?:titre|nom)|sin t[ií]tulo|senza titolo|sem título",
    r"sense títol|naamloo[sz]|namnlös[at]?|ut?en tittel|uden titel|nimetön|bez (?:názvu|tytułu|nazwy|naslova)",
    r"ads\u0131z|без (?:названия|имени|назви)|无标题|未命名|無標題|無題(?:の\w+)?|제목 ?없음|بدون عنوان|ללא כותרת",
    r"title|titel|titre|document|dokument|doc|file|page|seite|slide|folie|presentation|präsentation|workbook",
    r"arbeitsmappe|sheet|tabelle|scan|print|output|layout|draft|temp|tmp|test|new|none|null|n/?a|default|main",
    r"article|paper|report|thesis|template|image|img|anonymous|pdf|microsoft word|word document|full page photo",
    r"powerpoint[- ]pr(?:ä|ae|e)sentation|documento?s?|documento (?:sin t[ií]tulo|sem título|senza titolo)",
    r"document sans (?:titre|nom)|документ|文档|文件|文書|ドキュメント|문서|مستند|tài liệu|présentation",
    r"presentaci[oó]n|presentazione|apresentação|prezentac(?:e|ja|ia)|презентация|презентація|演示文稿|簡報",
    r"プレゼンテーション|프레젠테이션|feuille|hoja|foglio|planilha|blad|arkusz|лист|аркуш|diapositiv[aeo]|slayt",
    r"(?:nouve(?:au|lle)|neue[sr]?|nuevo|nuova?|novo|nytt?|nowy|новый|新建|新規) ?(?:microsoft word )?"
    r"(?:documento?|dokument|документ|文档|ドキュメント|präsentation|presentación|презентация)",
)
_EMPTY: Final = re.compile(
    rf"(?:{'|'.join(_NAMELESS)})[\s._-]*(?:document|dokument|presentation)?[\s._-]*(?:\(?\d+\)?|[a-z])?", re.IGNORECASE
)
_FILE: Final = re.compile(
    r"\S*[\\/]?[^\s\\/]+\.(?:docx?|odt|rtf|dotx?|pptx?|xlsx?|pdf|tex|dvi|ps|eps|indd|qxd|qxp|fm|pmd|pub|cdr|ai|txt|md"
    r"|html?|tmp|wpd|pages|key|vsdx?|dwg|tiff?|jpe?g|png)(?:\s*[\[(].*)?",
    re.IGNORECASE,
)
# Names of what office programs write may hold blanks.
_SPACED_FILE: Final = re.compile(r"[^.?!]*[^\s.]\.(?:docx?|pptx?|xlsx?|odt|rtf|indd|qxd|pdf)", re.IGNORECASE)
_PATH: Final = re.compile(
    r"(?:[a-z]:)?[\\/]\S*|[a-z]:[\\/].*|\\\\.+|/[^/]+/.*|~/.*|file:.*|https?://\S+", re.IGNORECASE
)
_CODE: Final = re.compile(
    r"(?!(?:1[5-9]|20)\d\d\Z)(?:[\W\d_]+|[0-9a-f-]{16,}|\S*\d{4,}\S*|[a-z]+_\w+|(?-i:[a-z]+(?:-[a-z\d]+){2,}))",
    re.IGNORECASE,
)
_LONGEST: Final = 500  # characters; a longer title is no name


def is_telling(title: str, uri: str) -> bool:
    """Whether a stated title says what the document is about, and is not a program's or a file's name."""
    title = title.strip(" \t-–—_.,:;()[]<>{}\"'")
    if len(title) > _LONGEST:
        return True
    if not title or _PROGRAM.fullmatch(title) or _PATH.fullmatch(title) or _EMPTY.fullmatch(title):
        return False
    if _FILE.fullmatch(title) or _SPACED_FILE.fullmatch(title) or (" " not in title and _CODE.fullmatch(title)):
        return False
    stem = PurePosixPath(unquote(uri)).stem.casefold()
    return title.casefold() not in (stem, PurePosixPath(unquote(uri)).name.casefold())


def title_of(headings: Sequence[Heading]) -> str:
    """The first heading of the highest level that there is."""
    return min(headings, key=lambda heading: heading.level).title if headings else ""
