"""The three pictures of the README: python docs/pictures.py draws them into docs/pictures/, and names them there."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import chainrule as cr

FOLDER = Path(__file__).parent / "pictures"


def descent() -> None:
    """Gradient descent on a bowl, F = a² + 3 b²: each step leaves its contour line at a right angle."""
    cr.minimize(lambda a: a[0] ** 2 + 3.0 * a[1] ** 2, [-4.0, 2.0], step=0.12, max_iter=25).plot()


def paths() -> None:
    """`cr.trace` of x² + x² sin x at 2: values above, derivatives below, and x reaches f on three paths."""
    cr.trace(lambda x: x**2 + x**2 * np.sin(x), 2.0).plot()


def network() -> None:
    """A network trained on the cars that ship: one car's numbers in its units, a line for each weight."""
    cars = cr.load_dataset("auto-mpg")
    model = cr.TableRegressor((8, 4), networks=1, random_state=0).fit(cars.drop(columns="mpg"), cars["mpg"])
    model.plot_network(cars.drop(columns="mpg").iloc[[14]])


PICTURES: tuple[Callable[[], None], ...] = (descent, paths, network)


def main(folder: Path = FOLDER) -> None:
    """Draw all, and write the list of them."""
    folder.mkdir(exist_ok=True)
    lines = ["# The pictures of the README", "", "Drawn by `python docs/pictures.py`.", ""]
    for draw in PICTURES:
        draw()
        out = io.BytesIO()
        plt.savefig(out, dpi=110, bbox_inches="tight", facecolor="white")
        plt.close("all")
        Image.open(out).convert("RGB").quantize(64).save(folder / f"{draw.__name__}.png", optimize=True)
        lines += [f"![{draw.__name__}]({draw.__name__}.png)", "", draw.__doc__ or "", ""]
    (folder / "README.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
