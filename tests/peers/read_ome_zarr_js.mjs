// Called by read_ome_zarr_js.py with a store and a folder: prints what ome-zarr.js tells of the image as JSON, and puts
// the pixels of each level into the folder.

import { writeFileSync } from "node:fs";

import FileSystemStore from "@zarrita/storage/fs";
import { NgffImage } from "ome-zarr.js";
import * as zarr from "zarrita";

const [place, folder] = process.argv.slice(-2);
const store = new FileSystemStore(place);
const image = await NgffImage.load(store);
// where an image has no rendering it makes some up
const told = image.imgAttrs.omero !== undefined;
const levels = [];
for (const [index, path] of image.paths.entries()) {
  const array = await image.openArray(path);
  const { data } = await zarr.get(array);
  writeFileSync(`${folder}/${index}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  levels.push({ shape: array.shape, dtype: array.dtype, scale: image.scales[index] });
}
console.log(
  JSON.stringify({
    levels,
    axes: image.axes,
    name: image.multiscales[0].name ?? null,
    channels: told ? image.omero.channels.map((channel) => channel.label) : null,
  }),
);
