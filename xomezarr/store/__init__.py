"""Open, find and publish Zarr groups: local, remote, in memory, in a single file.

A store is a path, a URL that fsspec knows, or a store object of zarr or obstore.

`places` says what that is, `nodes` what lies there, `marks` whether it is whole; `opening` opens groups, `contents`
what is in them. `publishing` makes new ones, where `replacing` lets it: under `locks`, or in place (`emptying`).
`overlaps` tells whether two places are one.
"""

from xomezarr.store.contents import (
    arrays_in,
    check_array,
    check_inside,
    check_not_between,
    find_array,
    find_member,
    label_names,
    labels_of,
    listed_labels,
    open_array,
    open_member,
)
from xomezarr.store.emptying import begin_anew, erase
from xomezarr.store.locks import alone, changing
from xomezarr.store.marks import begun, check_complete, is_begun, unmarked, withheld, withhold
from xomezarr.store.nodes import (
    ALL_DOCUMENTS,
    DOCUMENTS,
    LEFT_OVER,
    delete_documents,
    groups_around,
    held_in,
    member_path,
    names_in,
)
from xomezarr.store.opening import (
    exists,
    groups_above,
    is_bare,
    not_a_store,
    open_group,
    tidy_beside,
    unfinished_beside,
    writable_group,
)
from xomezarr.store.overlaps import address, apart, check_apart, overlap
from xomezarr.store.places import (
    SUFFIXES,
    StoreArgument,
    below,
    check_not_read_only,
    default_name,
    is_local,
    is_single_file,
    opened_store,
    parents,
    read_mode,
    resolve,
)
from xomezarr.store.publishing import Building, Unfinished, building, publish
from xomezarr.store.replacing import check_changeable, check_free, check_no_file_name, warn_of_others

__all__ = [
    "ALL_DOCUMENTS",
    "DOCUMENTS",
    "LEFT_OVER",
    "SUFFIXES",
    "Building",
    "StoreArgument",
    "Unfinished",
    "address",
    "alone",
    "apart",
    "arrays_in",
    "begin_anew",
    "begun",
    "below",
    "building",
    "changing",
    "check_apart",
    "check_array",
    "check_changeable",
    "check_complete",
    "check_free",
    "check_inside",
    "check_no_file_name",
    "check_not_between",
    "check_not_read_only",
    "default_name",
    "delete_documents",
    "erase",
    "exists",
    "find_array",
    "find_member",
    "groups_above",
    "groups_around",
    "held_in",
    "is_bare",
    "is_begun",
    "is_local",
    "is_single_file",
    "label_names",
    "labels_of",
    "listed_labels",
    "member_path",
    "names_in",
    "not_a_store",
    "open_array",
    "open_group",
    "open_member",
    "opened_store",
    "overlap",
    "parents",
    "publish",
    "read_mode",
    "resolve",
    "tidy_beside",
    "unfinished_beside",
    "unmarked",
    "warn_of_others",
    "withheld",
    "withhold",
    "writable_group",
]
