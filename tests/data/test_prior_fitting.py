"""Priors: the classic ones and those fitted to a data set."""

from __future__ import annotations

import numpy as np
import pytest

from yolox_deploy.data.priors import fit_priors, shape_iou
from yolox_deploy.errors import UsageError
from yolox_deploy.models.zoo import CLASSIC, default_priors


def test_classic_priors_are_three_a_level() -> None:
    assert default_priors(3) is CLASSIC
    assert np.shape(CLASSIC) == (3, 3, 2)
    with pytest.raises(UsageError, match="priors is 2; expected 1"):
        default_priors(2)


def test_shape_iou() -> None:
    shapes = np.array([[10.0, 20.0], [20.0, 10.0]])
    np.testing.assert_allclose(shape_iou(shapes, shapes), [[1, 1 / 3], [1 / 3, 1]])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_groups_of_a_data_set_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.array(CLASSIC).reshape(-1, 2)[:6] * (1.0, 1.5)
    noise = rng.uniform(0.97, 1.03, (6, 50, 2))
    shapes = (truth[:, None] * noise).reshape(-1, 2)
    found = fit_priors(rng.permutation(shapes), levels=3, count=2, seed=seed)
    assert found.shape == (3, 2, 2)
    assert (np.diff(found.prod(axis=2).ravel()) > 0).all()
    expected = truth[np.argsort(truth.prod(axis=1))].reshape(3, 2, 2)
    np.testing.assert_allclose(found, expected, rtol=0.03)


def test_fitting_beats_the_classic_priors_on_shapes_of_another_kind() -> None:
    shapes = np.random.default_rng(3).uniform((100, 10), (200, 30), (400, 2))
    fitted = fit_priors(shapes).reshape(-1, 2)
    classic = np.array(CLASSIC).reshape(-1, 2)
    assert shape_iou(shapes, fitted).max(axis=1).mean() > 0.8 > shape_iou(shapes, classic).max(axis=1).mean()
    np.testing.assert_array_equal(fitted, fit_priors(shapes).reshape(-1, 2))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (np.ones((50, 2)), "found 1 different box shapes; 9 priors"),
        (np.zeros((9, 2)), "sides that are not above 0"),
        (np.full((9, 2), np.nan), "sides that are not above 0"),
    ],
)
def test_hopeless_shapes_are_refused(shapes: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit_priors(shapes)
