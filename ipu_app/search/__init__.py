"""Search for networks: which EfficientNet trains best on a given machine? Its public names are these."""

from ipu_app.models.choices import Choice, candidate
from ipu_app.search.reward import reward

__all__ = ["Choice", "candidate", "reward"]
