"""Makes the OpenVINO form of a scene classifier: timm's FastViT, and the head of the second network,
which is joined to the detector's form when it is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import quiet_offline
from models.build.graphs import converted, traced, write_facts, write_graph
from models.runtime.scenes import FIRST, SECOND
from models.torch.scenes import TRUNK_CHANNELS, load_head, load_network


def build_scenes(
    weights: Path, settings: Mapping[str, Any], folder: Path, share: bool = False
) -> None:
    """Write the form of the network in `weights` to `folder`. `share`: the weights stay beside the
    folder, and the form reads them there. `settings`: the pack's, with `second` for two networks. Those
    of a network for ImageNet, which only timm knows, are stored in the form.

    Raises safetensors', timm's and torch's errors.
    """
    quiet_offline()
    import torch

    nets = {
        FIRST: (load_network(settings, weights), weights, [1, 3, *[settings["image_size"]] * 2])
    }
    if second := settings.get("second"):
        head = weights.parent / second["weights"]
        cells = second["image_size"] // 32
        net = load_head(head, len(settings["classes"]))
        nets[SECOND] = (net, head, [2, TRUNK_CHANNELS, cells, cells])
    stores: dict[str, Path | None] = {}
    for name, (net, path, shape) in nets.items():
        exact = all(torch.equal(each, each.half().float()) for each in net.state_dict().values())
        stores[name] = path if share and exact else None
        write_graph(converted(traced(net, shape), shape), folder, name, exact, stores[name])
    more = {"settings": dict(settings)} if "imagenet" in settings else {}
    write_facts(folder, stores, **more)
