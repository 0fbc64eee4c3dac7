"""What a reader of a page sees is what is stored."""

import pytest

from troupe.agents.memory.document import ParsedDocument
from troupe.agents.memory.parsing.parse import parse
from troupe.core.media import HTML


def html(source: str) -> ParsedDocument:
    return parse(source.encode(), uri="doc", media_type=HTML)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<form><h1>Refunds</h1><p>Ten days.</p></form>", "Refunds\n\nTen days."),
        ("<p>Hi.</p><form><p>Ten days.</p><input value=x><button>Go</button></form>", "Hi.\n\nTen days."),
        ("<form><fieldset><legend>Fees</legend><label>Fee: 5 euros</label></fieldset></form>", "Fees\n\nFee: 5 euros"),
        ("<p>a</p><aside>The limit is 5.</aside>", "a\n\nThe limit is 5."),
        ("<p>a</p><footer><p id=fn1>Without tax.</p></footer>", "a\n\nWithout tax."),
        ("<p>a</p><footer class=footnotes>Without tax.</footer>", "a\n\nWithout tax."),
        ("<article><p>a</p><footer>Written by B.</footer></article>", "a\n\nWritten by B."),
        ("<p>a</p><footer>Imprint</footer>", "a"),
        ("<details><summary>Fees</summary>Five euros.</details>", "Fees\n\nFive euros."),
        ("<dl><dt>Port<dd>8080<dt>Timeout<dd>30 s</dl>", "Port: 8080\nTimeout: 30 s"),
        ("<dl> <dt>Port:</dt> <dd><p>8080</p></dd> <dd>8081</dd> </dl><p>a", "Port: 8080; 8081\n\na"),
        ("<dl><dt>-q<dt>--quiet<dd>Says nothing.<dt>-x<dd></dl>b", "-q, --quiet: Says nothing.\n-x\n\nb"),
        ("<dl><dt>Port<dd><p>8080</p><p>Or 81.</p><dt>Name<dd>a</dl>", "Port\n\n8080\n\nOr 81.\n\nName: a"),
        ("<dl><dd>only<dd>indented</dl>", "only\nindented"),
        ("<dl><dt>How long?<dd>Ten days.</dl>", "How long? Ten days."),
        ("<table><tr><th>a<th>b<tr><td>x<td><dl><dt>p<dd>1<dt>q<dd>2</dl></table>", "a | b\nx | p: 1; q: 2"),
        ("<figure><img alt=x><figcaption>The plan.</figcaption></figure>", "The plan."),
        ("<h2><button>How long?</button></h2><div>Ten days.</div>", "How long?\n\nTen days."),
        ("<p>a</p><template>b</template><p hidden>c</p><p style='display: none'>d</p><dialog>e</dialog>", "a"),
        ("<p>a</p><dialog open>e</dialog><p hidden=until-found>f</p>", "a\n\ne\n\nf"),
        (
            "<p>a</p><p style=\"content:'display:none'\">b</p><p style='--x:display:none; x-display: none'>c",
            "a\n\nb\n\nc",
        ),
        ("<p>a</p><p style='color: red; /* x */ DISPLAY : none !important'>b</p>", "a"),
        ("<p>a <span aria-hidden=true>★</span></p>", "a"),
        ("<p>Price: <span aria-hidden=true>20</span> euros</p>", "Price: 20 euros"),
        ("<p><span class=sr-only>20 euros</span><span aria-hidden=true>€20</span></p>", "20 euros"),
        ("<p><span>€20</span><span aria-hidden=true>€ 20</span></p>", "€20"),
        ("<p><b aria-hidden=true>20</b> or <b aria-hidden=true>20</b></p>", "20 or 20"),
        (
            "<my-card><template shadowrootmode=open><p>a</p><template>b</template></template><p>c</my-card><p>d",
            "a\n\nc\n\nd",
        ),
        ("<p>a <i class=material-icons aria-hidden=true>home</i></p>", "a"),
        ("<p style='visibility:hidden'>a <b>b</b> <span style='visibility:visible'>c</span></p>d", "c\n\nd"),
        (
            "<div style='display:table'><div style='display:table-row'><b style='display:table-cell'>Plan</b>"
            "<i style='display:table-cell'>Price</i></div><span style='display:table-row'>"
            "<span style='display:table-cell'>pro</span> <div style='display:table-cell'>20</div></span></div>",
            "Plan | Price\npro | 20",
        ),
        ("<svg><title>t</title><foreignObject><p>One.<p>Two.</foreignObject></svg>", "One.\n\nTwo."),
        ("<svg><text>up to 10<tspan baseline-shift=super>6</tspan></text><text>b</text></svg>", "up to 10^6 b"),
        ("<div aria-hidden=true><p>The page below a dialog.</p></div>", "The page below a dialog."),
        ("<noscript>Text for those without scripts.</noscript>", "Text for those without scripts."),
        ("<p>a</p><noscript>Enable scripts</noscript>", "a"),
        ("<ol start=3><li>three<li>four<ul><li>nested</ul></ol>", "3. three\n4. four\n\nnested"),
        ("<ol type=a><li>x<li value=4>y</ol>", "a. x\nd. y"),
        ("<ul><li><input type=checkbox disabled checked> done</ul>", "[x] done"),
        ("<p>He said <q>no</q>.</p>", "He said “no”."),
        ("<ruby>漢<rt>kan</rt></ruby>", "漢(kan)"),
        ("<p>soft&shy;ware zero&#8203;width</p>", "software zerowidth"),
        ("<center>a</center><center>b</center>", "a\n\nb"),
        ("<my-card>Plan</my-card><my-card>20</my-card>", "Plan 20"),
        ("<h1>A <a class=headerlink href=#a>¶</a></h1><p>b <a href=#r>↩</a></p>", "A\n\nb"),
        ("<svg><text>Load: 5</text></svg><p>a</p>", "Load: 5\n\na"),
    ],
)
def test_what_is_seen(source: str, text: str) -> None:
    assert html(source).text == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("10<sup>6</sup> tasks", "10^6 tasks"),
        ("10<sup>-6</sup> m", "10^-6 m"),
        ("10<sup>n+1</sup>", "10^(n+1)"),
        ("10<sup>10<sup>2</sup></sup>", "10^(10^2)"),
        ("up to 10 <sup>6</sup> tasks", "up to 10 ^6 tasks"),
        ("10<span style='vertical-align: super'>6</span> tasks", "10^6 tasks"),
        ("10<span style='vertical-align:5px'>6</span> tasks", "10^6 tasks"),
        ("10<span style='vertical-align:.5em'>6</span> tasks", "10^6 tasks"),
        ("10<span style='vertical-align:50%'>6</span> tasks", "10^6 tasks"),
        ("10<span style='vertical-align:text-top'>6</span> tasks", "10^6 tasks"),
        ("10<span style='position:relative;top:-.5em'>6</span> tasks", "10^6 tasks"),
        ("10<span style='font-variant-position:super'>6</span> tasks", "10^6 tasks"),
        ("10<span class=superscript>6</span> tasks", "10^6 tasks"),
        ("H<span class='sub'>2</span>O", "H_2O"),
        ("H<span style='vertical-align:-0.3em'>2</span>O", "H_2O"),
        ("1<span style='vertical-align:1px'>0</span><span style='position:relative;top:-60px'>6</span>", "106"),
        ("5<a href='#fn1' role=doc-noteref>1</a> euros", "5 [1] euros"),
        ("5<a href='#fn1' class=noteref epub:type=noteref>1</a> euros", "5 [1] euros"),
        ("5<a href='#fn1' class=footnote>1</a> euros", "5 [1] euros"),
        ("5<a href='#fn1' class=footnote-ref><sup>1</sup></a> euros", "5 [1] euros"),
        ("5<span class=footnote-ref>1</span> euros", "5 [1] euros"),
        ("5 euros <a href='#fn1' class=footnote>without tax</a>.", "5 euros without tax."),
        ("5 m<sup>2</sup>", "5 m^2"),
        ("10<sup>6</sup>m", "10^6 m"),
        ("19<sup>99</sup> euros", "19^99 euros"),
        ("on the 3<sup>rd</sup> day", "on the 3rd day"),
        ("Brand<sup>TM</sup>", "BrandTM"),
        ("5 euros<sup>1</sup> a month", "5 euros [1] a month"),
        ("costs 5<sup>1</sup> euros<br><sup>1</sup> Without tax.", "costs 5 [1] euros\n[1] Without tax."),
        ("costs 5<sup><a href=#n>1</a></sup> euros", "costs 5 [1] euros"),
        ("costs 10<a href=#n><sup>6</sup></a>, too", "costs 10 [6], too"),
        ("arrived.<sup>[2]</sup> Then", "arrived. [2] Then"),
        ("the goods<sup>1,2</sup> and", "the goods [1,2] and"),
        ("10<sup>6</sup> x<br><sup>6</sup> A note.", "10^6 x\n[6] A note."),
        ("H<sub>2</sub>O", "H_2O"),
        ("10<sub>2</sub> is two", "10_2 is two"),
        ("x<sub>i+1</sub>", "x_(i+1)"),
        ("<sup>1</sup>/<sub>2</sub> cup", "1/2 cup"),
        ("3<sup>1</sup>&frasl;<sub>2</sub> cups", "3 1\N{FRACTION SLASH}2 cups"),
        ("10<sup>6</sup>/s", "10^6/s"),
        ("<sup>14</sup>C dating", "^14C dating"),
        ("was <del>20</del> <ins>25</ins> euros", "was ~~20~~ 25 euros"),
        ("was <s>20 </s>25", "was ~~20~~ 25"),
        ("<span style='text-decoration: line-through'>20</span> 25", "~~20~~ 25"),
        ("<del></del>25", "25"),
        ("<math><msup><mn>10</mn><mn>6</mn></msup></math>", "10^6"),
        ("<math><mfrac><mn>1</mn><mrow><mi>a</mi><mo>+</mo><mn>2</mn></mrow></mfrac></math>", "1/(a + 2)"),
        ("<math><msqrt><mn>2</mn></msqrt><annotation>\\sqrt 2</annotation></math>", "√(2)"),
        ("<span style='display:none'><math><msup><mi>x</mi><mn>2</mn></msup></math></span>", "x^2"),
    ],
)
def test_a_number_keeps_its_mark(source: str, text: str) -> None:
    assert html(f"<p>{source}</p>").text == text


@pytest.mark.parametrize(
    ("rows", "lines"),
    [
        ("<tr><td>a<td><td>b<tr><td><td>c<td>d", ["a |  | b", " | c | d"]),
        ("<tr><td>a<td>b<td><tr><td>c<td>d<td>e", ["a | b |", "c | d | e"]),
        ("<tr><td rowspan=2>pro<td>Europe<td>20<tr><td>Asia<td>25", ["pro | Europe | 20", "pro | Asia | 25"]),
        ("<tr><td>a<td rowspan=2>b<td>c<tr><td>d<td>e", ["a | b | c", "d | b | e"]),
        ("<tr><td rowspan=0>a<td>1<tr><td>2<tr><td>3", ["a | 1", "a | 2", "a | 3"]),
        ("<tr><th colspan=2>Price<th>Note<tr><td>1<td>2<td>x", ["Price | Price | Note", "1 | 2 | x"]),
        ("<tr><td>a<td>b<tr><td colspan=2>without tax", ["a | b", "without tax"]),
        ("<tr><th>a<th>b<tr><td><p>x<p>y<td><ul><li>1<li>2</ul>", ["a | b", "x y | 1; 2"]),
        ("<tr><td>a<td><img alt=yes><tr><td>b<td>", ["a | yes", "b |"]),
        ("<tr><th>a<th>b<tr><td>x<td>10<sup>6</sup>", ["a | b", "x | 10^6"]),
        ("<thead><tr><td rowspan=3>n<td>v<tbody><tr><td>x<td>1", ["n | v", "x | 1"]),
        ("<caption>Fees</caption><tr><td>a<td>b", ["Fees", "a | b"]),
        (
            "<tr><th>Plan<th>Price<tr hidden><td>old<td>3<tr><td>pro<td style='display:none'>9<td>20",
            ["Plan | Price", "pro | 20"],
        ),
        ("<tbody hidden><tr><td>a<td>b<tbody><tr><td>c<td>d", ["c | d"]),
        ("<tr><th>a<th>b<th>c<tr><td>1<td style='visibility:hidden'>2<td>3", ["a | b | c", "1 |  | 3"]),
    ],
)
def test_each_value_stays_under_its_heading(rows: str, lines: list[str]) -> None:
    document = html(f"<p>x</p><table>{rows}</table>")
    assert document.text == "x\n\n" + "\n".join(lines).strip()
    assert [document.text[a.start : a.end] for a in document.atoms] == ["\n".join(lines).strip()] or lines[0][0] == " "


def test_rows_stay_below_the_row_that_names_them() -> None:
    document = html(
        "<table><caption>Fees</caption><tr><th>Plan<th>Price<tr><td>old<td>9<tr><td colspan=2>Europe<tr><td>pro<td>20"
        "<tr><th colspan=2>Asia<tr><td>pro<td>30<tr><td colspan=2>without tax</table>"
    )
    parts = [(document.text[atom.start : atom.end], atom.header) for atom in document.atoms]
    assert parts == [
        ("Fees\nPlan | Price\nold | 9", "Plan | Price"),
        ("Europe\nPlan | Price\npro | 20", "Europe: Plan | Price"),
        ("Asia\nPlan | Price\npro | 30\nwithout tax", "Asia: Plan | Price"),
    ]
    assert html("<table><tr><th>a<th>b<tr><td colspan=2>x<tr><td>1<td>2</table>").text == "x\na | b\n1 | 2"


def test_tables_that_lay_out_a_page_are_no_tables() -> None:
    document = html(
        "<table><tr><td><h1>Shop</h1><p>One.</p><p>Two.</p></td><td>"
        "<table><tr><th>n</th><th>v</th></tr><tr><td>x</td><td>1</td></tr></table></td></tr></table>"
    )
    assert document.text == "Shop\n\nOne.\n\nTwo.\n\nn | v\nx | 1"
    assert [h.title for h in document.headings] == ["Shop"]
    assert [(document.text[a.start : a.end], a.header) for a in document.atoms] == [("n | v\nx | 1", "n | v")]


def test_spans_without_end_are_bounded() -> None:
    document = html("<table>" + "<tr><td colspan=1000 rowspan=60000>a<td>b" * 500 + "</table>")
    assert len(document.text) < 1_000_000


@pytest.mark.parametrize(
    "source",
    [
        "<div>" * 300_000,
        "<a class=noteref><b>" * 150_000,
        "<ul><li>" * 150_000,
        "<b><div>" * 100_000,
        "<span><div></x>" * 100_000,
        "<!--" * 300_000,
    ],
    ids=["div", "references", "lists", "mixed", "foreign ends", "comments"],
)
def test_deep_nesting_takes_no_longer_than_flat_text(source: str) -> None:
    assert html(f"<p>before</p>{source}deep" if not source.startswith("<!") else f"deep{source}").text.endswith("deep")


@pytest.mark.parametrize(
    ("source", "title"),
    [
        ("<title>Fees | Shop</title><h1>Fees</h1>x", "Fees | Shop"),
        ("<title> \n </title><h1>Fees</h1>x", "Fees"),
        ("<h2>Two</h2><h1>One</h1>x", "One"),
        ("<h3>Three</h3>x", "Three"),
        ("<div role=heading aria-level=1>One</div>x", "One"),
        ("<svg><title>icon</title></svg><h1>One</h1>x", "One"),
        ("x", ""),
    ],
)
def test_titles(source: str, title: str) -> None:
    assert html(source).title == title
