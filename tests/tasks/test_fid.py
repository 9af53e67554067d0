"""FID and KID: against closed forms, other formulas, and pytorch-fid on the same images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tasks import weights
from tasks.fid import Inception, RandomFeatures, features, frechet, kernel_distance


def drawn(n: int, d: int, seed: int) -> Tensor:
    """Correlated features with a mean."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return noise @ mixing / d**0.5 + torch.randn(d, generator=generator, dtype=torch.float64)


def with_moments(n: int, mean: Tensor, deviations: Tensor) -> Tensor:
    """Features whose sample mean and covariance are exactly these, the latter diagonal."""
    noise = drawn(n, len(mean), 0)
    q, _ = torch.linalg.qr(noise - noise.mean(0))
    return mean + q * (n - 1) ** 0.5 * deviations


def pictures(n: int, seed: int, height: int = 64, width: int = 96) -> Tensor:
    """Images (n, 3, h, w) uint8 with some structure."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, 3, 4, 6), generator=generator).float()
    fine = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return (fine + 20 * seed).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the form of pytorch-fid's file, where torch looks for downloads."""
    import torchvision
    from pytorch_fid import inception

    home = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torchvision.models.Inception3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        state = inception.fid_inception_v3().state_dict()
    path = home / "hub" / "checkpoints" / inception.FID_WEIGHTS_URL.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return path


def test_frechet_of_diagonal_covariances() -> None:
    means = torch.tensor([[1.0, 2.0, -1.0], [0.0, 2.5, 3.0]], dtype=torch.float64)
    deviations = torch.tensor([[1.0, 0.2, 3.0], [2.0, 0.5, 0.0]], dtype=torch.float64)
    x, y = (with_moments(40 + k, means[k], deviations[k]) for k in range(2))
    expected = (means[0] - means[1]).square().sum() + (deviations[0] - deviations[1]).square().sum()
    assert frechet(x, y) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("d", [2, 3, 20])
def test_frechet_is_pytorch_fids(d: int) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    x, y = drawn(50, d, 1), drawn(60, d, 2)
    moments = [f(z.numpy()) for z in (x, y) for f in (lambda a: a.mean(0), covariance)]
    assert frechet(x, y) == pytest.approx(float(calculate_frechet_distance(*moments)), rel=1e-8)


def covariance(x: np.ndarray) -> np.ndarray:
    return np.cov(x, rowvar=False)


def test_frechet_of_fewer_images_than_features() -> None:
    x, y = drawn(7, 30, 1), drawn(9, 30, 2)
    first, second = covariance(x.numpy()), covariance(y.numpy())
    # Tr (C1 C2)^(1/2) = Tr (R C2 R)^(1/2), R the root of C1: symmetric, so it has an eigen form.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    mixed = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    means = np.square(x.numpy().mean(0) - y.numpy().mean(0)).sum()
    expected = means + np.trace(first) + np.trace(second) - 2 * mixed
    assert frechet(x, y) == pytest.approx(expected, rel=1e-6)


def test_frechet_is_a_distance_without_a_place() -> None:
    x, y = drawn(12, 5, 1), drawn(15, 5, 2)
    assert frechet(x, x) == pytest.approx(0, abs=1e-12)
    assert frechet(x, y) == pytest.approx(frechet(y, x), rel=1e-12)
    assert frechet(x + 7, y + 7) == pytest.approx(frechet(x, y), rel=1e-10)
    assert frechet(x, x + 2) == pytest.approx(5 * 2**2, rel=1e-10)
    constant = torch.ones(4, 5, dtype=torch.float64)
    assert np.isfinite(frechet(constant, y))


def test_the_kernel_distance_pair_by_pair() -> None:
    x, y = drawn(5, 4, 1).numpy(), drawn(6, 4, 2).numpy()

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return (a @ b / 4 + 1) ** 3

    inner = [
        np.mean([kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])
        for z in (x, y)
    ]
    across = np.mean([kernel(a, b) for a in x for b in y])
    expected = inner[0] + inner[1] - 2 * across
    ours = kernel_distance(torch.from_numpy(x), torch.from_numpy(y))
    assert ours == pytest.approx(expected, rel=1e-12)


def test_the_kernel_distance_is_unbiased() -> None:
    same = [kernel_distance(*torch.randn(2, 8, 3).double()) for _ in range(400)]
    assert abs(np.mean(same)) < 4 * np.std(same) / len(same) ** 0.5
    assert min(same) < 0


def test_fid_is_what_pytorch_fids_command_prints(inception_file: Path, tmp_path: Path) -> None:
    sets = [pictures(14, 1), pictures(12, 2)]
    for name, images in zip("ab", sets, strict=True):
        (tmp_path / name).mkdir()
        for k, image in enumerate(images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / name / f"{k:03}.png")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytorch_fid", str(tmp_path / "a"), str(tmp_path / "b")),
            *("--dims", "64", "--device", "cpu", "--num-workers", "0"),
        ],
        env=os.environ | {"TORCH_HOME": str(inception_file.parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = float(done.stdout.split("FID:")[1])
    network = Inception(str(inception_file), dims=64)
    assert frechet(*(features(network, s) for s in sets)) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.slow
def test_fid_of_all_features_is_pytorch_fids(inception_file: Path, tmp_path: Path) -> None:
    # Fewer images than features, as in Table 3: pytorch-fid takes the root of a singular matrix.
    from pytorch_fid import fid_score

    network = Inception(str(inception_file))
    ours = [features(network, pictures(6, seed)) for seed in (1, 2)]
    moments = [f(z.numpy()) for z in ours for f in (lambda a: a.mean(0), covariance)]
    theirs = float(fid_score.calculate_frechet_distance(*moments))
    assert frechet(*ours) == pytest.approx(theirs, rel=1e-3)


def test_features_do_not_depend_on_the_precision_of_training() -> None:
    network, images = RandomFeatures(), pictures(3, 1)
    expected = features(network, images)
    assert (expected.shape, expected.dtype) == ((3, 64), torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(features(network, images), expected)
    assert torch.equal(features(RandomFeatures(), images), expected)  # nothing drawn anew


def test_weights_come_from_torchs_cache(
    inception_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(inception_file.parents[1]))
    cached, named = Inception(dims=64), Inception(str(inception_file), dims=64)
    images = pictures(2, 1)
    assert torch.equal(features(cached, images), features(named, images))


def test_missing_weights_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    message = r"task.fid_weights=inception: .*pt_inception.* is not there.*fid_weights=random"
    with pytest.raises(FileNotFoundError, match=message):
        Inception()
    with pytest.raises(FileNotFoundError, match=r"fid_weights=.*absent.pth: no such file"):
        Inception(str(tmp_path / "absent.pth"))


def test_other_files_are_no_weights(tmp_path: Path) -> None:
    damaged, other = tmp_path / "damaged.pth", tmp_path / "other.pth"
    damaged.write_bytes(b"PK\x03\x04nonsense")
    torch.save({"layer.weight": torch.zeros(3)}, other)
    with pytest.raises(ValueError, match=r"damaged.pth is no file of weights"):
        Inception(str(damaged))
    with pytest.raises(ValueError, match=r"other.pth: these are not pytorch-fid's weights"):
        Inception(str(other))


def test_a_download_is_checked_against_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "net-00000000.pth"
    torch.save({}, source)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(FileNotFoundError, match="invalid hash value"):
        weights.read("setting=name", None, source.as_uri(), "setting=none")
    assert not list((tmp_path / "hub").rglob("*.pth"))
