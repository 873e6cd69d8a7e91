"""Makes the OpenVINO form of Depth Anything, for pictures of any size."""

from pathlib import Path
from typing import Any

from models import quiet_offline
from models.build.graphs import converted, traced, write_facts, write_graph
from models.runtime.depth import GRAPH

WEIGHTS = "model.safetensors"
SIDE_PX = 518  # of the traced picture: any multiple of a patch would do


def build_depth(checkpoint: Path, folder: Path, share: bool = False) -> None:
    """Write the form of the checkpoint to `folder`. `share`: the weights stay in the checkpoint, and
    the form, beside them, reads them there. Raises safetensors', transformers' and torch's errors,
    and ValueError for a checkpoint that does not fit."""
    quiet_offline()
    import torch
    from torch import nn

    from models.torch.depth import load_depth

    processor, model = load_depth(checkpoint, torch.float32)

    class Metres(nn.Module):  # type: ignore[misc]
        """The model's own steps. Its head would make the traced picture's size a constant."""

        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.neck, self.head = model.backbone, model.neck, model.head

        def forward(self, pixels: Any) -> Any:
            patch = model.config.patch_size
            maps = self.backbone.forward_with_filtered_kwargs(pixels).feature_maps
            rows, columns = pixels.shape[2] // patch, pixels.shape[3] // patch
            fused = self.neck(maps, rows, columns)[self.head.head_in_index]
            whole = nn.functional.interpolate(
                self.head.conv1(fused), pixels.shape[-2:], mode="bilinear", align_corners=True
            )
            depth = self.head.conv3(self.head.activation1(self.head.conv2(whole)))
            return (self.head.activation2(depth) * self.head.max_depth).squeeze(1)

    side_px = SIDE_PX // model.config.patch_size * model.config.patch_size
    graph = converted(traced(Metres(), [1, 3, side_px, side_px]), [1, 3, -1, -1])
    store = checkpoint / WEIGHTS if share else None
    write_graph(graph, folder, GRAPH, False, store)
    known = ("size", "keep_aspect_ratio", "ensure_multiple_of", "image_mean", "image_std")
    settings = {key: value for key, value in processor.to_dict().items() if key in known}
    write_facts(folder, {GRAPH: store}, max_m=float(model.config.max_depth), input=settings)
