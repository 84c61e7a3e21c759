"""Floor 5, insight: an explanation in words and in LaTeX."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from .words import Section, Sheet, counted, label, number, update_sections, vector

if TYPE_CHECKING:
    from .chains import Link
    from .explain import Explanation

# In LaTeX a vector of more entries is written as its symbol alone.
_ENTRIES = 4


def explanation_sheet(found: Explanation) -> Sheet:
    """The factors, the paths, the limit, the mean and the update."""
    letter, l, *_ = found.weight
    name = label(found.weight)
    title = f"∂E/∂{name} = {number(found.derivative, 9)}"
    where = f"from {found.input_name} to unit {found.chain.unit} of layer {l}" if letter == "A" else (
        f"the bias of unit {found.chain.unit} of layer {l}"
    )  # fmt: skip
    about = Section("", [(name, number(found.value, 9), where), ("E", number(found.error, 9), _error_words(found))])
    sections = [about, _factors(found), _paths(found), _limit(found)]
    if not found.is_of_training and (found.n_rows > 1 or found.penalty or found.l1):
        sections.append(_mean(found))
    if found.update is not None:
        sections += update_sections(found.update)
    return Sheet(title, sections)


def _error_words(found: Explanation) -> str:
    formula = f" = {found.loss_formula}" if found.loss_formula else ""
    rows = "" if found.n_rows == 1 else f", the sum over {counted(found.n_rows, 'row')}"
    return f"the error, {found.loss}{formula}{rows}"


def _factors(found: Explanation) -> Section:
    """The chain of the row that is shown, from the error down to the weight."""
    chain, (letter, l, *rest) = found.chain, found.weight
    many = found.n_rows > 1
    heading = "The factors, from the error to the weight"
    if many:
        heading += f" (row {found.row}, which contributes most: {number(chain.product)})"
    unit, links = chain.unit, chain.links
    part = Section(heading)
    top = links[0]
    pick = unit if top.layer == l else None
    part.rows.append(("y", _entry(chain.y, pick), "the target"))
    part.rows.append(("ŷ", _entry(chain.output, pick), f"the output ({', '.join(found.output_names[:4])})"))
    if chain.row_weight != 1.0:
        part.rows.append(("weight", number(chain.row_weight), "of the row: its error is multiplied by it"))
    part.rows += _output_rows(top, pick, chain.fused)
    for above, link in itertools.pairwise(links):
        pick = unit if link.layer == l else None
        part.rows += _hidden_rows(above, link, pick)
    what = f"a_{l - 1}[{rest[0]}]" if l > 1 else f"x[{rest[0]}]"
    symbol, words = (what, f"the input: {found.input_name}") if letter == "A" else ("1", "a bias has the input 1")
    part.rows.append((symbol, number(chain.input), words))
    part.rows.append((f"∂E/∂{label(found.weight)}", number(chain.product, 9), f"= {symbol} · δ_{l}[{unit}]"))
    return part


def _entry(values: np.ndarray, pick: int | None) -> str:
    return vector(values) if pick is None else number(values[pick])


def _of(pick: int | None) -> str:
    return "" if pick is None else f"[{pick}]"


def _output_rows(top: Link, pick: int | None, fused: bool) -> list[tuple[str, str, str]]:
    L, at = top.layer, _of(pick)
    rows = []
    if top.back is not None and top.slope is not None:
        rows.append((f"∂E/∂ŷ{at}", _entry(top.back, pick), "the error's slope"))
        rows.append((f"σ_{L}'(z_{L}{at})", _entry(top.slope, pick), f"the output's slope: {top.activation}"))
        words = "their product, which the kernels take at once" if fused else "their product"
    else:
        words = f"the slope of error and output ({top.activation}) at once"
    return [*rows, (f"δ_{L}{at} = ∂E/∂z_{L}{at}", _entry(top.delta, pick), words)]


def _hidden_rows(above: Link, link: Link, pick: int | None) -> list[tuple[str, str, str]]:
    m, at = link.layer, _of(pick)
    assert link.back is not None
    assert link.slope is not None
    row = "" if pick is None else f"[{pick}, k]"
    rows = [(f"Σ_k A_{m + 1}{row or '[j, k]'} δ_{m + 1}[k]", _entry(link.back, pick), f"what layer {m + 1} hands down")]
    if link.keep is not None:
        rows.append((f"dropout{at}", _entry(link.keep, pick), "0 where the unit was dropped, else 1/(1 − rate)"))
    rows.append((f"σ_{m}'(z_{m}{at})", _entry(link.slope, pick), f"the slope of layer {m}: {link.activation}"))
    rows.append((f"δ_{m}{at} = ∂E/∂z_{m}{at}", _entry(link.delta, pick), "their product"))
    return rows


def _paths(found: Explanation) -> Section:
    paths = found.paths
    row = f" of row {found.row}" if found.n_rows > 1 else ""
    if not paths.listed:
        return Section(f"All of {counted(paths.count, 'path')}{row} carry 0")
    if paths.count == 1:
        return Section(f"One path{row}: straight to the output")
    part = Section(f"The strongest of {paths.count:,} paths to the outputs{row}; all together they are the derivative")
    l = found.weight[1]
    for path in paths.listed:
        way = " → ".join(f"{m}:{unit}" for m, unit in enumerate(path.units, l))
        part.rows.append((way, number(path.value), "layer:unit" if path is paths.listed[0] else ""))
    left = paths.count - len(paths.listed)
    if left:
        part.rows.append(("the rest", number(paths.rest), counted(left, "path")))
    return part


def _limit(found: Explanation) -> Section:
    check = found.check
    part = Section("The limit: (E(w + h) − E(w − h))/2h in float64")
    for h, slope in list(zip(check.h, check.slopes, strict=True))[:7]:
        part.rows.append((f"h = {h:.0e}", number(slope, 12), "steadiest" if h == check.best_h else ""))
    if check.best_h not in check.h[:7]:
        part.rows.append((f"h = {check.best_h:.0e}", number(check.numerical, 12), "steadiest"))
    part.rows.append((found.dtype, number(check.stated, 12), "what the backward pass gave"))
    if check.kink:
        part.notes.append(
            f"this is a kink: the slope from the left is {number(check.left)}, from the right {number(check.right)}; "
            "any number between them is a derivative"
        )
    elif check.stated == check.numerical == 0.0:
        part.notes.append("both are exactly 0: E does not depend on this weight here")
    else:
        size = max(abs(check.numerical), 1e-300)
        own = min(16.0, max(0.0, -np.log10(max(check.uncertainty / size, 1e-16))))
        part.notes.append(f"they agree to {check.digits:.1f} digits; the difference itself is good to about {own:.1f}")
    return part


def _mean(found: Explanation) -> Section:
    part = Section("What training goes down: the mean, and the penalty")
    part.rows.append(("∂E/∂w / N", number(found.mean, 9), f"N = {number(found.mass)}"))
    if found.penalty:
        part.rows.append(("+ α w / N", number(found.penalty, 9), "slope of ½ α Σ‖A_l‖² / N"))
    if found.l1:
        part.rows.append(("+ λ sign(w) / N", number(found.l1, 9), "slope of λ Σ|A_l| / N"))
    if found.penalty or found.l1:
        part.rows.append(("together", number(found.total, 9), ""))
    return part


# ---------------------------------------------------------------- LaTeX


def explanation_latex(found: Explanation) -> str:
    """The factors as equations, one below the other."""
    chain, (letter, l, *rest) = found.chain, found.weight
    unit, links = chain.unit, chain.links
    lines = [_latex_line(link, unit if link.layer == l else None, link is links[0]) for link in links]
    index = ", ".join(map(str, rest))
    below = "1" if letter == "b" else (f"x[{rest[0]}]" if l == 1 else rf"a_{{{l - 1}}}[{rest[0]}]")
    lines.append(
        rf"\frac{{\partial E}}{{\partial {letter}_{{{l}}}[{index}]}} &= {below} \cdot \delta_{{{l}}}[{unit}] = "
        rf"{_number(chain.input)} \cdot {_number(links[-1].delta[unit], True)} = {_number(chain.product)}"
    )
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def _latex_line(link: Link, pick: int | None, is_top: bool) -> str:
    """δ of one layer as the product that it is; ⊙ multiplies entry by entry."""
    m, of = link.layer, _of(pick)
    times = r" \cdot " if pick is not None or link.delta.size == 1 else r" \odot "
    left, slope = rf"\delta_{{{m}}}{of} &= ", rf"\sigma_{{{m}}}'(z_{{{m}}}{of})"
    if is_top and (link.back is None or link.slope is None):
        return left + rf"\frac{{\partial E}}{{\partial z_{{{m}}}{of}}} = {_tex(link.delta, pick, False)}"
    if is_top:
        symbols = [rf"\frac{{\partial E}}{{\partial \hat y{of}}}", slope]
        factors = [link.back, link.slope]
    else:
        symbols = [rf"\bigl(A_{{{m + 1}}}\,\delta_{{{m + 1}}}\bigr){of}", slope]
        factors = [link.back, link.slope]
        if link.keep is not None:
            symbols.insert(1, rf"r_{{{m}}}{of}")
            factors.insert(1, link.keep)
    numbers = times.join(_tex(values, pick) for values in factors)
    return left + times.join(symbols) + rf" = {numbers} = {_tex(link.delta, pick, False)}"


def _tex(values: Any, pick: int | None, is_factor: bool = True) -> str:
    values = np.ravel(values if pick is None else values[pick])
    if values.size == 1:
        return _number(values[0], is_factor)
    if values.size > _ENTRIES:
        return r"(\,\cdots)"
    return r"\begin{pmatrix}" + r" \\ ".join(map(_number, values)) + r"\end{pmatrix}"


def _number(value: float, bracket: bool = False) -> str:
    """A number as LaTeX writes it, a negative one in brackets where it is a factor."""
    written = number(value)
    if "e" in written:
        mantissa, power = written.split("e")
        written = rf"{mantissa} \cdot 10^{{{int(power)}}}"
    return f"({written})" if bracket and value < 0 else written
