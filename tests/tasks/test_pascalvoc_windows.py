"""Training and test windows, against torch's own resizing of each picture."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tasks.segmentation_scenes import VOID, Scenes

SIZES = [(40, 70), (64, 64), (33, 130), (150, 90), (1, 1)]
LARGEST = 1 - 2**-24  # the largest float32 below 1


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randint(256, (3, h, w), generator=generator, dtype=torch.uint8),
            torch.randint(21, (h, w), generator=generator, dtype=torch.uint8),
        )
        for h, w in SIZES
    ]


@pytest.fixture(scope="module")
def scenes(pictures):
    return Scenes(
        torch.cat([image.flatten(1).T for image, _ in pictures]),
        torch.cat([labels.flatten() for _, labels in pictures]),
        torch.tensor([h for h, _ in SIZES]),
        torch.tensor([w for _, w in SIZES]),
    )


def expected(picture, size, uniforms):
    """Scale, pad, crop and mirror, one after the other, as the followed code does."""
    image, labels = picture
    (h, w), (height, width) = labels.shape, size
    scale, row, column, mirror = uniforms.tolist()
    new = [max(1, int(torch.tensor(n) * (uniforms[0] + 0.5))) for n in (h, w)]
    assert scale + 0.5 == pytest.approx(new[0] / h, abs=1 / h)
    image = F.interpolate(image[None].float(), new, mode="bilinear", antialias=False)[0]
    labels = F.interpolate(labels[None, None].float(), new, mode="nearest")[0, 0].long()
    below, right = max(0, height - new[0]), max(0, width - new[1])
    inside = F.pad(torch.ones(new), (0, right, 0, below)) > 0
    image = F.pad(image, (0, right, 0, below))
    labels = F.pad(labels, (0, right, 0, below), value=VOID)
    top = int(row * (max(0, new[0] - height) + 1))
    left = int(column * (max(0, new[1] - width) + 1))
    parts = [p[..., top : top + height, left : left + width] for p in (image, labels, inside)]
    return [part.flip(-1) if mirror < 0.5 else part for part in parts]


def check(windows, picture, k, size, uniforms):
    image, labels, inside = expected(picture, size, uniforms)
    assert torch.equal(windows.inside[k], inside)
    assert torch.equal(windows.labels[k], labels)
    # Of values up to 255; interpolation sums in another order.
    assert torch.allclose(windows.images[k] * inside, image, rtol=0, atol=2e-3)


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_windows_are_those_of_torch_picture_by_picture(pictures, scenes, size):
    generator = torch.Generator().manual_seed(1)
    indices = torch.randint(len(SIZES), (60,), generator=generator)
    uniforms = torch.rand(60, 4, generator=generator)
    windows = scenes.cut(indices, *size, uniforms)
    for k, index in enumerate(indices.tolist()):
        check(windows, pictures[index], k, size, uniforms[k])


@pytest.mark.parametrize("end", [0.0, LARGEST])
def test_ends_of_the_uniforms(pictures, scenes, end):
    uniforms = torch.full((len(SIZES), 4), end)
    windows = scenes.cut(torch.arange(len(SIZES)), 64, 64, uniforms)
    for k, picture in enumerate(pictures):
        check(windows, picture, k, (64, 64), uniforms[k])


def test_without_uniforms_the_picture_itself_at_the_top_left(pictures, scenes):
    windows = scenes.cut(torch.arange(len(SIZES)), 160, 160)
    for k, ((h, w), (image, labels)) in enumerate(zip(SIZES, pictures, strict=True)):
        assert torch.equal(windows.images[k, :, :h, :w], image.float())
        assert torch.equal(windows.labels[k, :h, :w], labels.long())
        assert windows.inside[k].sum() == h * w
        assert (windows.labels[k][~windows.inside[k]] == VOID).all()


def test_a_window_does_not_depend_on_its_batch(scenes):
    uniforms = torch.rand(6, 4, generator=torch.Generator().manual_seed(2))
    indices = torch.tensor([3, 0, 2, 2, 1, 4])
    together = scenes.cut(indices, 64, 64, uniforms)
    for k in range(6):
        alone = scenes.cut(indices[k : k + 1], 64, 64, uniforms[k : k + 1])
        assert all(torch.equal(a[0], t[k]) for a, t in zip(alone, together, strict=True))


def test_windows_need_no_value_from_the_device(scenes):
    # Tensors on the meta device hold no values: anything that asked for one would raise.
    windows = scenes.to("meta").cut(
        torch.arange(3, device="meta"), 64, 64, torch.rand(3, 4, device="meta")
    )
    assert [part.shape for part in windows] == [(3, 3, 64, 64), (3, 64, 64), (3, 64, 64)]


def test_the_checksum_tells_shapes_pixels_and_labels_apart(scenes):
    others = [
        Scenes(scenes.pixels, scenes.labels, scenes.widths, scenes.heights),
        Scenes(scenes.pixels ^ 1, scenes.labels, scenes.heights, scenes.widths),
        Scenes(scenes.pixels, scenes.labels ^ 1, scenes.heights, scenes.widths),
    ]
    assert len({scenes.checksum(), *(other.checksum() for other in others)}) == 4
