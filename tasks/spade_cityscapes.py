"""Photographs from label maps: SPADE on Cityscapes (paper, Table 3)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tasks import cityscapes, fid, reduced, streets
from tasks.gan_losses import adversarial, halves, hinge, matching
from tasks.perceptual import Perceptual

MATCHING = PERCEPTUAL = 10.0  # weights of the two losses beside the adversarial one
STRIDE = 64  # the generator starts from a map of 1/64 of the image's height and width
BATCH = 10  # images at a time in evaluation
ROWS = 4  # of the picture


class SpadeCityscapes:
    """A GAN trained as NVlabs/SPADE does, scored by the FID of its images of the val split.

    A step of the generator, then one of the discriminator, on the same batch. Generator: -D, plus
    MATCHING times feature matching, plus PERCEPTUAL times the perceptual loss. Discriminator: hinge
    losses of images generated anew, after the generator's step, and of real ones, in one batch.

    Semantic input: 35 one-hot labels and the edges of instances. Augmentation: a sample is mirrored
    if its one uniform number is below 1/2.

    Scores: ``test_fid`` and ``test_kid`` (see `fid`) between as many generated as real photographs
    at the training resolution, both in 8 bits. They depend on the number of photographs, so that
    runs on differently many do not compare. A generated pixel that is not a finite number counts
    as grey: a trial that diverges has the finite, bad FID of grey images.

    Args:
        height: of the images in pixels, a multiple of STRIDE.
        width: likewise.
        data_set: what ``data.root`` holds. Another name than Cityscapes is a label of the numbers,
            and splits of any size are taken.
        perceptual: "vgg19", "none", or a file of torchvision's weights of VGG-19.
        fid_weights: "inception", a file of pytorch-fid's weights, or "random", small random
            features for tests, which say nothing about quality.
        fid_epochs: "last", or "all" to score after every epoch.
        train_size: train on so many images only, one fixed random draw; None is all.
        test_size: the same for the test set.

    Raises:
        ValueError: for a size or a choice out of range.
    """

    name: ClassVar[str] = "spade-cityscapes"
    score: ClassVar[dict[str, Any]] = {
        "name": "test_fid",
        "better": "lower",
        "unit": "",
        "smallest": 1.0,
    }
    drop_last: ClassVar[bool] = True
    static: ClassVar[bool] = False
    randoms: ClassVar[int] = 1

    # Known after load().
    train_size: int
    checksum: str
    samples: Tensor
    test_samples: Tensor

    def __init__(
        self,
        *,
        height: int = 256,
        width: int = 512,
        data_set: str = cityscapes.NAME,
        perceptual: str = "vgg19",
        fid_weights: str = "inception",
        fid_epochs: str = "last",
        train_size: int | None = None,
        test_size: int | None = None,
    ) -> None:
        """Keep the settings; nothing is read before load()."""
        for key, size in (("height", height), ("width", width)):
            if size < STRIDE or size % STRIDE:
                raise ValueError(
                    f"task.{key}={size}: expected a multiple of {STRIDE}, since the generator "
                    f"doubles its map six times; {max(1, round(size / STRIDE)) * STRIDE} is near"
                )
        # Two images are what a covariance takes.
        for key, count, least in (("train_size", train_size, 1), ("test_size", test_size, 2)):
            if count is not None and count < least:
                raise ValueError(
                    f"task.{key}={count}: expected at least {least}; leave it out for all images"
                )
        if not data_set.strip():
            raise ValueError(
                f"task.data_set={data_set!r}: expected the name of what data.root holds"
            )
        if fid_epochs not in ("last", "all"):
            raise ValueError(
                f"task.fid_epochs={fid_epochs}: expected last or all; last is what Table 3 needs"
            )
        self.height, self.width = height, width
        # Batch norm takes two values a channel, and the generator's first map is 1/STRIDE in size.
        self.smallest_batch = 2 if height == width == STRIDE else 1
        self.data_set = data_set
        self.perceptual = perceptual
        self.fid_weights = fid_weights
        self.fid_epochs = fid_epochs
        self._sizes = {"train_size": train_size, "test_size": test_size}

    def load(self, data: Any, device: torch.device | str) -> None:
        """Put photographs, maps, and the networks that judge images, on the device.

        The files are torchvision's, see `cityscapes`; it trains on the split train and tests on
        val, as the followed code does. Their publisher states no checksums; with ``data.verify``,
        and unless ``data_set`` says that it is another data set, there have to be as many as in
        Cityscapes. With ``data.source`` "synthetic" a stand-in is made under
        ``data.root/synthetic/cityscapes`` instead, and read alike.

        Raises:
            FileNotFoundError: for photographs, maps or weights that are missing.
            ValueError: for a damaged file, a label out of range, sizes that disagree, or fewer
                images than asked for.
        """
        # First what fails at once, then what takes minutes to read.
        criterion = None
        if self.perceptual != "none":
            file = None if self.perceptual == "vgg19" else self.perceptual
            criterion = Perceptual(file).to(device)
        network: nn.Module = fid.RandomFeatures()
        if self.fid_weights != "random":
            network = fid.Inception(None if self.fid_weights == "inception" else self.fid_weights)
        network.to(device)
        root = Path(data.root).expanduser()
        if data.source == "synthetic":
            root = root / "synthetic" / "cityscapes"
            streets.write(root)
        chosen = []
        for key, split in (("train_size", "train"), ("test_size", "val")):
            files = cityscapes.find(root, split)
            if data.source == "real" and data.verify and self.data_set == cityscapes.NAME:
                cityscapes.verify(split, files)
            chosen.append(self._reduced(key, files))
        train, test = (cityscapes.read(files, self.height, self.width) for files in chosen)
        digest = hashlib.sha256()
        judges = [module for module in (criterion, network) if module is not None]
        tensors = [t for module in judges for t in module.state_dict().values()]
        for tensor in (train, test, *tensors):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
        self.checksum = digest.hexdigest()
        self.criterion, self.network = criterion, network
        self.samples, self.test_samples = train.to(device), test.to(device)
        self.train_size = len(train)
        self.real = fid.features(network, self.test_samples[:, :3])

    def _reduced(self, key: str, files: list[cityscapes.Files]) -> list[cityscapes.Files]:
        size = len(files) if self._sizes[key] is None else self._sizes[key]
        assert size is not None
        if size > len(files) or len(files) < 2:
            raise ValueError(
                f"task.{key}={size}, but there are {len(files)} images; expected at most these, "
                "and two at least; ask for fewer, or leave it out for all"
            )
        if size == len(files):
            return files
        return [files[k] for k in reduced.drawn(len(files), size).tolist()]

    def players(self, model: nn.Module) -> dict[str, nn.Module]:
        """Generator and discriminator, in the order of their steps.

        Raises:
            ValueError: for a model that has not both.
        """
        found = {name: getattr(model, name, None) for name in ("generator", "discriminator")}
        if None in found.values():
            raise ValueError(
                f"task=spade-cityscapes trains a generator and a discriminator, which "
                f"{type(model).__name__} has not; choose model=spade"
            )
        return {name: player for name, player in found.items() if player is not None}

    def batch(self, indices: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Semantics (b, 36, h, w) and photographs (b, 3, h, w) in [-1, 1], without a host sync."""
        samples = self.samples.index_select(0, indices)
        mirrored = uniforms.view(-1, 1, 1, 1) < 0.5
        samples = torch.where(mirrored, samples.flip(3), samples)
        return cityscapes.semantics(samples), cityscapes.photographs(samples)

    def loss(
        self, player: str, model: Any, batch: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one player, and its terms, unweighted, times the size of the batch."""
        semantics, real = batch
        if player == "discriminator":
            with torch.no_grad():
                images = model.generator(semantics)
        else:
            images = model.generator(semantics)
        # One batch, as in the followed code, and half the launches.
        both = torch.cat([torch.cat([semantics, x.to(real.dtype)], 1) for x in (images, real)])
        generated, known = halves(model.discriminator(both))
        if player == "discriminator":
            terms = {"hinge_generated": hinge(generated, -1), "hinge_real": hinge(known, 1)}
            loss = terms["hinge_generated"] + terms["hinge_real"]
        else:
            terms = {"adversarial": adversarial(generated), "matching": matching(generated, known)}
            loss = terms["adversarial"] + MATCHING * terms["matching"]
            if self.criterion is not None:
                terms["perceptual"] = self.criterion(images, real)
                loss = loss + PERCEPTUAL * terms["perceptual"]
        return loss, {name: len(real) * term.detach() for name, term in terms.items()}

    def generate(self, model: Any, samples: Tensor) -> Tensor:
        """Generated images (n, 3, h, w) uint8 of samples (n, 5, h, w)."""
        parts = []
        for part in samples.split(BATCH):
            images = model.generator(cityscapes.semantics(part)).float().nan_to_num(0.0)
            parts.append(images.add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8))
        return torch.cat(parts)

    def evaluate(self, model: nn.Module, last: bool = True) -> dict[str, float]:
        """FID and KID over the test set, after the last epoch or after each one."""
        if not last and self.fid_epochs == "last":
            return {}
        found = fid.features(self.network, self.generate(model, self.test_samples))
        return {
            "test_fid": fid.frechet(found, self.real),
            "test_kid": fid.kernel_distance(found, self.real),
        }

    def finish(self, model: nn.Module, folder: Path) -> None:
        """Write ``samples.png``: in each row labels, photograph, generated image."""
        from PIL import Image

        chosen = torch.linspace(0, len(self.test_samples) - 1, ROWS).round().long().unique()
        samples = self.test_samples[chosen.to(self.test_samples.device)]
        model.eval()
        with torch.no_grad():
            images = self.generate(model, samples)
        palette = torch.tensor(cityscapes.PALETTE, dtype=torch.uint8)
        labels = palette[samples[:, 3].cpu().long()].permute(0, 3, 1, 2)
        columns = torch.cat([labels, samples[:, :3].cpu(), images.cpu()], dim=3)
        picture = torch.cat(list(columns), dim=1).permute(1, 2, 0).contiguous().numpy()
        draft = folder / ".samples.png.tmp"
        Image.fromarray(picture).save(draft, format="PNG")
        os.replace(draft, folder / "samples.png")
