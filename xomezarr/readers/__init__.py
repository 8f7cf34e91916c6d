"""Readers of image files: `opening` opens what the `table` says, and each family of files has a module.

`filearray` and `raw` are what they share: arrays in files, which are opened when they are read.
"""

from xomezarr.readers.opening import Opened, open_image, open_source

__all__ = ["Opened", "open_image", "open_source"]
