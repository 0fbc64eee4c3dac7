"""What kinds of files can be read: one table, by which clients choose files and the memory chooses parsers. Pure."""

import os
import re
from enum import StrEnum
from pathlib import PurePath
from typing import Final

TEXT: Final = "text/plain"
MARKDOWN: Final = "text/markdown"
RST: Final = "text/x-rst"
ASCIIDOC: Final = "text/asciidoc"
HTML: Final = "text/html"
XML: Final = "application/xml"
CSV: Final = "text/csv"
TSV: Final = "text/tab-separated-values"
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonl"
NOTEBOOK: Final = "application/x-ipynb+json"
YAML: Final = "application/yaml"
TOML: Final = "application/toml"
EMAIL: Final = "message/rfc822"
PDF: Final = "application/pdf"
_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
DOCX: Final = _OFFICE + "wordprocessingml.document"
PPTX: Final = _OFFICE + "presentationml.presentation"
XLSX: Final = _OFFICE + "spreadsheetml.sheet"

# Source code has the media type `text/x-<language>`; this is the language of each suffix.
_LANGUAGES: Final = {
    "ada": ".ada .adb .ads",
    "assembly": ".asm .s",
    "batch": ".bat .cmd",
    "c": ".c .h",
    "c++": ".cc .cpp .cxx .hh .hpp .hxx .inl .ipp",
    "clojure": ".clj .cljc .cljs .edn",
    "cmake": ".cmake",
    "cobol": ".cbl .cob",
    "coffeescript": ".coffee",
    "crystal": ".cr",
    "csharp": ".cs .csx",
    "css": ".css .less .sass .scss",
    "cuda": ".cu .cuh",
    "cython": ".pxd .pyx",
    "d": ".d",
    "dart": ".dart",
    "elixir": ".ex .exs",
    "elm": ".elm",
    "erlang": ".erl .hrl",
    "fortran": ".f .f03 .f08 .f90 .f95 .for",
    "fsharp": ".fs .fsi .fsx",
    "glsl": ".comp .frag .glsl .hlsl .metal .vert .wgsl",
    "go": ".go",
    "gradle": ".gradle",
    "graphql": ".gql .graphql",
    "groovy": ".groovy",
    "haskell": ".hs .lhs",
    "hcl": ".hcl .nomad .tf .tfvars",
    "java": ".java",
    "javascript": ".cjs .js .jsx .mjs",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "lisp": ".cl .el .lisp .lsp",
    "lua": ".lua",
    "make": ".mak .mk",
    "matlab": ".m",
    "nim": ".nim",
    "nix": ".nix",
    "objective-c": ".mm",
    "ocaml": ".ml .mli",
    "pascal": ".dpr .pas .pp",
    "perl": ".pl .pm",
    "php": ".php",
    "powershell": ".ps1 .psd1 .psm1",
    "prolog": ".pro .prolog",
    "protobuf": ".proto",
    "python": ".py .pyi .pyw",
    "r": ".r",
    "racket": ".rkt",
    "ruby": ".gemspec .rake .rb",
    "rust": ".rs",
    "scala": ".sbt .sc .scala",
    "scheme": ".scm .ss",
    "shell": ".bash .fish .ksh .sh .zsh",
    "solidity": ".sol",
    "sql": ".ddl .dml .psql .sql",
    "starlark": ".bazel .bzl .star",
    "svelte": ".svelte",
    "swift": ".swift",
    "tcl": ".tcl",
    "template": ".ejs .erb .hbs .j2 .jinja .jinja2 .mustache .tmpl .tpl .twig",
    "thrift": ".thrift",
    "typescript": ".cts .mts .ts .tsx",
    "vb": ".bas .vb .vbs",
    "verilog": ".sv .svh .v .vh",
    "vhdl": ".vhd .vhdl",
    "vue": ".astro .vue",
    "zig": ".zig",
}
_SUFFIXES: Final = {
    TEXT: ".cfg .cnf .conf .desktop .diff .ini .log .org .patch .pod .po .pot .properties .service .srt .strings"
    " .tex .text .txt .unit .vtt .wiki .mediawiki .textile .bib",
    MARKDOWN: ".markdown .md .mdown .mdwn .mdx .mkd .mkdn .qmd .rmd",
    RST: ".rest .rst",
    ASCIIDOC: ".adoc .asciidoc",
    HTML: ".htm .html .shtml .xht .xhtml",
    XML: ".atom .dita .docbook .rss .wsdl .xml .xsd .xsl .xslt",
    CSV: ".csv",
    TSV: ".tab .tsv",
    JSON: ".geojson .har .json .json5 .jsonc .jsonld .webmanifest",
    JSON_LINES: ".jsonl .jsonlines .ndjson",
    NOTEBOOK: ".ipynb",
    YAML: ".yaml .yml",
    TOML: ".toml",
    EMAIL: ".eml .mht .mhtml",
    PDF: ".pdf",
    DOCX: ".docm .docx .dotx",
    PPTX: ".potx .ppsx .pptm .pptx",
    XLSX: ".xlsm .xlsx .xltx",
    **{f"text/x-{language}": suffixes for language, suffixes in _LANGUAGES.items()},
}
BY_SUFFIX: Final = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
SOURCE_TYPES: Final = frozenset(f"text/x-{language}" for language in _LANGUAGES)
READABLE: Final = frozenset(_SUFFIXES)

# Files that are known by their name alone.
_PROSE: Final = (
    "authors changelog changes codeowners contributing contributors copying copyright faq history install"
    " licence license maintainers news notes notice owners readme thanks todo version"
)
_BY_NAME: Final = {
    **dict.fromkeys(_PROSE.split(), TEXT),
    **dict.fromkeys(["containerfile", "dockerfile"], "text/x-shell"),
    **dict.fromkeys(["gnumakefile", "justfile", "makefile"], "text/x-make"),
    **dict.fromkeys(["gemfile", "podfile", "rakefile", "vagrantfile"], "text/x-ruby"),
    "jenkinsfile": "text/x-groovy",
    "procfile": TEXT,
    **dict.fromkeys(["build", "workspace"], "text/x-starlark"),
}

_UNREAD: Final = {
    "a picture": ".avif .bmp .gif .heic .heif .ico .jpeg .jpg .png .psd .raw .svg .svgz .tif .tiff .webp .xcf",
    "sound or video": ".aac .aiff .avi .flac .flv .m4a .m4v .mid .mkv .mov .mp3 .mp4 .mpeg .mpg .oga .ogg .ogv .opus"
    " .wav .webm .wma .wmv",
    "an archive": ".7z .apk .bz2 .cab .crate .deb .dmg .egg .gz .iso .jar .lz .lz4 .nupkg .rar .rpm .tar .tbz2 .tgz"
    " .txz .war .whl .xz .zip .zst",
    "a program or its parts": ".a .bin .class .com .dll .dylib .elf .exe .lib .msi .o .obj .pdb .pyc .pyd .pyo .rlib"
    " .so .wasm",
    "a database or a model": ".accdb .arrow .avro .dat .db .feather .gguf .h5 .hdf5 .mdb .npy .npz .onnx .parquet .pb"
    " .pickle .pkl .pt .pth .safetensors .sqlite .sqlite3",
    "a font": ".eot .otf .ttc .ttf .woff .woff2",
    "an old Office file; save it as .docx, .pptx or .xlsx": ".doc .dot .pot .pps .ppt .xls .xlt",
    "of an office format that is not read; save it as .docx, .pptx, .xlsx or PDF": ".key .numbers .odp .ods .odt"
    " .one .pages .pub .rtf .vsd .vsdx .wpd .wps .xlsb",
    "a book of a format that is not read; save it as HTML or PDF": ".azw .azw3 .chm .djvu .epub .fb2 .mobi",
    "a mailbox of a format that is not read; save its messages as .eml": ".mbox .msg .ost .pst",
    "a key or certificate": ".cer .crt .der .gpg .jks .kdbx .key .p12 .pem .pfx .sig",
}
_UNREAD_SUFFIXES: Final = {suffix: what for what, suffixes in _UNREAD.items() for suffix in suffixes.split()}

_WIDE_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_CONTROLS: Final = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_CONTAINERS: Final = frozenset([PDF, DOCX, PPTX, XLSX])


class Unread(StrEnum):
    """Why a file is not read, so that files can be counted by reason."""

    HIDDEN = "hidden"
    UNKNOWN = "of a kind that is not read"
    BINARY = "binary, not text"
    TOO_LARGE = "too large"
    EMPTY = "empty"


def media_type_of_path(path: str | os.PathLike[str]) -> str | None:
    """The media type by the file's name; None for kinds that are not read."""
    name = PurePath(path).name.lower()
    suffix = PurePath(name).suffix
    if suffix:
        return BY_SUFFIX.get(suffix) or (TEXT if name.startswith(("readme.", "license.", "licence.")) else None)
    return _BY_NAME.get(name)


def why_unread(
    path: str | os.PathLike[str], *, size_bytes: int | None = None, limit_bytes: int = 0, head: bytes = b""
) -> Unread | None:
    """Why a file is not read, as far as its name, its size and the beginning of its bytes tell; None if it is read.

    `limit_bytes` of 0 is no limit; `size_bytes` of None and an empty `head` are not looked at.
    """
    name = PurePath(path).name
    if name.startswith("."):
        return Unread.HIDDEN
    media_type = media_type_of_path(name)
    if media_type is None:
        return Unread.UNKNOWN
    if size_bytes == 0:
        return Unread.EMPTY
    if size_bytes and limit_bytes and size_bytes > limit_bytes:
        return Unread.TOO_LARGE
    return Unread.BINARY if media_type not in _CONTAINERS and is_binary(head) else None


def kind_of_unread(path: str | os.PathLike[str]) -> str:
    """What a file of a kind that is not read is, for people: such as `a picture`."""
    suffix = PurePath(path).suffix.lower()
    return _UNREAD_SUFFIXES.get(suffix) or (f"a {suffix} file" if suffix else "a file without a suffix")


def is_known_unread(path: str | os.PathLike[str]) -> bool:
    """Whether the name says that it is of a kind that is not read."""
    return PurePath(path).suffix.lower() in _UNREAD_SUFFIXES


def is_binary(head: bytes) -> bool:
    """Whether the beginning of a file is no text of any encoding."""
    if head.startswith(_WIDE_MARKS) or _is_wide(head):
        return False
    return b"\0" in head or len(_CONTROLS.findall(head)) * 50 > len(head)


def _is_wide(head: bytes) -> bool:
    """Whether it is UTF-16 or UTF-32 without a mark, of mostly Latin text: every second byte at least is NUL."""
    even, odd = head[0:512:2], head[1:512:2]
    return len(head) >= 4 and any(
        zeros.count(0) > 0.9 * len(zeros) and others.count(0) < 0.6 * len(others)
        for zeros, others in ((even, odd), (odd, even))
    )
