"""From a figure's data to the shapes of an SVG: geometry only, colours are classes (pure)."""

from __future__ import annotations

from app.demos.drawing import grids, plots
from app.demos.drawing.scene import WIDTH, Scene
from app.demos.result import Bars, Drawn, Field2d, Graph, Heatmap, ImageGrid, Lines


def draw(figure: Drawn, width: float = WIDTH) -> Scene:
    """Tables and small multiples have no scene of their own; raises TypeError for them."""
    match figure:
        case Lines():
            return plots.lines(figure, width)
        case Bars():
            return plots.bars(figure, width)
        case Field2d():
            return plots.field(figure, width)
        case Heatmap():
            return grids.heatmap(figure, width)
        case ImageGrid():
            return grids.images(figure, width)
        case Graph():
            return grids.graph(figure)
    raise TypeError(f"{type(figure).__name__} is not drawn as one scene")
