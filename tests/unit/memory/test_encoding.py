"""Bytes are read as browsers read them, and a guess is told."""

import pytest

from troupe.agents.memory.parsing.charsets import decode_as, name_of
from troupe.agents.memory.parsing.declared import charset_parameter, html_encoding
from troupe.agents.memory.parsing.encoding import decode
from troupe.agents.memory.parsing.parse import parse
from troupe.core.errors import TroupeError
from troupe.core.media import CSV, EMAIL, HTML, MARKDOWN, TEXT, XML

RUSSIAN = "Возврат денег занимает десять рабочих дней."
JAPANESE = "返金には十営業日かかります。"


def page(head: str, body: bytes) -> bytes:
    return f"<html><head>{head}</head><body><p>".encode() + body + b"</p></body></html>"


def read(content: bytes, media_type: str = HTML, charset: str = "") -> str:
    return parse(content, uri="doc", media_type=media_type, charset=charset).text


@pytest.mark.parametrize(
    ("label", "content", "text"),
    [
        ("gb2312", "朱镕基訪問了研究所".encode("gb18030"), "朱镕基訪問了研究所"),
        ("x-gbk", b"30 \x80", "30 €"),
        ("shift_jis", "手順①では髙橋".encode("cp932"), "手順①では髙橋"),
        ("x-sjis", "ﾃｽﾄ\uff5e".encode("cp932"), "ﾃｽﾄ\uff5e"),
        ("euc-kr", "펲시 음료".encode("cp949"), "펲시 음료"),
        ("ks_c_5601-1987", "똠방각하".encode("cp949"), "똠방각하"),
        ("iso-8859-1", b"\x93deluxe\x94 30 \x80 \x96 isn\x92t", "“deluxe” 30 € – isn’t"),
        ("US-ASCII", b"caf\xe9", "café"),
        ("iso-8859-9", "Şğı".encode("cp1254"), "Şğı"),
        ("iso-2022-jp", JAPANESE.encode("iso-2022-jp"), JAPANESE),
        ("iso-2022-jp", b"\x1b$B-!\x1b(B x", "① x"),
        (
            "euc-jp",
            b"\xad\xa1" + "日本".encode("euc_jp") + b"\xa1\xc1",
            "①日本\uff5e",
        ),
        ("big5", "退款需要十個工作天".encode("big5"), "退款需要十個工作天"),
        ("windows-1251", RUSSIAN.encode("cp1251"), RUSSIAN),
        ("koi8-r", RUSSIAN.encode("koi8-r"), RUSSIAN),
        ("tis-620", "การคืนเงิน".encode("cp874"), "การคืนเงิน"),
        ("utf-16", "naïve".encode(), "naïve"),
        ("utf-16be", "naïve".encode(), "naïve"),
        ("x-user-defined", b"caf\xe9", "café"),
        ("unicode-1-1-utf-8", "naïve".encode(), "naïve"),
        ("no-such-encoding", "naïve".encode(), "naïve"),
    ],
)
def test_labels_mean_what_browsers_mean(label: str, content: bytes, text: str) -> None:
    assert read(page(f'<meta charset="{label}">', content)) == text
    assert read(page(f"<META content='text/html; CHARSET={label}' HTTP-EQUIV=content-type>", content)) == text


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("<!-- <meta charset=koi8-r> --><meta charset=big5>", "big5"),
        ("<meta name=x content='a>b'><meta charset = 'big5'>", "big5"),
        ("<meta content='text/html; charset=big5'>", ""),
        ("<meta http-equiv=Content-Type content=text/html><meta charset=big5>", "big5"),
        ("<metadata charset=big5>", ""),
        ("<meta charset=nonsense><meta charset=big5>", "big5"),
    ],
)
def test_the_declaration_is_found_as_browsers_find_it(head: str, encoding: str) -> None:
    assert html_encoding(f"<!doctype html><head>{head}".encode()) == encoding


def test_a_mark_wins_over_what_came_with_it_and_that_over_what_is_declared() -> None:
    declared = '<meta charset="windows-1251">'
    assert read(b"\xef\xbb\xbf" + page(declared, RUSSIAN.encode())) == RUSSIAN
    assert read(page(declared, RUSSIAN.encode("koi8-r")), charset="koi8-r") == RUSSIAN
    assert charset_parameter('text/html; charset="GB2312"') == "gbk"
    assert read(page(declared, RUSSIAN.encode()).decode().encode("utf-16")) == RUSSIAN


@pytest.mark.parametrize("media_type", [HTML, XML])
def test_the_xml_declaration_counts(media_type: str) -> None:
    content = b'<?xml version="1.0" encoding="windows-1251"?><p>' + RUSSIAN.encode("cp1251") + b"</p>"
    assert RUSSIAN in read(content, media_type)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["Plain words.\nAnd more.", "円は 10 です。\n日本語のテスト。"])
def test_wide_characters_without_a_mark(encoding: str, text: str) -> None:
    decoded = decode(text.encode(encoding), "doc")
    assert (decoded.text, decoded.encoding, decoded.guessed) == (text, encoding, True)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text",
    [
        *("Привет", "Возврат", "Καλημέρα", "שלום", "مرحبا", "हिंदी", "สวัสดี", "გამარჯობა"),
        *("አማርኛ", "Հայերեն", "ဗမာစာ"),
        "Возврат денег занимает десять дней; после получения товара.",
    ],
)
def test_wide_characters_of_other_scripts_without_a_mark(encoding: str, text: str) -> None:
    decoded = decode(text.encode(encoding), "doc")
    assert (decoded.text, decoded.encoding, decoded.guessed) == (text, encoding, True)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Bush hid the facts", "ascii"),
        ("0a0b0c0d", "ascii"),
        ("返金は十営業日かかります。受け取りの後に始まります。", "cp932"),
        ("返金は十営業日かかります。受け取りの後に始まります。", "euc-jp"),
        ("退款需要十个工作日。收到货物后开始办理手续。", "gb18030"),
        ("退款需要十個工作日。收到貨物後開始辦理手續。", "big5"),
        ("환불에는 영업일 기준 열흘이 걸립니다.", "cp949"),
        ("Возврат денег занимает десять дней", "cp1251"),
        ("Возврат денег занимает десять дней", "koi8-r"),
        ("การคืนเงินใช้เวลาสิบวันทำการ", "cp874"),
    ],
)
def test_narrow_characters_are_not_taken_for_wide_ones(text: str, encoding: str) -> None:
    for length in range(max(1, len(text) - 3), len(text) + 1):
        assert not decode(text[:length].encode(encoding), "doc").encoding.startswith("utf-16")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp866"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso-2022-jp"),
        ("退款需要十个工作日。收到货物后开始办理手续。", "gb18030"),
        ("환불에는 영업일 기준 열흘이 걸립니다.", "cp949"),
        ("Καλημέρα και η επιστροφή χρημάτων διαρκεί δέκα εργάσιμες ημέρες.", "cp1253"),
        ("Die Rückgabe dauert für größere Bestellungen zehn Tage.", "cp1252"),
        ("Le “café” coûte 30 €.", "cp1252"),
        ("Возврат денег занимает 10 дней. Цена 20 €.", "cp1251"),
    ],
)
@pytest.mark.parametrize("media_type", [TEXT, MARKDOWN, CSV])
def test_a_guess_reads_the_text_and_is_told(text: str, encoding: str, media_type: str) -> None:
    document = parse(text.encode(encoding), uri="doc", media_type=media_type)
    assert document.text == text
    assert document.metadata["encoding_guessed"] == "true"
    assert document.metadata["encoding"]


def test_old_macs_are_known_by_how_their_lines_end() -> None:
    text = f"{RUSSIAN}\r{RUSSIAN}"
    assert decode(text.encode("mac-cyrillic"), "doc").text == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Größe und Übermaß sind groß".encode() + b"\xff.", "Größe und Übermaß sind groß\ufffd."),
        (JAPANESE.encode() + b"\xe3\x81 end", JAPANESE + "\ufffd end"),
        (b"one\x81two", "one\ufffdtwo"),
        (b"<p>The port is 8080.\0 And so on.</p>", "<p>The port is 8080.\ufffd And so on.</p>"),
        (b"<p>The port is 8080.\0 And so on.</p>.", "<p>The port is 8080.\ufffd And so on.</p>."),
        (b"a line of text\0 " * 1 + b"and words " * 200, "a line of text\ufffd " + "and words " * 200),
    ],
)
def test_a_stray_byte_costs_that_byte(content: bytes, text: str) -> None:
    assert decode(content, "doc").text == text
    assert decode(content, "doc").metadata["characters_lost"] == "1"


@pytest.mark.parametrize(
    ("encoding", "content", "text"),
    [
        ("utf-8", b"a\xe3\x81b", "a\ufffdb"),
        ("gbk", b"a\x81\xffb", "a\ufffd\ufffdb"),
        ("shift_jis", b"a\x81 b", "a\ufffd b"),
        ("euc-kr", b"a\xb0\xffb", "a\ufffd\ufffdb"),
        ("euc-jp", b"a\xb0 b", "a\ufffd b"),
        ("windows-1252", b"a\x9db", "a\ufffdb"),
    ],
)
def test_a_declared_encoding_never_fails(encoding: str, content: bytes, text: str) -> None:
    assert decode_as(content, encoding) == text


def test_what_is_declared_wrongly_is_guessed() -> None:
    document = parse(page("<meta charset=utf-8>", RUSSIAN.encode("cp1251") * 3), uri="doc", media_type=HTML)
    assert document.text == RUSSIAN * 3
    assert document.metadata == {"encoding": "windows-1251", "encoding_guessed": "true"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        (b"\0\0\0\0", "binary"),
        (b"text\0with\0zeros", "binary"),
        (b"text\0and\x01\x02 more controls", "binary"),
        (b"\xff\xfea", "binary"),
        (page("<meta charset=iso-2022-kr>", b"x"), "refuse"),
        (page("<meta charset=hz-gb-2312>", b"x"), "refuse"),
    ],
)
def test_what_is_no_text_is_told_as_such(content: bytes, words: str) -> None:
    with pytest.raises(TroupeError, match=words):
        parse(content, uri="doc", media_type=HTML)


def test_utf_8_needs_no_word() -> None:
    assert decode("naïve".encode(), "doc").metadata == {}


def test_parts_of_mails_have_encodings_of_their_own() -> None:
    content = b"Subject: x\nContent-Type: text/plain; charset=gb2312\n\n" + "朱镕基".encode("gb18030")
    assert "朱镕基" in read(content, EMAIL)


@pytest.mark.parametrize(("label", "name"), [(" Latin1 ", "windows-1252"), ("GB2312", "gbk"), ("nope", "")])
def test_names(label: str, name: str) -> None:
    assert name_of(label) == name


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1252", "Città e più bella perché c’è il caffè, però costa di più."),
        ("cp1252", "Één vraag: zijn er ideeën over coördinatie?"),
        ("cp1252", "Müller hört früh müde Vögel über Dächern"),
        ("cp1252", "Price: £5"),
        ("cp1252", "½ cup"),
        ("cp1252", "Há três opções: não, sim e talvez."),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy."),
        ("cp1250", "Szép időnk van, menjünk a Dunához csónakázni"),
        ("cp1251", "Порт: 8080"),
        ("cp1251", "Цена 20 евро"),
        ("koi8-r", "Отчёт готов, доклад будет завтра"),
        ("cp1253", "Καλημέρα σας, τι κάνετε σήμερα;"),
        ("cp1255", "בוקר טוב, הפגישה בשעה שלוש."),
        ("cp949", "안녕하세요, 오늘 회의는 세 시입니다."),
        ("cp932", "会議は三時に始まります。"),
        ("gb18030", "会议在三点开始。"),
    ],
)
def test_short_texts_are_read_in_the_script_that_people_write(codec: str, text: str) -> None:
    decoded = decode(text.encode(codec), "x")
    assert decoded.text == text
    assert decoded.metadata["encoding_guessed"] == "true"


@pytest.mark.parametrize("text", ["0\x18", "\x04A", "a\x05b\x05", "\x0e1\x0e2\x0e3"])
def test_a_few_control_characters_of_a_text_make_it_no_wide_one(text: str) -> None:
    decoded = decode(text.encode(), "doc")
    assert (decoded.text, decoded.encoding) == (text, "utf-8")
