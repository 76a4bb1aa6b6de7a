// Pictures: PNG of up to 8 bits -> (size, size, 3) uint8, RGB, bit for bit what Pillow makes of them.
//
// Several pictures of a row are (places, size, size, 4), the last is 255 where there is one. Transparency is laid on
// white and the picture made square as the recipe says. Other formats are refused: two JPEG decoders don't agree to the
// last bit.

import { PNG } from "pngjs";

import { bytes, isEmpty } from "./cell.mjs";
import { Absent, Unreadable } from "./refused.mjs";
import { cropped, padded, resized } from "./resize.mjs";

const HEADER = 33; // bytes before the first chunk of data
const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

export function picture({ settings, statistics }, { limits }) {
  const columns = [settings.column].flat();
  const { size, places = 1 } = statistics;
  const read = (value, root) => {
    if (isEmpty(value)) throw new Absent("empty cell");
    return square(decoded(bytes(value, root, limits), limits), size, settings.fit).data;
  };
  const named = columns.length > 1;
  const one = (value, root) => ({ item: read(Array.isArray(value) && value.length === 1 ? value[0] : value, root) });
  const all = (value, root) => {
    const pictures = named ? columns.map((column) => [column, value[column]]) : listed(value, places);
    return several(pictures, places, size, (picture) => read(picture, root));
  };
  const shape = places === 1 ? [size, size, 3] : [places, size, size, 4];
  const batch = (items, Tensor) => {
    const length = shape.reduce((a, b) => a * b);
    const filled = new Uint8Array(items.length * length);
    items.forEach((item, row) => { if (item) filled.set(item, row * length); });
    return new Tensor("uint8", filled, [items.length, ...shape]);
  };
  return { columns, several: named, load: places === 1 ? one : all, batch };
}

// A list of pictures, or one -> [name, picture] of each
function listed(value, places) {
  const found = Array.isArray(value) ? value : [value];
  if (found.every(isEmpty)) throw new Absent("empty cell");
  if (found.length > places) throw new Unreadable(`${found.length} pictures, expected ${places} at the most`);
  return found.map((one, n) => [`picture ${n + 1}`, one]);
}

// Pictures of a row -> (places, size, size, 4): RGB, and 255 where there is a picture
function several(pictures, places, size, read) {
  const item = new Uint8Array(places * size * size * 4);
  const missing = [];
  let broken = false;
  pictures.forEach(([name, value], place) => {
    try {
      const rgb = read(value);
      const start = place * size * size;
      for (let n = 0; n < size * size; n += 1) item.set([rgb[3 * n], rgb[3 * n + 1], rgb[3 * n + 2], 255], 4 * (start + n));
    } catch (error) {
      if (!(error instanceof Absent || error instanceof Unreadable)) throw error;
      broken ||= error instanceof Unreadable;
      missing.push(`${name}: ${error.message}`);
    }
  });
  const told = missing.join("; ");
  if (missing.length === pictures.length) throw new (broken ? Unreadable : Absent)(`no picture: ${told}`);
  return { item, partly: told ? `${missing.length} of ${pictures.length} pictures missing: ${told}` : undefined };
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
