// Pictures: PNG of up to 8 bits -> (size, size, 3) uint8, RGB, bit for bit what Pillow makes of them.
//
// Transparency is laid on white and the picture made square as the recipe says. Other formats are refused: two JPEG
// decoders don't agree to the last bit.

import { PNG } from "pngjs";

import { bytes, isEmpty } from "./cell.mjs";
import { Absent, Refused, Unreadable } from "./refused.mjs";
import { cropped, padded, resized } from "./resize.mjs";

const HEADER = 33; // bytes before the first chunk of data
const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

export function picture({ name, settings, statistics }, { limits }) {
  const columns = [settings.column].flat();
  if (columns.length > 1 || statistics.places > 1) throw new Refused(`${name}: several pictures of a row are not read here`);
  const { size } = statistics;
  const load = (value, root) => {
    if (isEmpty(value)) throw new Absent("empty cell");
    return { item: square(decoded(bytes(value, root, limits), limits), size, settings.fit).data };
  };
  const batch = (items, Tensor) => {
    const length = size * size * 3;
    const all = new Uint8Array(items.length * length);
    items.forEach((item, row) => { if (item) all.set(item, row * length); });
    return new Tensor("uint8", all, [items.length, size, size, 3]);
  };
  return { columns, several: false, load, batch };
}

// Bytes -> {width, height, data (H * W * 3)}
export function decoded(content, limits = {}) {
  if (!content.subarray(0, 8).equals(SIGNATURE)) throw new Unreadable("not a PNG, the only format that is read here");
  if (content.length < HEADER) throw new Unreadable("broken picture: its header is cut off");
  const [width, height, depth] = [content.readUInt32BE(16), content.readUInt32BE(20), content[24]];
  const most = limits.pixels ?? 64_000_000;
  if (width * height > most) throw new Unreadable(`${width} x ${height} pixels: too large, expected at most ${most}`);
  if (depth > 8) throw new Unreadable(`a PNG of ${depth} bits, expected 8`);
  if (content.indexOf("eXIf", 8, "latin1") > 0) throw new Unreadable("a PNG with EXIF data, which may turn it");
  let found;
  try {
    found = PNG.sync.read(content);
  } catch (error) {
    throw new Unreadable(`broken picture: ${error.message}`);
  }
  return { width, height, data: onWhite(found.data) };
}

// RGBA -> RGB: transparency on white, with Pillow's rounding (libImaging/AlphaComposite.c)
function onWhite(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    const own = rgba[from + 3] * 128;
    const white = 255 * 128 - own;
    for (let c = 0; c < 3; c += 1) {
      const sum = rgba[from + c] * own + 255 * white + 128 * 128;
      rgb[to + c] = (sum + Math.floor(sum / 256)) >>> 15;
    }
  }
  return rgb;
}

function square(picture, size, fit) {
  if (picture.width === size && picture.height === size) return picture;
  return { pad: padded, crop: cropped, stretch: (p, s) => resized(p, s, s) }[fit](picture, size);
}
