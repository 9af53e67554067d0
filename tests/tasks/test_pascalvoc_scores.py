"""Scores and losses, against definitions written out pixel by pixel or by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, jaccard_score

from tasks.pascalvoc import PascalVoc
from tasks.segmentation_scenes import VOID, Scenes, Windows
from tasks.segmentation_scores import count, dataset_iou, image_iou, pixel_accuracy, quotient

CLASSES = 5


@pytest.fixture(params=range(3))
def maps(request):
    """Predictions and labels with void pixels, absent classes and an image of background alone."""
    random = np.random.default_rng(request.param)
    labels = random.integers(0, CLASSES, (6, 9, 11))
    labels[labels == 3] = 0  # a class that never occurs
    labels[random.random(labels.shape) < 0.1] = VOID
    labels[0, :, :] = 0
    labels[1][labels[1] > 1] = 1
    predictions = np.where(
        random.random(labels.shape) < 0.6, labels, random.integers(0, CLASSES, labels.shape)
    )
    predictions[predictions == VOID] = 2
    return predictions, labels


def counted(maps):
    predictions, labels = (torch.from_numpy(part) for part in maps)
    return count(predictions, labels, CLASSES)


def test_image_iou_is_the_followed_codes(maps):
    means = []
    for prediction, label in zip(*maps, strict=True):
        prediction = np.where(label == VOID, 0, prediction)
        ious = []
        for c in range(1, CLASSES):
            if (label == c).any():
                both = ((prediction == c) & (label == c)).sum()
                ious.append(both / ((prediction == c) | (label == c)).sum())
        if ious:
            means.append(np.mean(ious))
    assert len(means) == 5
    assert quotient(image_iou(counted(maps))) == pytest.approx(100 * np.mean(means), rel=1e-12)


def test_dataset_iou_and_accuracy_are_scikit_learns(maps):
    predictions, labels = maps
    kept = labels != VOID
    predicted, labelled = predictions[kept], labels[kept]
    seen = np.union1d(predicted, labelled)
    iou = jaccard_score(labelled, predicted, labels=seen, average="macro")
    assert quotient(dataset_iou(counted(maps))) == pytest.approx(100 * iou, rel=1e-12)
    accuracy = accuracy_score(labelled, predicted)
    assert quotient(pixel_accuracy(counted(maps))) == pytest.approx(100 * accuracy, rel=1e-12)


def test_rows_of_parts_add_up_to_the_whole(maps):
    whole = counted(maps)
    for rows in (image_iou, dataset_iou, pixel_accuracy):
        assert torch.allclose(rows(whole), rows(whole[:2]) + rows(whole[2:]), rtol=1e-14)


def test_perfect_wrong_and_empty():
    labels = torch.tensor([[[1, 2], [0, VOID]]])
    for predictions, score in ((labels % VOID, 100.0), ((labels + 1) % 3, 0.0)):
        counts = count(predictions, labels, 3)
        for rows in (image_iou, dataset_iou, pixel_accuracy):
            assert quotient(rows(counts)) == score
    nothing = count(torch.zeros(1, 2, 2), torch.full((1, 2, 2), VOID), 3)
    assert math.isnan(quotient(image_iou(nothing)))


def lovasz(logits, labels):
    """The Lovász extension of the Jaccard loss by its definition, over explicit sets of pixels.

    With errors sorted downwards, the sum over i of error_i (J({1..i}) - J({1..i-1})), where J(M) is
    the Jaccard loss of a prediction that is wrong exactly on M (Berman et al. 2018, eq. 8).
    """
    means = []
    for scores, truth in zip(logits.double(), labels, strict=True):
        pixels = [(y, x) for y, x in np.ndindex(*truth.shape) if truth[y, x] != VOID]
        losses = []
        for c in sorted({int(truth[p]) for p in pixels}):
            here = {p for p in pixels if truth[p] == c}
            probability = scores.softmax(0)[c]
            errors = {p: abs(float(p in here) - float(probability[p])) for p in pixels}
            wrong, before, loss = set(), 0.0, 0.0
            for p in sorted(pixels, key=lambda p: -errors[p]):
                wrong.add(p)
                jaccard = 1 - len(here - wrong) / len(here | wrong)
                loss += errors[p] * (jaccard - before)
                before = jaccard
            losses.append(loss)
        means.append(np.mean(losses))
    return np.mean(means)


def task(**settings):
    built = PascalVoc(num_classes=CLASSES, crop=64, **settings)
    pixels, labels = torch.zeros(64 * 64, 3), torch.ones(64 * 64)
    size = torch.tensor([64])
    scene = Scenes(pixels.byte(), labels.byte(), size, size)
    built.hold(scene, scene, "cpu")
    return built


def scored(task, logits, labels):
    """The task's loss of given logits."""
    return task.loss("model", lambda images: logits, (None, labels, labels))


@pytest.fixture
def answers():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (2, 6, 7), generator=generator)
    labels[labels == 4] = VOID
    labels[1][labels[1] == 2] = 1
    return torch.randn(2, CLASSES, 6, 7, generator=generator), labels


def test_lovasz_is_the_extension_by_its_definition(answers):
    loss, _ = scored(task(), *answers)
    assert float(loss) == pytest.approx(lovasz(*answers), rel=1e-5)


def test_lovasz_of_certain_answers_is_the_jaccard_loss(answers):
    _, labels = answers
    predictions = (labels + (torch.arange(7) < 2)).remainder(CLASSES)  # wrong in two columns
    loss, _ = scored(task(), 200.0 * F.one_hot(predictions, CLASSES).permute(0, 3, 1, 2), labels)
    expected = []
    for prediction, label in zip(predictions.numpy(), labels.numpy(), strict=True):
        kept = label != VOID
        present = np.unique(label[kept])
        expected.append(
            1 - jaccard_score(label[kept], prediction[kept], labels=present, average="macro")
        )
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)


def test_cross_entropy_is_the_mean_over_labelled_pixels(answers):
    logits, labels = answers
    loss, _ = scored(task(loss="cross_entropy"), logits, labels)
    kept = labels != VOID
    assert torch.allclose(loss, F.cross_entropy(logits.permute(0, 2, 3, 1)[kept], labels[kept]))


@pytest.mark.parametrize("name", ["lovasz", "cross_entropy"])
def test_windows_of_void_alone_teach_nothing(answers, name):
    logits, labels = answers
    logits.requires_grad_()
    built = task(loss=name, void="ignore")
    half = labels.clone()
    half[0] = VOID
    (grad,) = torch.autograd.grad(scored(built, logits, half)[0], logits)
    assert not grad[0].any()
    assert grad[1].any()
    loss, _ = scored(built, logits, torch.full_like(labels, VOID))
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss == 0
    assert not grad.any()


@pytest.mark.parametrize("name", ["lovasz", "cross_entropy"])
def test_losses_are_summed_in_single_precision(answers, name):
    logits, labels = answers
    logits = logits.bfloat16()
    exact, _ = scored(task(loss=name), logits.float(), labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = scored(task(loss=name), logits, labels)
    assert loss.dtype == torch.float32
    assert loss == exact


def test_void_is_background_as_linked_or_ignored():
    labels = torch.tensor([[[1, VOID, VOID]]])
    inside = torch.tensor([[[True, True, False]]])
    windows = Windows(torch.full((1, 3, 1, 3), 9.0), labels, inside)
    for void, expected in (("background", [1, 0, VOID]), ("ignore", [1, VOID, VOID])):
        images, kept, targets = task(void=void)._prepared(windows)
        assert targets.flatten().tolist() == expected
        assert torch.equal(kept, labels)
        assert images[..., :2].all()
        assert not images[..., 2].any()  # padding is 0 after normalising


def test_the_mirror_image_is_averaged_in():
    def model(images):  # a network that knows left from right
        column = torch.arange(64.0).expand_as(images[:, 0])
        return torch.stack([column, 40 - column, *[-column] * 3], dim=1)

    # Alone it finds class 1 in the columns up to 19. Averaged with its mirror image, class 0 has
    # (c + 63 - c) / 2 = 31.5 in each column and class 1 has 40 - 31.5.
    assert (model(torch.zeros(1, 3, 64, 64)).argmax(1) == 1).sum() == 20 * 64
    scores = task().evaluate(model)
    assert scores["test_pixel_accuracy"] == scores["test_iou"] == 0


def test_a_classifier_is_refused(answers):
    _, labels = answers
    with pytest.raises(ValueError, match="expected scores per class and pixel: model=unet-r50"):
        scored(task(), torch.zeros(2, CLASSES, 1, 1), labels)
