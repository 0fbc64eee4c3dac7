"""Documents that others reported as read wrongly elsewhere, in the forms in which they were reported."""

import pytest

from tests.support.pdfs import bare_pdf
from troupe.agents.memory.parsing.media import media_type_of
from troupe.agents.memory.parsing.parse import parse

_HEAD = "<!DOCTYPE html><html><head><title>Shop help</title></head><body>"
_HELVETICA = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
_RAISED = b"""BT /F1 12 Tf 72 700 Td (The store keeps up to 10) Tj /F1 8 Tf 128 5 Td (6) Tj
/F1 12 Tf 6 -5 Td ( tasks for every project.) Tj ET"""


def read(content: bytes, uri: str) -> str:
    return parse(content, uri=uri, media_type=media_type_of(uri, "", content)).text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            _HEAD + '<form method="post" action="./help.aspx" id="form1"><div id="main"><h1>Refunds</h1>'
            "<p>Refunds take ten working days.</p></div></form>",
            "Refunds\n\nRefunds take ten working days.",
        ),
        (
            _HEAD + '<p>Welcome.</p><form id="aspnetForm"><h2>Refunds</h2><p>They take ten days.</p></form>',
            "Welcome.\n\nRefunds\n\nThey take ten days.",
        ),
        (
            "<h1>Quotas</h1><table><tr><th>Plan</th><th>Requests in Europe</th><th>Requests in Asia</th></tr>"
            "<tr><td>basic</td><td></td><td>500 requests a day</td></tr>"
            "<tr><td></td><td>900 requests a day</td><td>700 requests a day</td></tr></table>",
            "Quotas\n\nPlan | Requests in Europe | Requests in Asia\nbasic |  | 500 requests a day\n"
            " | 900 requests a day | 700 requests a day",
        ),
        (
            "<h1>Prices</h1><table><tr><th>Plan</th><th>Region</th><th>Price</th></tr>"
            '<tr><td rowspan="2">pro</td><td>Europe</td><td>20 euros</td></tr><tr><td>Asia</td><td>25 euros</td></tr>'
            "</table>",
            "Prices\n\nPlan | Region | Price\npro | Europe | 20 euros\npro | Asia | 25 euros",
        ),
        (
            "<h1>Limits</h1><p>It keeps up to 10<sup>6</sup> tasks. A seat costs 5<sup>1</sup> euros a month.</p>"
            "<p><sup>1</sup> Without tax.</p>",
            "Limits\n\nIt keeps up to 10^6 tasks. A seat costs 5 [1] euros a month.\n\n[1] Without tax.",
        ),
    ],
    ids=["page in a form", "half in a form", "empty cells", "rowspan", "superscripts"],
)
def test_pages(page: str, text: str) -> None:
    assert read(page.encode(), "page.html") == text


def test_a_pdf_with_a_raised_digit() -> None:
    assert read(bare_pdf(_RAISED, _HELVETICA), "limits.pdf") == "The store keeps up to 10^6 tasks for every project."


@pytest.mark.parametrize(
    ("head", "encoding", "text"),
    [
        ('<meta charset="gb2312">', "gb18030", "朱镕基訪問了研究所。"),
        ('<meta charset="euc-kr">', "cp949", "펲시 음료는 오백 원입니다."),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS">',
            "cp932",
            "手順①では髙橋が確認します。",
        ),
        ('<meta charset="iso-2022-jp">', "iso-2022-jp", "返金には十営業日かかります。"),
        ('<meta charset="iso-8859-1">', "cp1252", "The “deluxe” plan costs 30 € a month – it isn’t refundable."),
    ],
)
def test_pages_in_the_encodings_of_the_web(head: str, encoding: str, text: str) -> None:
    page = f"<html><head>{head}</head><body><p>{text}</p></body></html>"
    assert read(page.encode(encoding), "page.html") == text


def test_a_page_with_an_xml_declaration() -> None:
    text = "Возврат денег занимает десять рабочих дней."
    page = (
        f'<?xml version="1.0" encoding="windows-1251"?><html xmlns="http://www.w3.org/1999/xhtml"><p>{text}</p></html>'
    )
    assert read(page.encode("cp1251"), "page.xhtml.html") == text
