"""Nonlinear regression with certified answers: sets of NIST's Statistical Reference Datasets (public domain).

Those whose model is a sum of exponentials, a bell or a sigmoid. Each has two starting points, one far and one near,
parameters certified to 11 digits and the certified sum of squared residuals, by which the copy here is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Reference:
    """One set: y ≈ model(b, x), two starts for b, the certified b and Σ (y − model)²."""

    name: str
    model: Callable[[Any, Any], Any]
    starts: tuple[list[float], list[float]]
    certified: list[float]
    sum_of_squares: float
    x: np.ndarray
    y: np.ndarray

    def residuals(self, b: Any) -> Any:
        return self.model(b, self.x) - self.y

    def digits(self, b: np.ndarray) -> float:
        """How many digits of b are right, in the worst of its entries: −log₁₀ of the relative error, 0 to 11."""
        certified = np.array(self.certified)
        wrong = np.abs(np.asarray(b) - certified) / np.abs(certified)
        return float(np.clip(-np.log10(max(float(wrong.max()), 1e-11)), 0.0, 11.0)) if np.isfinite(wrong).all() else 0.0


def _numbers(text: str) -> np.ndarray:
    return np.array([float(word) for word in text.split()])


def _three_exponentials(b: Any, x: Any) -> Any:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


_LANCZOS_X = np.arange(24) * 0.05

REFERENCES = [
    Reference(
        "Misra1a",
        lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
        ([500, 0.0001], [250, 0.0005]),
        [238.94212918, 0.00055015643181],
        0.12455138894,
        _numbers("""
            77.6 114.9 141.1 190.8 239.9 289 332.8 378.4 434.8 477.3 536.8 593.1 689.1 760
        """),
        _numbers("""
            10.07 14.73 17.94 23.93 29.61 35.18 40.02 44.82 50.76 55.05 61.01 66.4 75.47 81.78
        """),
    ),
    Reference(
        "BoxBOD",
        lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
        ([1, 1], [100, 0.75]),
        [213.80940889, 0.54723748542],
        1168.0088766,
        _numbers("""
            1 2 3 5 7 10
        """),
        _numbers("""
            109 149 149 191 213 224
        """),
    ),
    Reference(
        "Lanczos1",
        _three_exponentials,
        ([1.2, 0.3, 5.6, 5.5, 6.5, 7.6], [0.5, 0.7, 3.6, 4.2, 4, 6.3]),
        [0.095100000027, 1.0000000001, 0.86070000013, 3.0000000002, 1.5575999998, 5.0000000001],
        1.4307867721e-25,
        _LANCZOS_X,
        _numbers("""
            2.5134 2.044333373291 1.668404436564 1.366418021208 1.123232487372 0.9268897180037
            0.7679338563728 0.6388775523106 0.5337835317402 0.4479363617347 0.377584788435 0.3197393199326
            0.2720130773746 0.2324965529032 0.1996589546065 0.1722704126914 0.1493405660168 0.1300700206922
            0.1138119324644 0.1000415587559 0.0883320908454 0.0783354401935 0.06976693743449
            0.06239312536719
        """),
    ),
    Reference(
        "Lanczos2",
        _three_exponentials,
        ([1.2, 0.3, 5.6, 5.5, 6.5, 7.6], [0.5, 0.7, 3.6, 4.2, 4, 6.3]),
        [0.096251029939, 1.0057332849, 0.86424689056, 3.0078283915, 1.5529016879, 5.00287981],
        2.2299428125e-11,
        _LANCZOS_X,
        _numbers("""
            2.5134 2.04433 1.6684 1.36642 1.12323 0.92689 0.767934 0.638878 0.533784 0.447936 0.377585
            0.319739 0.272013 0.232497 0.199659 0.17227 0.149341 0.13007 0.113812 0.100042 0.0883321
            0.0783354 0.0697669 0.0623931
        """),
    ),
    Reference(
        "Lanczos3",
        _three_exponentials,
        ([1.2, 0.3, 5.6, 5.5, 6.5, 7.6], [0.5, 0.7, 3.6, 4.2, 4, 6.3]),
        [0.086816414977, 0.95498101505, 0.84400777463, 2.9515951832, 1.5825685901, 4.9863565084],
        1.6117193594e-08,
        _LANCZOS_X,
        _numbers("""
            2.5134 2.0443 1.6684 1.3664 1.1232 0.9269 0.7679 0.6389 0.5338 0.4479 0.3776 0.3197 0.272 0.2325
            0.1997 0.1723 0.1493 0.1301 0.1138 0.1 0.0883 0.0783 0.0698 0.0624
        """),
    ),
    Reference(
        "MGH17",
        lambda b, x: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]),
        ([50, 150, -100, 1, 2], [0.5, 1.5, -1, 0.01, 0.02]),
        [0.37541005211, 1.9358469127, -1.4646871366, 0.01286753464, 0.022122699662],
        5.4648946975e-05,
        _numbers("""
            0 10 20 30 40 50 60 70 80 90 100 110 120 130 140 150 160 170 180 190 200 210 220 230 240 250 260
            270 280 290 300 310 320
        """),
        _numbers("""
            0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.85 0.818 0.784 0.751 0.718 0.685 0.658 0.628 0.603
            0.58 0.558 0.538 0.522 0.506 0.49 0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.42 0.414 0.411
            0.406
        """),
    ),
    Reference(
        "Rat42",
        lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
        ([100, 1, 0.1], [75, 2.5, 0.07]),
        [72.462237576, 2.6180768402, 0.067359200066],
        8.0565229338,
        _numbers("""
            9 14 21 28 42 57 63 70 79
        """),
        _numbers("""
            8.93 10.8 18.59 22.33 39.35 56.11 61.73 64.62 67.08
        """),
    ),
    Reference(
        "Rat43",
        lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]),
        ([100, 10, 1, 1], [700, 5, 0.75, 1.3]),
        [699.6415127, 5.2771253025, 0.75962938329, 1.2792483859],
        8786.404908,
        _numbers("""
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15
        """),
        _numbers("""
            16.08 33.83 65.8 97.2 191.55 326.2 386.87 520.53 590.03 651.92 724.93 699.56 689.96 637.56
            717.41
        """),
    ),
    Reference(
        "Eckerle4",
        lambda b, x: (b[0] / b[1]) * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
        ([1, 10, 500], [1.5, 5, 450]),
        [1.5543827178, 4.0888321754, 451.54121844],
        0.0014635887487,
        _numbers("""
            400 405 410 415 420 425 430 435 436.5 438 439.5 441 442.5 444 445.5 447 448.5 450 451.5 453
            454.5 456 457.5 459 460.5 462 463.5 465 470 475 480 485 490 495 500
        """),
        _numbers("""
            0.0001575 0.0001699 0.000235 0.0003102 0.0004917 0.000871 0.0017418 0.00464 0.0065895 0.0097302
            0.0149002 0.023731 0.0401683 0.0712559 0.1264458 0.2073413 0.2902366 0.3445623 0.3698049
            0.3668534 0.3106727 0.2078154 0.1164354 0.0616764 0.03372 0.0194023 0.0117831 0.0074357
            0.0022732 0.00088 0.0004579 0.0002345 0.0001586 0.0001143 7.1e-05
        """),
    ),
]
