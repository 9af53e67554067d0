"""Scores of label maps: rows of numerators and denominators that add up over batches."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.segmentation_scenes import VOID


def count(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Pixels of each image and class: in both, predicted, labelled; VOID ones are not counted.

    Args:
        predictions: (b, H, W) int64.
        labels: (b, H, W) int64, classes and VOID.
        num_classes: of the labels.

    Returns:
        (b, num_classes, 3) float64.
    """
    classes = torch.arange(num_classes, device=labels.device)[:, None, None]
    labelled = labels[:, None] == classes
    predicted = (predictions[:, None] == classes) & (labels != VOID)[:, None]
    parts = (labelled & predicted, predicted, labelled)
    return torch.stack([part.sum((2, 3)) for part in parts], dim=2).double()


def image_iou(counts: Tensor) -> Tensor:
    """The followed code's score, as a row (sum over the images, images), (1, 2).

    For each image the mean of |both| / |either| over the classes present in its labels, background
    (class 0) excluded; images with background alone are left out. In per cent. (The followed code
    averages batches of such means: the same, but where a batch holds an image that is left out.)
    """
    both, predicted, labelled = counts[:, 1:].unbind(2)
    present = labelled > 0
    iou = torch.where(present, both / (predicted + labelled - both).clamp(min=1), 0.0)
    classes = present.sum(1)
    mean = iou.sum(1) / classes.clamp(min=1)
    return torch.stack([100 * mean.sum(), (classes > 0).sum().double()])[None]


def dataset_iou(counts: Tensor) -> Tensor:
    """The standard score, as a row (pixels in both, in either) per class, (num_classes, 2).

    The mean over classes, background included, of the quotients of sums over the data set. In per
    cent.
    """
    both, predicted, labelled = counts.sum(0).unbind(1)
    return torch.stack([100 * both, predicted + labelled - both], dim=1)


def pixel_accuracy(counts: Tensor) -> Tensor:
    """As a row (right pixels, labelled pixels), (1, 2). In per cent."""
    both, _, labelled = counts.sum((0, 1))
    return torch.stack([100 * both, labelled])[None]


def quotient(rows: Tensor) -> float:
    """The mean over rows (numerator, denominator) of their quotients; 0 denominators left out."""
    numerator, denominator = rows.cpu().unbind(1)
    return float((numerator / denominator)[denominator > 0].mean())
