"""Lightning's Trainer: attach where the optimizer is made.

The Trainer passes a closure to step(), with its backward pass, accumulation and clipping inside;
the metric acts after them.

python examples/lightning_trainer.py
"""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import chandir


class Images(Dataset[tuple[torch.Tensor, int]]):
    """Random images of 8 x 8 and their classes."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        generator = torch.Generator().manual_seed(index)
        return torch.randn(3, 8, 8, generator=generator), index % 10


class Classifier(lightning.LightningModule):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(512, 10)
        )

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch."""
        images, labels = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer, with the metric attached."""
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        chandir.attach(optimizer, self, chandir.Sobolev())  # the one line
        return optimizer


def train(images: int = 64, accumulate: int = 2) -> Classifier:
    """Train for an epoch and return the module."""
    model = Classifier()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        accumulate_grad_batches=accumulate,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, DataLoader(Images(images), batch_size=8))
    return model


if __name__ == "__main__":
    train()
