"""Names and answers that nobody should be able to hurt us with: one corpus for everything that makes HTML."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable
from html import escape
from urllib.parse import quote

SCRIPT = "window.fired=(window.fired||0)+1"

_URLS = (
    'https://r.example/"><img src=x onerror={0}>',
    "https://r.example/'><img src=x onerror={0}>",
    'https://r.example/" onmouseover="{0}" x="',
    "https://r.example/' autofocus onfocus='{0}' x='",
    "https://r.example/<svg onload={0}>",
    "https://r.example/ onclick={0}",
    "https://r.example/`onclick={0}`",
    "https://r.example\\@evil.example/",
    "https://r.example/\u202e}}{0}//:sptth",
    "javascript:{0}",
    "JaVaScRiPt:{0}",
    " javascript:{0}",
    "java\tscript:{0}",
    "java\nscript:{0}",
    "\x01javascript:{0}",
    "javascript://r.example/%0a{0}",
    "data:text/html,<script>{0}</script>",
    "vbscript:{0}",
    "http://r.example/",
    "//r.example/",
    "https:r.example",
    "https://",
    "https://[::1",
    "https://r.example:notaport/",
    "https://user:pass@r.example/",
    "file:///etc/passwd",
    "tel:+4930123456",
    "mailto:dana@contoso.example",
    "blob:https://r.example/1",
)
_TAGS = (
    "<script>{0}</script>",
    "</script><script>{0}</script>",
    "<img src=x onerror={0}>",
    "<svg/onload={0}>",
    "<svg><script>{0}</script></svg>",
    "<iframe srcdoc='<script>parent.{0}</script>'>",
    "<iframe src=javascript:{0}>",
    "<body onload={0}>",
    "<input autofocus onfocus={0}>",
    "<details open ontoggle={0}>",
    "<video><source onerror={0}>",
    "<marquee onstart={0}>",
    "<math><mtext><table><mglyph><style><img src=x onerror={0}>",
    "<noscript><p title='</noscript><img src=x onerror={0}>'>",
    "<template><img src=x onerror={0}></template>",
    "<object data=javascript:{0}>",
    "<embed src=javascript:{0}>",
    "<link rel=stylesheet href=javascript:{0}>",
    "<meta http-equiv=refresh content='0;url=javascript:{0}'>",
    "<base href=https://evil.example/>",
    "<form action=javascript:{0}><button>x</button></form>",
    "<a href=javascript:{0}>click</a>",
    "<style>*{{background:url(javascript:{0})}}</style>",
    "</style><script>{0}</script>",
    "</title><script>{0}</script>",
    "</textarea><script>{0}</script>",
    "</td></tr></table><script>{0}</script>",
    "</pre><script>{0}</script>",
    "--><script>{0}</script>",
    "]]><script>{0}</script>",
    "</desc><script>{0}</script>",
    "<title><script>{0}</script></title>",
    '"><script>{0}</script>',
    "'><script>{0}</script>",
    "\"'><img src=x onerror={0}>",
    "x' onerror='{0}",
    'x" onerror="{0}',
    "x onerror={0} ",
    "&lt;script&gt;{0}&lt;/script&gt;",
    "&#60;script&#62;{0}&#60;/script&#62;",
    "\\x3cscript\\x3e{0}\\x3c/script\\x3e",
    "\\u003cscript\\u003e{0}\\u003c/script\\u003e",
    "\uff1cscript\uff1e{0}\uff1c/script\uff1e",
    "{{{{ {0} }}}}",
    "{{% raw %}}<img src=x onerror={0}>",
    "${{{0}}}",
    "<wbr><img src=x onerror={0}>",
    "a.b@c/d_e<img src=x onerror={0}>f.g",
    "$\\href{{javascript:{0}}}{{x}}$",
    "![x](javascript:{0})",
    "[x](javascript:{0})",
)
_SIGNS = (
    "\u202egnp.moor",
    "\u2066a\u2067b\u2069",
    "\u200f\u200eRoom\u061c",
    "Room\u0000A",
    "Room\u0008\u001bA",
    "half \ud800 letter",
    "\udc00\udfff",
    "a" * 10_000,
    "<" * 10_000,
    "https://r.example/" + "a" * 10_000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 Room",
    "Z\u0335\u0327" * 400,
    "line\u2028break\u2029here",
    "\ufeffRoom",
    '=HYPERLINK("https://evil.example")',
    "\uff1dcmd|' /C calc'!A0",
    "\n=1+1",
    "a;=1+1",
    "'",
    '"',
    "&",
    "",
    " ",
)
CORPUS = tuple(one.format(SCRIPT) for one in (*_URLS, *_TAGS)) + _SIGNS
"""A hundred and more; each that could run, would count in `window.fired`."""


def base64_deep(value: str, times: int) -> str:
    """Return `value` so often in base64, each time with something before it."""
    for _ in range(times):
        value = base64.b64encode(f"so {value}".encode()).decode()
    return value


ECHOES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "inside a sentence": lambda one: f"The token {one} is not valid.",
    "upper case": str.upper,
    "lower case": str.lower,
    "swapped case": str.swapcase,
    "backwards": lambda one: one[::-1],
    "dotted": ".".join,
    "spaced": " ".join,
    "dashed": "-".join,
    "with zero width signs": "\u200b".join,
    "a line each": "\n".join,
    "quoted letters": lambda one: ",".join(f"'{letter}'" for letter in one),
    "JSON escapes": lambda one: "".join(f"\\u{ord(letter):04x}" for letter in one),
    "JSON in JSON": lambda one: json.dumps(json.dumps("".join(f"\\u{ord(letter):04x}" for letter in one))),
    "hex escapes": lambda one: "".join(f"\\x{ord(letter):02x}" for letter in one),
    "HTML entities": lambda one: "".join(f"&#{ord(letter)};" for letter in one),
    "HTML entities in hex": lambda one: "".join(f"&#x{ord(letter):x};" for letter in one),
    "HTML entities of entities": lambda one: escape("".join(f"&#{ord(letter)};" for letter in one)),
    "percent": lambda one: "".join(f"%{ord(letter):02X}" for letter in one),
    "percent of percent": lambda one: quote("".join(f"%{ord(letter):02X}" for letter in one), safe=""),
    "quoted printable": lambda one: "".join(f"={ord(letter):02X}" for letter in one),
    "hex": lambda one: one.encode().hex(),
    "hex with colons": lambda one: one.encode().hex(":"),
    "numbers": lambda one: ", ".join(map(str, one.encode())),
    "base64": lambda one: base64.b64encode(one.encode()).decode(),
    "base64 in the middle": lambda one: base64.b64encode(f"user:{one}!".encode()).decode(),
    "base64 backwards": lambda one: base64.b64encode(one[::-1].encode()).decode(),
    "base64 five deep": lambda one: base64_deep(one, 5),
    "base64 for addresses": lambda one: base64.urlsafe_b64encode(f"\xff\xfe{one}".encode()).decode(),
    "base32": lambda one: base64.b32encode(f"x{one}".encode()).decode(),
    "rot13": lambda one: codecs.encode(one, "rot13"),
    "two bytes a letter": lambda one: base64.b64encode(one.encode("utf-16")).decode(),
    "hex of base64": lambda one: base64.b64encode(one.encode()).hex(),
}
"""How a service may say back what it was sent."""
