"""The HTML of a page that is one file: headings, tables, figures and sounds are inside it.

*Conventions.* Callers pass plain text; every text is escaped here, once. The page loads nothing from elsewhere, and
forbids it. Figures have a description for people who do not see them.
"""

import base64
import io
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

#: Pixels an inch in figures of the page.
FIGURE_DPI = 110


#: Rate of the sounds in the page: calls lie far below half of it.
SOUND_HZ = 16_000


_STYLE = """
:root { color-scheme: light; --ink: #1c2530; --soft: #55606c; --line: #d8dde3; --paper: #ffffff; --wash: #f3f6f9; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere; }
header, main, footer { max-width: 1120px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 24px; border-bottom: 1px solid var(--line); padding-bottom: 16px; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.35rem; margin: 40px 0 8px; padding-top: 8px; }
h3 { font-size: 1.1rem; margin: 28px 0 6px; }
p { max-width: 75ch; margin: 8px 0; }
.soft, figcaption { color: var(--soft); }
nav ul { padding: 0; margin: 12px 0 0; display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; }
a { color: #00558c; }
ul.notes { max-width: 80ch; padding-left: 20px; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 16px 0; }
.numbers div { background: var(--wash); border-radius: 8px; padding: 10px 14px; }
.numbers strong { display: block; font-size: 1.4rem; }
figure { margin: 14px 0; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid #00558c; }
figure img { display: block; width: 100%; height: auto; }
.wide img { min-width: 720px; max-width: 1088px; }
.narrow img { max-width: 620px; }
figcaption { font-size: .92rem; max-width: 80ch; margin-top: 4px; }
table { border-collapse: collapse; font-size: .93rem; margin: 10px 0; overflow-wrap: break-word; }
td { max-width: 60ch; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.hash { font-family: ui-monospace, Consolas, monospace; font-size: .82rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 16px; }
.card { border: 1px solid var(--line); border-radius: 8px; padding: 10px; }
.card img { width: 100%; height: auto; display: block; }
.card audio { width: 100%; height: 36px; margin-top: 6px; }
.card p { font-size: .9rem; margin: 4px 0; }
footer { margin-top: 48px; padding-bottom: 32px; padding-top: 12px; border-top: 1px solid var(--line);
  font-size: .9rem; }
@media (max-width: 740px) { .wide::before { content: "Swipe the figure to see all of it"; position: sticky; left: 0;
  display: block; font-size: .8rem; color: var(--soft); } }
@media print { nav, audio { display: none; } .wide img, .narrow img { min-width: 0; } }
"""


def make_page(title: str, about: str, sections: Sequence[tuple[str, str]], footer: str) -> str:
    """Put a page together.

    Parameters
    ----------
    title, about, footer : str, plain text
    sections : sequence of (heading, HTML)
        Headings are in the list of contents, in this order.

    Returns
    -------
    html : str

    Examples
    --------
    >>> page = make_page("Season", "two sites", [("Effort & more", make_paragraph("All."))], "made by hand")
    >>> "<h2 id='effort-more'>Effort &amp; more</h2>" in page, "://" in page
    (True, False)
    """
    links, body = "", ""
    for heading, content in sections:
        name, text = _name(heading), escape(heading)
        links += f"<li><a href='#{name}'>{text}</a></li>"
        body += f"<section aria-labelledby='{name}'><h2 id='{name}'>{text}</h2>{content}</section>\n"
    policy = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    return (
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1><p class='soft'>{escape(about)}</p>"
        f"<nav aria-label='Contents'><ul>{links}</ul></nav></header>\n"
        f"<main>\n{body}</main>\n<footer><p>{escape(footer)}</p></footer>\n</body>\n</html>\n"
    )


def make_paragraph(text: str, *, soft: bool = False) -> str:
    """Make a paragraph of plain text.

    >>> make_paragraph("a < b")
    '<p>a &lt; b</p>'
    """
    return f"<p class='soft'>{_mark_commands(text)}</p>" if soft else f"<p>{_mark_commands(text)}</p>"


def _mark_commands(text: str) -> str:
    """Escape a text, and mark commands, which stand between backquotes."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def make_heading(text: str) -> str:
    """Make a heading within a section.

    >>> make_heading("North & south")
    '<h3>North &amp; south</h3>'
    """
    return f"<h3>{escape(text)}</h3>"


def make_list(texts: Iterable[str]) -> str:
    """Make a list of plain texts; without texts, it is empty.

    >>> make_list(["one"]), make_list([])
    ("<ul class='notes'><li>one</li></ul>", '')
    """
    items = "".join(f"<li>{_mark_commands(text)}</li>" for text in texts)
    return f"<ul class='notes'>{items}</ul>" if items else ""


def make_numbers(pairs: Iterable[tuple[str, str]]) -> str:
    """Make a row of large numbers with their meaning.

    >>> make_numbers([("12", "events")])
    "<div class='numbers'><div><strong>12</strong>events</div></div>"
    """
    cells = "".join(f"<div><strong>{escape(number)}</strong>{escape(meaning)}</div>" for number, meaning in pairs)
    return f"<div class='numbers'>{cells}</div>"


def make_table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """Make a table, which scrolls if it is too wide.

    Parameters
    ----------
    caption : str, the title of the table, for people who do not see it
    columns : sequence of str
    rows : iterable of sequences of str
    right : numbers of the columns that hold numbers

    Examples
    --------
    >>> "<td class='number'>3</td>" in make_table("Effort", ["site", "hours"], [["north", "3"]], right=[1])
    True
    """
    kinds = [" class='number'" if k in right else "" for k in range(len(columns))]
    head = "".join(f"<th scope='col'{kind}>{escape(name)}</th>" for name, kind in zip(columns, kinds, strict=True))
    body = ""
    for row in rows:
        cells = (f"<td{_mark(text, kind)}>{escape(text)}</td>" for text, kind in zip(row, kinds, strict=True))
        body += f"<tr>{''.join(cells)}</tr>"
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escape(caption)}'>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def make_figure(drawn: Any, *, alt: str, caption: str = "", wide: bool = True) -> str:
    """Put a figure of matplotlib into the page.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure
    alt : str, what it shows, in words and numbers
    caption : str
    wide : bool, False for figures that need half the width

    Examples
    --------
    >>> from anemone_lib.plots.axes import new_axes
    >>> html = make_figure(new_axes((1, 1)).figure, alt="an empty square")
    >>> "alt='an empty square'" in html, "src='data:image/png;base64," in html
    (True, True)
    """
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    kind = "wide" if wide else "narrow"
    return (
        f"<figure><div class='scroll {kind}' tabindex='0' role='region' aria-label='{escape(shorten(alt))}'>"
        f"{make_image(drawn, alt=alt)}</div>{text}</figure>"
    )


def make_image(drawn: Any, *, alt: str, photo: bool = False) -> str:
    """Make an image of a figure of matplotlib, inside the page.

    Parameters
    ----------
    drawn : matplotlib.figure.Figure
    alt : str, what it shows
    photo : bool
        JPEG instead of PNG: for pictures of noise, such as spectrograms, which is then a quarter as large.
    """
    buffer = io.BytesIO()
    if photo:
        drawn.savefig(buffer, format="jpeg", dpi=FIGURE_DPI, pil_kwargs={"quality": 80})
    else:
        drawn.savefig(buffer, format="png", dpi=FIGURE_DPI, metadata={"Software": None})
    kind = "jpeg" if photo else "png"
    return f"<img alt='{escape(alt)}' src='data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}'>"


def make_player(samples: np.ndarray, sample_rate: int, *, label: str) -> str:
    """Make a player of a short sound: MP3, which every browser plays, or WAV if MP3 cannot be written.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,)], float32 in [-1, 1]
    sample_rate : int, in Hz; the sound is resampled to `SOUND_HZ` if it is higher
    label : str, what is heard

    Examples
    --------
    >>> "data:audio/" in make_player(np.zeros(8000, np.float32), 16_000, label="silence")
    True
    """
    import soundfile
    import soxr

    if sample_rate > SOUND_HZ:
        samples, sample_rate = soxr.resample(samples, sample_rate, SOUND_HZ), SOUND_HZ
    samples = np.clip(samples, -1, 1)
    buffer = io.BytesIO()
    # MPEG knows these rates only.
    small = "MP3" in soundfile.available_formats() and sample_rate in (8000, 11_025, 12_000, 16_000)
    if small:
        soundfile.write(buffer, samples, sample_rate, format="MP3")
    else:
        soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    kind, data = "mpeg" if small else "wav", base64.b64encode(buffer.getvalue()).decode()
    return f"<audio controls preload='none' aria-label='{escape(label)}' src='data:audio/{kind};base64,{data}'></audio>"


def shorten(text: str, length: int = 90) -> str:
    """Cut a text at the end of a word.

    >>> shorten("one two three", 8)
    'one two …'
    """
    return text if len(text) <= length else f"{text[:length].rsplit(' ', 1)[0]} …"


def _name(text: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def _mark(text: str, kind: str) -> str:
    """Return the class of a cell: a SHA-256 has its own font."""
    return " class='hash'" if len(text) == 64 and all(c in "0123456789abcdef" for c in text) else kind
