"""Every setting has a meaning, and what is printed is a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, Tuple

from ipu_app.config.convert import to_plain
from ipu_app.config.describe import MEANINGS, described_yaml, meaning_key
from ipu_app.config.load import load_config, recipe_path
from ipu_app.config.schema import RunConfig


def leaves(section: Any, path: Tuple[str, ...] = ()) -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield meaning_key((*path, key))


def test_every_setting_is_described_and_nothing_else() -> None:
    plain = to_plain(RunConfig())
    del plain["phases"]["train"]["name"]
    assert set(leaves(plain)) == set(MEANINGS)


def test_what_is_printed_reads_back(tmp_path: Path) -> None:
    overrides = ["data.source='2012'", "name='a: b # c'", "phases.train.optimizer.lr=1e-5"]
    config = load_config(recipe_path("b2-g16-ln_pn-half"), overrides)
    (tmp_path / "printed.yaml").write_text(described_yaml(config))
    assert load_config(tmp_path / "printed.yaml") == config
    assert "  # peak learning rate; null: global batch x lr_per_image" in described_yaml(config)
