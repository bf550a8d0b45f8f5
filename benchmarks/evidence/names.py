"""How norms are called for readers, and the one colour and mark that each has in every picture."""

from __future__ import annotations

NORM_NAMES = {"bn": "BN", "gn": "GN", "ln": "LN", "in": "IN", "ln_pn": "LN+PN"}
# Colours of Okabe and Ito, told apart by the colour-blind; the marks tell them apart without colour
COLOURS = {"bn": "#000000", "gn": "#0072B2", "ln": "#D55E00", "in": "#CC79A7", "ln_pn": "#009E73"}
MARKS = {"bn": "o", "gn": "s", "ln": "^", "in": "v", "ln_pn": "D"}
