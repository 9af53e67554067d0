"""U-Net with a ResNet-50 encoder: a score per class and pixel.

Source: segmentation-models-pytorch's ``Unet("resnet50")``. It is not the network of the code that
the paper follows, nyoki-mtl/pytorch-segmentation: that one decodes with transposed convolutions and
SCSE gates, and classifies from a hypercolumn of all decoder levels; this one has nearest-neighbour
upsampling, no gates, and classifies from the last level.

Parameters for 21 classes: 32,524,005, of which the encoder's are 23,508,032.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

TIMEOUT = 5.0  # seconds for the one question whether the model hub can be reached


class UnetR50(nn.Module):
    """U-Net on ResNet-50; see the module's docstring for source and parameter count.

    Initial weights: the decoder's as segmentation-models-pytorch draws them; the encoder's
    pretrained, or He's by fan-out.

    Shapes: images (b, 3, h, w), h and w multiples of 32, to logits (b, num_classes, h, w).

    Args:
        num_classes: outputs per pixel.
        encoder_weights: "imagenet", downloaded once into the model hub's cache; "none"; or a file:
            torchvision's ResNet-50 as ``.pth``, or a ``.safetensors`` with the same names.

    Raises:
        ValueError: for weights that cannot be had, at once and in words.
    """

    def __init__(self, num_classes: int = 21, encoder_weights: str | None = "imagenet") -> None:
        super().__init__()
        import segmentation_models_pytorch as smp  # here, for it takes seconds to import

        if encoder_weights is None:
            raise ValueError(
                "model.encoder_weights=null: expected imagenet, none, or a file's path; of the "
                "tasks, pascalvoc alone gives it a value by itself"
            )
        self.net = smp.Unet("resnet50", encoder_weights=None, classes=num_classes)
        if encoder_weights == "imagenet":
            known = smp.encoders.encoders["resnet50"]["pretrained_settings"]["imagenet"]
            self._load_encoder(_hub_file(known["repo_id"], known["revision"]))
        elif encoder_weights != "none":
            self._load_encoder(Path(encoder_weights).expanduser())

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, num_classes, h, w) of images (b, 3, h, w)."""
        logits: Tensor = self.net(x)
        return logits

    def _load_encoder(self, path: Path) -> None:
        state = _read(path)
        own = self.net.encoder.state_dict()
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        if set(state) != set(own) or any(state[name].shape != own[name].shape for name in own):
            missing = sorted(set(own) - set(state))
            raise ValueError(
                f"model.encoder_weights={path}: not a ResNet-50 ({len(missing)} of {len(own)} "
                f"tensors missing{f', the first {missing[0]}' if missing else ''}); expected "
                "torchvision's resnet50 state dict, or model.encoder_weights=none"
            )
        self.net.encoder.load_state_dict(state)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(
            f"model.encoder_weights={path}: no such file; expected imagenet, none, or the path of "
            "a ResNet-50's .pth or .safetensors"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ValueError(
            f"model.encoder_weights={path}: cannot be read ({type(error).__name__}: {error}); "
            "expected a state dict that torch.save or safetensors wrote; copy it anew"
        ) from error


def _hub_file(repo_id: str, revision: str) -> Path:
    """The pretrained weights in the model hub's cache, downloaded if need be.

    Without a network the hub's own client tries again and again for half a minute; here one
    question with a short patience comes first.
    """
    import huggingface_hub as hub

    name = "model.safetensors"
    cached = hub.try_to_load_from_cache(repo_id, name, revision=revision)
    if isinstance(cached, str):
        return Path(cached)
    try:
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
            raise OSError("HF_HUB_OFFLINE is set")
        url = hub.hf_hub_url(repo_id, name, revision=revision)
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
        return Path(hub.hf_hub_download(repo_id, name, revision=revision))
    except OSError as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ValueError(
            f"model.encoder_weights=imagenet: {repo_id} is not in the model hub's cache and cannot "
            f"be downloaded ({reason}); connect to a network, give torchvision's ResNet-50 as a "
            "file (model.encoder_weights=/path/resnet50.pth), or train from scratch with "
            "model.encoder_weights=none (labelled)"
        ) from error
