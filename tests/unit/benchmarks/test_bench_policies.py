"""RandAugment's contestants: a row each, in the time of decoding and cropping."""

from __future__ import annotations

import pytest

from benchmarks.measure import augment_policies as policies
from benchmarks.report.claims import bar_rows
from benchmarks.report.tables import policies_table
from benchmarks.suites import SUITES


def test_every_case_has_a_row_and_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "PASSES", 1)
    rows = policies.measure(rounds=1)
    found = {row["case"]: row for row in rows}
    assert set(found) >= {policies.CROP, policies.OURS, *policies.NEEDS}
    assert found[policies.CROP]["share_of_crop"] is None
    # far looser than the claim: machines that test are busy
    assert 0 < found[policies.OURS]["share_of_crop"]["median"] < 1.5
    suites = {"policies": {"rows": rows, "machine": {"date": "today"}}}
    (claim,) = [row for row in bar_rows(suites) if row["claim"].startswith("RandAugment")]
    assert claim["kind"] == "measured" and claim["command"] == "make bench SUITE=policies"
    assert len(policies_table(rows).rows) == len(rows) and "policies" in SUITES
