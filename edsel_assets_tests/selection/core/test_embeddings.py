"""Embeddings are validated once and read in float32, whatever they are stored in."""

import numpy as np
import pytest
import torch

from edsel_assets.selection.core import embeddings as module
from edsel_assets.selection.core.embeddings import as_embeddings


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_are_normalised_in_float32(points: np.ndarray, dtype: type) -> None:
    stored = points.astype(dtype)
    expected = stored.astype(np.float64) / np.linalg.norm(stored.astype(np.float64), axis=1, keepdims=True)
    matrix = as_embeddings(stored).matrix()
    assert matrix.dtype == torch.float32
    np.testing.assert_allclose(matrix.numpy(), expected, atol=2e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_are_taken_as_they_are_without_normalising(points: np.ndarray, dtype: torch.dtype) -> None:
    stored = torch.from_numpy(points).to(dtype)
    views = as_embeddings(stored, normalise=False, device="cpu")
    assert torch.equal(views.matrix(), stored.float())
    assert torch.equal(views.block(10, 20), stored[10:20].float())


def test_memory_mapped_float16_is_read_in_blocks(
    points: np.ndarray, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/pool.npy"
    np.save(path, points.astype(np.float16))
    whole = as_embeddings(np.load(path, mmap_mode="r")).matrix()
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 7 * 3)  # three rows a block
    views = as_embeddings(np.load(path, mmap_mode="r"))
    assert torch.equal(views.matrix(), whole)
    assert torch.equal(torch.cat([block for _, _, block in views.blocks(8)]), whole)


def test_rows_in_any_order_are_the_rows_of_the_matrix(points: np.ndarray) -> None:
    for pool in (points, torch.from_numpy(points)):
        views = as_embeddings(pool, device="cpu")
        picked = np.array([40, 3, 3, 17])
        assert torch.equal(views.rows(picked), views.matrix()[picked])


def test_the_pool_is_never_written_to(points: np.ndarray) -> None:
    before = points.copy()
    as_embeddings(points).matrix()
    assert np.array_equal(points, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named(points: np.ndarray, value: float) -> None:
    points[[4, 31], 2] = value
    with pytest.raises(ValueError, match=r"finite.*rows \[4, 31\] are not \(2 in all\)"):
        as_embeddings(points)


def test_rows_beyond_float32_are_named(points: np.ndarray) -> None:
    wide = points.astype(np.float64)
    wide[6, 0] = 1e300
    with pytest.raises(ValueError, match=r"finite in float32; rows \[6\]"):
        as_embeddings(wide)


def test_zero_rows_are_refused_only_where_they_are_normalised(points: np.ndarray) -> None:
    points[9] = 0
    with pytest.raises(ValueError, match=r"zero vectors.*rows \[9\] are zero"):
        as_embeddings(points)
    assert as_embeddings(points, normalise=False).size == 50


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (["a text"], "Embed them first"),
        (np.ones(5, dtype=np.float32), r"shape \(N, d\)"),
        (np.ones((0, 5), dtype=np.float32), r"shape \(N, d\)"),
        (np.ones((5, 0), dtype=np.float32), r"shape \(N, d\)"),
        (np.ones((5, 2), dtype=np.int64), "dtype int64"),
        (torch.ones((5, 2), dtype=torch.int8), "dtype int8"),
        (np.ones((5, 2), dtype=np.complex64), "dtype complex64"),
    ],
)
def test_what_is_no_pool_is_refused(pool: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_embeddings(pool)


def test_an_unknown_device_is_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="device must be"):
        as_embeddings(points, device="quantum")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no GPU"):
            as_embeddings(points, device="cuda")


@pytest.mark.gpu
def test_a_gpu_tensor_stays_on_its_gpu(points: np.ndarray) -> None:
    views = as_embeddings(torch.from_numpy(points).cuda())
    assert views.device.type == "cuda"
    assert views.matrix().device.type == "cuda"
    np.testing.assert_allclose(views.matrix().cpu(), as_embeddings(points, device="cpu").matrix(), atol=2e-7)
