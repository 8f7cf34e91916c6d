"""Images as layers of napari, and back.

A layer has one scale and one translation, those of level 0, and lies where these put the centres of pixels. napari puts
coarser levels by the ratio of shapes; where they really lie stands in the layer's ``metadata``.
"""

from xomezarr.interchange.napari.joined import from_napari
from xomezarr.interchange.napari.shown import layers_of, to_napari, uneven

__all__ = ["from_napari", "layers_of", "to_napari", "uneven"]
