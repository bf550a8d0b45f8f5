"""What MkDocs does besides Markdown: formulas as MathML, and pages made from the code.

Formulas become MathML while the pages are built, so that a browser needs no script for them.
"""

from __future__ import annotations

import html
import re
from typing import Any

MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in the blocks that are made from the code."""
    if "<!-- settings -->" not in markdown:
        return markdown
    from ipu_app.config.describe import described_yaml
    from ipu_app.config.load import CONFIGS, load_config

    listed = described_yaml(load_config(CONFIGS / "demo.yaml"))
    return markdown.replace("<!-- settings -->", f"```yaml\n{listed}```")


def on_page_content(text: str, **_: Any) -> str:
    """Turn TeX formulas into MathML."""
    from latex2mathml.converter import convert

    def formula(match: "re.Match[str]") -> str:
        display = "inline" if match.group(1) == "span" else "block"
        return str(convert(html.unescape(match.group(2)), display=display))

    return MATH.sub(formula, text)
