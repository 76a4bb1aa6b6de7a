// Pictures: PNG of up to 8 bits -> (size, size, 3) uint8, RGB, bit for bit what Pillow makes of them.
//
// Several pictures of a row are (places, size, size, 4), the last is 255 where there is one. Transparency is laid on
// white and the picture made square as the recipe says. Other formats are refused: two JPEG decoders don't agree to the
// last bit.

import { convertIndexedToRgb, decode } from "fast-png";

import { bytes, isEmpty } from "./cell.mjs";
import { Absent, Unreadable } from "./refused.mjs";
import { cropped, padded, resized } from "./resize.mjs";

const HEADER = 33; // bytes before the first chunk of data
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

export function picture({ settings, statistics }, { limits }) {
  const columns = [settings.column].flat();
  const { size, places = 1 } = statistics;
  const one = (value, read) => {
    if (isEmpty(value)) throw new Absent("empty cell");
    return square(decoded(bytes(value, read, limits), limits), size, settings.fit).data;
  };
  const named = columns.length > 1;
  const single = (value, read) => ({ item: one(Array.isArray(value) && value.length === 1 ? value[0] : value, read) });
  const all = (value, read) => {
    const pictures = named ? columns.map((column) => [column, value[column]]) : listed(value, places);
    return several(pictures, places, size, (picture) => one(picture, read));
  };
  const shape = places === 1 ? [size, size, 3] : [places, size, size, 4];
  const batch = (items, Tensor) => {
    const length = shape.reduce((a, b) => a * b);
    const filled = new Uint8Array(items.length * length);
    items.forEach((item, row) => { if (item) filled.set(item, row * length); });
    return new Tensor("uint8", filled, [items.length, ...shape]);
  };
  return { columns, several: named, load: places === 1 ? single : all, batch };
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
  if (SIGNATURE.some((byte, n) => content[n] !== byte)) throw new Unreadable("not a PNG, the only format that is read here");
  if (content.length < HEADER) throw new Unreadable("broken picture: its header is cut off");
  const head = new DataView(content.buffer, content.byteOffset, HEADER);
  const [width, height, depth] = [head.getUint32(16), head.getUint32(20), head.getUint8(24)];
  const most = limits.pixels ?? 64_000_000;
  if (width * height > most) throw new Unreadable(`${width} x ${height} pixels: too large, expected at most ${most}`);
  if (depth > 8) throw new Unreadable(`a PNG of ${depth} bits, expected 8`);
  if (depth < 8 && head.getUint8(28)) throw new Unreadable(`an interlaced PNG of ${depth} bits, expected 8`);
  if (holds(content, "eXIf")) throw new Unreadable("a PNG with EXIF data, which may turn it");
  let found;
  try {
    found = rgba(decode(content, { checkCrc: true }));
  } catch (error) {
    throw new Unreadable(`broken picture: ${error.message}`);
  }
  return { width, height, data: onWhite(found) };
}

function holds(content, name) {
  const letters = [...name].map((letter) => letter.charCodeAt(0));
  for (let n = content.indexOf(letters[0], 8); n >= 0; n = content.indexOf(letters[0], n + 1)) {
    if (letters.every((letter, i) => content[n + i] === letter)) return true;
  }
  return false;
}

// What the decoder gives (grey or colour, with or without alpha, a palette, less than 8 bits) -> RGBA
function rgba(png) {
  const { width, height, transparency } = png;
  const samples = png.palette ? convertIndexedToRgb(png) : unpacked(png);
  const channels = png.palette ? png.palette[0].length : png.channels;
  const scale = png.palette ? 1 : 255 / (2 ** png.depth - 1);
  const full = new Uint8Array(width * height * 4);
  for (let n = 0; n < width * height; n += 1) {
    const own = samples.subarray(n * channels, (n + 1) * channels);
    const [r, g, b] = channels < 3 ? [own[0], own[0], own[0]] : own;
    const seen = transparency && !png.palette && transparency.every((value, c) => value === own[c]) ? 0 : 255;
    const alpha = channels === 2 ? own[1] : channels === 4 ? own[3] : seen;
    full.set([r * scale, g * scale, b * scale, alpha], 4 * n);
  }
  return full;
}

// Samples of 1, 2 or 4 bits, of which each row begins with a byte -> one byte each
function unpacked({ data, width, height, depth }) {
  if (depth === 8) return data;
  const row = Math.ceil((width * depth) / 8);
  return Uint8Array.from({ length: width * height }, (_, n) => {
    const bit = (n % width) * depth;
    return (data[Math.floor(n / width) * row + (bit >> 3)] >> (8 - depth - (bit % 8))) & (2 ** depth - 1);
  });
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
