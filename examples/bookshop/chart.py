"""Draws the measurements."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import StrMethodFormatter

COLOURS = {"no-cache": "#b5652b", "per-view": "#1f5b43", "fragment": "#5c9a7d", "low-level": "#a3c9b4"}
INK, SOFT, PAPER = "#22302a", "#66756d", "#fbfaf6"


def draw(measurements, labels, path):
    """Writes one bar a measurement, grouped by cache; the ending of `path` chooses the format.

    `labels` gives the name of each way of caching.
    """
    matplotlib.rcParams["svg.hashsalt"] = "bookshop"
    matplotlib.rcParams["font.family"] = ["DejaVu Sans"]
    positions, groups = _positions(measurements)
    figure, axes = plt.subplots(figsize=(9, 1.9 + 0.38 * (positions[-1] + 1)), facecolor=PAPER, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    axes.set_facecolor(PAPER)
    fastest = max(each.per_second for each in measurements)
    for position, each in zip(positions, measurements, strict=True):
        axes.barh(position, each.per_second, height=0.82, color=COLOURS[each.way])
        text = f"{each.per_second:,.0f}  ({each.milliseconds:.2f} ms)"
        axes.text(each.per_second + fastest * 0.01, position, text, va="center", color=INK, fontsize=9)
    axes.set_yticks(list(groups.values()), groups.keys(), color=INK, fontsize=11)
    axes.invert_yaxis()
    axes.set_xlim(0, fastest * 1.2)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(length=0, labelcolor=SOFT)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(axis="x", color="#e2e0d6")
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("requests a second, one after the other (median time of a request)", color=SOFT)
    axes.set_title("The bestseller page, by cache and way of caching", loc="left", color=INK, fontsize=14, pad=34)
    ways = dict.fromkeys(each.way for each in measurements)
    handles = [plt.Rectangle((0, 0), 1, 1, color=COLOURS[way]) for way in ways]
    axes.legend(
        handles,
        [labels[way] for way in ways],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(ways),
        frameon=False,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _positions(measurements):
    """Where each bar goes, with a gap between caches; and cache -> the middle of its bars."""
    positions, members = [], {}
    for index, each in enumerate(measurements):
        rows = members.setdefault(each.cache, [])
        position = index + 0.6 * (len(members) - 1)
        rows.append(position)
        positions.append(position)
    return positions, {cache: sum(rows) / len(rows) for cache, rows in members.items()}
