"""Moduli against closed formulas."""

import numpy as np
import pytest

from aiida_haml.structures.interface.elasticity import (
    ARGYRODITE_ELASTICITY,
    METAL_ELASTICITY,
    CubicElasticity,
    IsotropicElasticity,
    biaxial_modulus,
    metal_share_by_stiffness,
)

LITHIUM = METAL_ELASTICITY["Li"]


def test_facets_of_a_cubic_crystal_have_the_known_moduli():
    c11, c12, c44 = LITHIUM.c11, LITHIUM.c12, LITHIUM.c44
    assert biaxial_modulus(LITHIUM, (1, 0, 0)) == pytest.approx(c11 + c12 - 2 * c12**2 / c11)
    expected = 6 * c44 * (c11 + 2 * c12) / (c11 + 2 * c12 + 4 * c44)
    assert biaxial_modulus(LITHIUM, (1, 1, 1)) == pytest.approx(expected)


@pytest.mark.parametrize("facet", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 0)])
def test_an_isotropic_crystal_has_one_modulus_on_all_facets(facet):
    young, poisson = 22.1, 0.37
    shear = young / 2 / (1 + poisson)
    c12 = young * poisson / (1 + poisson) / (1 - 2 * poisson)
    crystal = CubicElasticity(c12 + 2 * shear, c12, shear, "")
    assert biaxial_modulus(crystal, facet) == pytest.approx(IsotropicElasticity(young, poisson, "").biaxial_modulus)


def test_equivalent_facets_have_equal_moduli():
    assert biaxial_modulus(LITHIUM, (1, -1, 0)) == pytest.approx(biaxial_modulus(LITHIUM, (0, 1, 1)))


def test_the_softer_side_takes_more():
    soft = biaxial_modulus(LITHIUM, (1, 0, 0))
    share = metal_share_by_stiffness(soft, ARGYRODITE_ELASTICITY.biaxial_modulus)
    assert 0.8 < share < 0.9
    assert metal_share_by_stiffness(1.0, 1.0) == 0.5


def test_an_incompressible_film_keeps_its_volume():
    strain = np.diag([0.01, 0.02])
    assert IsotropicElasticity(1.0, 0.5, "").normal_strain(strain) == pytest.approx(-0.03)
    assert IsotropicElasticity(1.0, 0.0, "").normal_strain(strain) == 0
