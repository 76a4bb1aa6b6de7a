// Texts -> token ids, as the export says: words or byte-level pieces of words by its tokenizer, or hashed n-grams.

import { isEmpty, pieces, wellFormed } from "./cell.mjs";
import { ngrams } from "./ngrams.mjs";
import { Absent, Refused, Unreadable } from "./refused.mjs";

const UNKNOWN = 1;
const UTF8 = new TextEncoder();
const MOST = 100_000; // characters
const WORD = String.raw`\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}`;
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, "gu"); // the pre-tokenizer "Whitespace"
const PARTS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

export function text({ name, settings, statistics }, { tokenizer, limits }) {
  if (settings.tokenizer !== null) throw new Refused(`${name}: a pretrained tokenizer is not read here`);
  const cut = { words, bpe, ngrams: () => ngrams(settings) }[settings.tokens];
  if (!cut) throw new Refused(`${name}: words cut by ${settings.tokens} are not cut here`);
  const several = Array.isArray(settings.column);
  const columns = [settings.column].flat();
  const encode = cut(tokenizer);
  const load = (value) => {
    const given = several ? joined(value, columns, settings.separator) : content(value);
    if ([...given].length > (limits.characters ?? Infinity)) throw new Unreadable(`longer than ${limits.characters} characters`);
    const ids = encode(normal(given, settings.lowercase)).slice(0, statistics.length);
    return { item: ids.length ? ids : [UNKNOWN] };
  };
  return { columns, several, load, batch: padded };
}

// Rows of ids -> int64 (rows, longest of them), 0 is padding; a text that isn't there is one unknown word
function padded(items, Tensor) {
  const rows = items.map((item) => item ?? [UNKNOWN]);
  const length = Math.max(...rows.map((ids) => ids.length));
  const all = new BigInt64Array(rows.length * length);
  rows.forEach((ids, row) => ids.forEach((id, n) => { all[row * length + n] = BigInt(id); }));
  return new Tensor("int64", all, [rows.length, length]);
}

function content(value) {
  if (isEmpty(value)) throw new Absent(typeof value === "string" ? "empty text" : "empty cell");
  if (typeof value === "object") throw new Unreadable("expected a text");
  return String(value);
}

function joined(record, columns, separator) {
  const found = [];
  for (const column of columns) {
    if (isEmpty(record[column])) continue;
    const one = content(record[column]);
    if (pieces(one.replaceAll("\0", " ")).length) found.push(one);
  }
  return found.join(separator);
}

// Composed (NFC), white space folded, lower case where the recipe says so
function normal(given, lowercase) {
  const whole = [...given.replaceAll("\0", " ")].slice(0, MOST).join("").normalize("NFC");
  const folded = pieces(wellFormed(whole)).join(" ");
  if (!folded) throw new Absent("empty text");
  return lowercase ? folded.toLowerCase() : folded;
}

function words(tokenizer) {
  const { vocab } = expected(tokenizer, "WordLevel", "Whitespace");
  const known = new Map(Object.entries(vocab));
  return (given) => (given.match(WORDS) ?? []).map((word) => known.get(word) ?? UNKNOWN);
}

// Byte-level byte-pair encoding (Sennrich et al. 2016): of two neighbours, those that were merged first in training
function bpe(tokenizer) {
  const { vocab, merges } = expected(tokenizer, "BPE", "ByteLevel");
  const known = new Map(Object.entries(vocab));
  const ranks = new Map(merges.map((pair, rank) => [typeof pair === "string" ? pair : pair.join(" "), rank]));
  const letters = byteLetters();
  return (given) => {
    const spaced = given.startsWith(" ") ? given : ` ${given}`;
    return (spaced.match(PARTS) ?? []).flatMap((part) => {
      const start = [...UTF8.encode(part)].map((byte) => letters[byte]);
      return merged(start, ranks).map((piece) => known.get(piece)).filter((id) => id !== undefined);
    });
  };
}

function merged(found, ranks) {
  for (;;) {
    let best = Infinity, place = -1;
    for (let n = 0; n + 1 < found.length; n += 1) {
      const rank = ranks.get(`${found[n]} ${found[n + 1]}`) ?? Infinity;
      if (rank < best) [best, place] = [rank, n];
    }
    if (place < 0) return found;
    found = [...found.slice(0, place), found[place] + found[place + 1], ...found.slice(place + 2)];
  }
}

// Byte -> the letter that stands for it in the vocabulary (GPT-2's table)
function byteLetters() {
  const plain = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(plain(byte) ? byte : next++));
}

function expected(tokenizer, model, cutter) {
  const got = [tokenizer.model.type, tokenizer.pre_tokenizer?.type, tokenizer.normalizer, tokenizer.post_processor?.type];
  if (got[0] !== model || got[1] !== cutter || got[2] || (got[3] && got[3] !== "ByteLevel")) {
    throw new Refused(`this tokenizer is not read here: ${JSON.stringify(got)}`);
  }
  return tokenizer.model;
}
