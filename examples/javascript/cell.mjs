// Cells: what counts as nothing, and the one place where files that a cell names are read.

import { readFileSync, realpathSync, statSync } from "node:fs";
import { join, sep } from "node:path";

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

// A path, or {"base64": ...} -> bytes; a path may lead nowhere out of root.
export function bytes(value, root, limits = {}) {
  if (isEmpty(value)) throw new Absent("empty cell");
  const most = Math.min(limits.cell_bytes ?? LARGEST, LARGEST);
  const found = typeof value?.base64 === "string" ? Buffer.from(value.base64, "base64") : read(value, root, most);
  if (found.length > most) throw new Unreadable(`${found.length} bytes: too large, expected at most ${most}`);
  return found;
}

function read(value, root, most) {
  if (typeof value !== "string") throw new Unreadable("expected a path or bytes");
  let place;
  try {
    place = realpathSync(join(value.startsWith(sep) ? "" : root, value));
  } catch {
    throw new Unreadable("no such file");
  }
  if (!place.startsWith(realpathSync(root) + sep)) throw new Unreadable("outside the data root");
  const facts = statSync(place);
  if (!facts.isFile()) throw new Unreadable("not a plain file");
  if (facts.size > most) throw new Unreadable(`${facts.size} bytes: too large, expected at most ${most}`);
  return readFileSync(place);
}
