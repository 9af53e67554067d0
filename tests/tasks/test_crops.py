"""Random windows: against plain slices, and against resampling each window by itself."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tasks import crops


def noise(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def uniforms(count: int, each: int) -> torch.Tensor:
    return torch.rand(count, each, generator=torch.Generator().manual_seed(1))


def test_mirrored_images_are_turned_left_to_right() -> None:
    images, which = noise(3, 5), torch.tensor([True, False, True])
    found = crops.mirrored(images, which)
    assert torch.equal(found[0], images[0].flip(2))
    assert torch.equal(found[1], images[1])


@pytest.mark.parametrize("margin", [1, 3])
def test_padded_windows_are_slices_of_the_frame(margin: int) -> None:
    images, draws = noise(500, 6), uniforms(500, 2)
    framed = F.pad(images, (margin,) * 4)
    found, places = crops.padded(images, draws, margin), set()
    for k, (row, column) in enumerate((draws * (2 * margin + 1)).long().tolist()):
        places.add((row, column))
        assert torch.equal(found[k], framed[k, :, row : row + 6, column : column + 6])
    assert len(places) == (2 * margin + 1) ** 2  # each of them occurs
    assert found.dtype == torch.uint8


def test_the_whole_image_stays_as_it_is() -> None:
    images, draws = noise(4, 8), uniforms(4, 4)
    draws[:, 1] = 0.5  # a square
    assert torch.equal(crops.resized(images, draws, 1.0), images)


def test_a_resized_window_is_the_image_between_its_borders() -> None:
    """On a ramp, where bilinear sampling is exact: its ends tell where the window lies."""
    size, least = 64, 0.3
    ramp = (torch.arange(size) * 4).to(torch.uint8)
    rows = ramp[:, None].expand(size, size)
    images = torch.stack([rows, rows.T, rows]).expand(500, 3, size, size)
    draws = uniforms(500, 4)
    found = crops.resized(images, draws, least).double() / 4 + 0.5  # in pixels from the border
    area = least + (1 - least) * draws[:, 0]
    ratio = torch.exp((2 * draws[:, 1] - 1) * math.log(4 / 3))
    for channel, axis, side, start in (
        (0, 1, (area / ratio).sqrt(), draws[:, 2]),
        (1, 2, (area * ratio).sqrt(), draws[:, 3]),
    ):
        side = size * side.clamp(max=1)
        first = start * (size - side)
        lines = found[:, channel].movedim(axis, 1)[:, :, size // 2]
        for pixel in (8, 55):  # away from the borders, where there is nothing to sample between
            expected = first + (pixel + 0.5) / size * side
            assert (lines[:, pixel] - expected).abs().max() < 0.26  # a quarter, by rounding


def test_windows_are_as_large_as_asked_for_and_stay_inside() -> None:
    size = 32
    images = torch.full((2000, 1, size, size), 200, dtype=torch.uint8)
    found = crops.resized(images, uniforms(2000, 4), 0.1)
    assert bool((found == 200).all())  # nothing from beyond the border


def test_samples_do_not_depend_on_their_batch() -> None:
    images, draws = noise(8, 16), uniforms(8, 4)
    whole = crops.resized(images, draws, 0.25)
    for k in range(8):
        assert torch.equal(crops.resized(images[k : k + 1], draws[k : k + 1], 0.25)[0], whole[k])
