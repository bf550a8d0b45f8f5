"""The time of a run, over all processes that trained it one after the other, and the rate of each phase."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional

from ipu_app.training.metrics import RateMeter

Clock = Callable[[], float]


class RunClock:
    """Seconds since a run began, without those between its processes; images/s of each phase."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock
        self.rates: Dict[str, RateMeter] = {}
        self._start_s = self._warm_s = clock()

    def elapsed_s(self) -> float:
        """Return the seconds that the run has taken so far."""
        return self.now() - self._start_s

    def begin(self, phase: str) -> None:
        """A phase begins, or goes on."""
        self.rates.setdefault(phase, RateMeter())

    def next_stage(self, phase: str) -> None:
        """The next call of a phase compiles again, and is left out of its rate."""
        self.rates[phase].calls = 0

    def count(self, phase: str, images: int, seconds: float) -> Optional[float]:
        """Add a call; return its seconds, None for the first one of this process, which compiles."""
        rate = self.rates[phase]
        rate.add(images, seconds)
        if rate.calls == 1:
            self._warm_s = self.now()
        return seconds if rate.calls > 1 else None

    def left_s(self, phase: str, calls_left: int) -> Optional[float]:
        """Return the seconds that a phase still takes; what was between its calls is spread over them."""
        calls = self.rates[phase].calls
        return (self.now() - self._warm_s) / (calls - 1) * calls_left if calls > 1 else None

    def state_dict(self) -> Dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        rates = {name: rate.state() for name, rate in self.rates.items()}
        return {"elapsed_s": self.elapsed_s(), "rates": rates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting where the saved run was; a state of an old version begins at 0."""
        self._start_s -= state.get("elapsed_s", 0.0)
        for name, saved in state.get("rates", {}).items():
            self.rates[name] = RateMeter()
            self.rates[name].restore(saved)
