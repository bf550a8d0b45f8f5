"""The layer table of a spec, for the cost model: traced from the real training graph, or read from the
cache.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Optional

from ipu_app.models.layout import sub_block_names
from ipu_app.models.network_spec import EfficientNetSpec
from pipelines import table_cache
from pipelines.cost import layers as layers_module
from pipelines.cost.layers import LayerTable


def load_layer_table(
    spec: EfficientNetSpec, resolution: Optional[int] = None, *, cache: Optional[Path] = None
) -> LayerTable:
    """Return the table of one training step on square images of ``resolution`` pixels (None: native).

    With a ``cache`` folder a table that was traced before is read back, without importing torch. Refuses
    resolutions under 32 pixels.
    """
    size = spec.native_resolution if resolution is None else resolution
    if size < 32:
        raise ValueError(f"resolution={size}: must be 32 or more")
    if cache is None:
        return trace_layer_table(spec, size)
    key = table_cache.table_key({"spec": spec.to_dict(), "resolution": size}, _sources())
    table = table_cache.read_table(cache, key)
    if table is None:
        table = trace_layer_table(spec, size)
        table_cache.write_table(cache, key, table)
    return table


def trace_layer_table(spec: EfficientNetSpec, resolution: int) -> LayerTable:
    """Build the spec's training graph on the meta device and trace one micro-batch."""
    import contextlib

    import torch

    from ipu_app.models.efficientnet import EfficientNet
    from ipu_app.models.train_graph import TrainGraph
    from pipelines.trace import SAMPLES, trace_layers

    meta: Any = torch.device("meta")
    # before torch 2.0 a device is no context: then the weights are made for real and thrown away
    with meta if hasattr(meta, "__enter__") else contextlib.nullcontext():
        model = EfficientNet(spec)
    images = torch.empty((SAMPLES, 3, resolution, resolution), dtype=torch.uint8, device=meta)
    labels = torch.empty((SAMPLES,), dtype=torch.int64, device=meta)
    graph = TrainGraph(model, num_classes=spec.num_classes).to("meta").train()
    return trace_layers(graph, (images, labels), sub_blocks=sub_block_names(spec))


def _sources() -> List[Path]:
    """Every file whose change may change a table."""
    models = Path(__file__).resolve().parent
    cost = Path(layers_module.__file__).resolve()
    return [*models.glob("*.py"), cost, cost.parent.parent / "trace.py"]
