// Cells: what counts as nothing, and the bytes of a file in a cell.

import { Absent, Unreadable } from "./refused.mjs";

const LARGEST = 2 ** 28; // bytes that are read of one cell at the most
// What Python takes for white space; JavaScript's own class lacks the first four and has one more.
export const SPACES = /[[\x1c-\x1f\x85\s]--\ufeff]+/v;

export function isEmpty(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return true;
  if (typeof value === "string") return pieces(value).length === 0;
  return typeof value === "object" && Object.keys(value).length === 0;
}

// As Python's str.split()
export function pieces(text) {
  return text.split(SPACES).filter(Boolean);
}

// Half a pair of UTF-16 is no character.
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "?");
}

// Bytes, {"base64": ...}, or a path, which read(path, most) opens -> Uint8Array
export function bytes(value, read, limits = {}) {
  if (isEmpty(value)) throw new Absent("empty cell");
  const most = Math.min(limits.cell_bytes ?? LARGEST, LARGEST);
  const found = content(value, read, most);
  if (found.length > most) throw new Unreadable(`${found.length} bytes: too large, expected at most ${most}`);
  return found;
}

function content(value, read, most) {
  if (value instanceof Uint8Array) return value;
  if (typeof value?.base64 === "string") return decoded(value.base64);
  if (typeof value !== "string" || typeof read !== "function") throw new Unreadable("expected a path or bytes");
  return read(value, most);
}

function decoded(base64) {
  try {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  } catch {
    throw new Unreadable("not Base64");
  }
}
