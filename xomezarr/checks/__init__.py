"""What OME-Zarr demands, whatever version it is written in: one rule, one function.

Each function yields what breaks its rule; its docstring is the demand, with the number by which findings
name it. MUST gives an error, SHOULD a warning. The rules of JSON alone (types, required keys) live in `spec`,
those that need the store in `validate`.

Numbers up to 90 are those of the list of rules of OME-Zarr 0.4, ``"0.5a"`` and the like came with 0.5. These are
of 0.3, and went with it:

====  ================================================================================================
0.3a  axes are names, each of t, c, z, y, x
0.3b  they stand in this order
0.3c  the group's attribute ``_ARRAY_DIMENSIONS`` repeats them
====  ================================================================================================

These came with 0.6:

====  ================================================================================================
0.6a  there are coordinate systems with names of their own and axes, among them that of the levels
0.6b  one scale, with one translation after it at most, leads from each level to the same system
0.6c  what else leads somewhere leads from that system to another one that is listed
0.6d  a scene lists transformations, each from one named coordinate system to another
0.6e  these systems are there: in the image at the path that is given, or in the scene
0.6f  from each coordinate system of an image or a scene transformations lead to every other, be it backward
0.6g  an array of a transformation has the shape that its axes ask for, a field also an axis for what it holds
====  ================================================================================================

And these are xomezarr's own:

====  ================================================================================================
91    scales are positive, scales and translations finite
92    the path of a dataset, label, well, image or series stays inside the group
93    several multiscales differ in name
94    optional fields have the types that the official schemas give them
95    ome-zarr-models accepts what is written
96    the group holds something of OME-Zarr, of one version that can be told
97    a level's shape, scale and translation together cover what level 0 covers
98    a path leads to an array or group that can be read
99    ``multiscales`` is a list of at least one object
100   the window of a channel runs from smaller to larger numbers
101   orientations are those of RFC-4, of axes of space, along lines of their own
102   two ways from one coordinate system to another lead to the same place
103   coordinates that lie beside the pixels of a level are those of the level
104   the matrix that leads to another coordinate system has the rank that its shape allows
105   all levels have the dtype of level 0
106   a dataset or label image is listed once
107   metadata hold finite numbers alone, as JSON has no others
108   arrays have pixels
110   a level's pixels lie where its translation puts them, as far as they tell
111   they are as far apart as its scale says
112   so are those of labels, and their metadata put them where those of the image put its pixels
113   (a note) where a level lies its pixels do not tell
114   a level shows what the level before it shows, the same way round
115   of labels a level has those alone that the level before has
116   (a note) which chunks are not there, and read as the fill value
117   no chunk lies beyond its array
128   no part of it is being written, nor was when its writer was stopped
129   its levels have the pixels that were appended, and no further ones, unless room was made for these
====  ================================================================================================

These are of RFC-9, of a hierarchy in a single file, which is a zip file:

====  ================================================================================================
120   zarr.json of the root stands first, the others follow breadth first, then all else
121   the comment names the version of the hierarchy in JSON, and what it says is true
122   entries are not compressed by zip
123   the file is of the extension ZIP64
124   arrays of many chunks have shards
125   no single file is in another
126   the name of the file ends with .ozx
127   (own) entries differ in name, and their names are relative paths with forward slashes
====  ================================================================================================
"""

from __future__ import annotations

from xomezarr.checks.images import (
    AXIS_RULES,
    COARSER_WITHIN,
    IMAGE_RULES,
    LEVEL_RULES,
    MULTISCALE_RULES,
    NAMED_AXIS_RULES,
    SYSTEM_AXIS_RULES,
    AxisRule,
    ascending_window,
    channel_count,
    check_axes,
    check_image,
    check_level,
    check_multiscale,
    coarser_by,
    hex_color,
    leads_below,
)
from xomezarr.checks.labels import LABEL_RULES, distinct_colors, distinct_rows, repeated_colors
from xomezarr.checks.plates import (
    ACQUISITION_RULES,
    ALPHANUMERIC,
    FIELD_RULES,
    LINE_RULES,
    PLAIN_FIELD_RULES,
    PLATE_RULES,
    PLATE_WELL_RULES,
    WELL_RULES,
    FieldRule,
    distinct_acquisitions,
    distinct_lines,
    row_and_column,
)
from xomezarr.checks.strict import STRICT_LENIENT, escalate

__all__ = [
    "ACQUISITION_RULES",
    "ALPHANUMERIC",
    "AXIS_RULES",
    "COARSER_WITHIN",
    "FIELD_RULES",
    "IMAGE_RULES",
    "LABEL_RULES",
    "LEVEL_RULES",
    "LINE_RULES",
    "MULTISCALE_RULES",
    "NAMED_AXIS_RULES",
    "PLAIN_FIELD_RULES",
    "PLATE_RULES",
    "PLATE_WELL_RULES",
    "STRICT_LENIENT",
    "SYSTEM_AXIS_RULES",
    "WELL_RULES",
    "AxisRule",
    "FieldRule",
    "ascending_window",
    "channel_count",
    "check_axes",
    "check_image",
    "check_level",
    "check_multiscale",
    "coarser_by",
    "distinct_acquisitions",
    "distinct_colors",
    "distinct_lines",
    "distinct_rows",
    "escalate",
    "hex_color",
    "leads_below",
    "repeated_colors",
    "row_and_column",
]
