// Tables as text (RFC 4180): bytes -> rows, and rows -> a file that a spreadsheet may open.

const DELIMITERS = [",", ";", "\t", "|"];
const BOMS = [["utf-8", [0xef, 0xbb, 0xbf]], ["utf-16le", [0xff, 0xfe]], ["utf-16be", [0xfe, 0xff]]];
// As suffuse/csv_output.py has it: what a spreadsheet may evaluate, and numbers, which it may
const FORMULA = /^(?:[\t\r\n]|\s*[=+\-@＝＋－＠].)/su;
const PLAIN_NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

// Encodings that a file without a mark may have, if it isn't UTF-8: the reader says which.
export const ENCODINGS = ["gb18030", "big5", "shift_jis", "euc-kr", "windows-1252", "windows-1250", "windows-1251"];

// Bytes -> text; null where they are not in that encoding. Without one: what the file's mark says, else UTF-8.
export function decoded(bytes, encoding = null) {
  const marked = BOMS.find(([, mark]) => mark.every((byte, n) => bytes[n] === byte));
  try {
    return new TextDecoder(encoding ?? marked?.[0] ?? "utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

// Text -> {delimiter, header, rows: [{line, cells}]}; line counts from 1, the header's. Null where a quote has no end.
export function parsed(text) {
  const delimiter = delimiterOf(text);
  const rows = [];
  let cells = [], cell = "", quoted = false, line = 1, start = 1;
  const end = () => {
    cells.push(cell);
    if (cells.length > 1 || cells[0].trim()) rows.push({ line: start, cells });
    [cells, cell, start] = [[], "", line];
  };
  for (let n = 0; n < text.length; n += 1) {
    const letter = text[n];
    if (letter === "\n" || (letter === "\r" && text[n + 1] !== "\n")) line += 1;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[n + 1] === '"') { cell += letter; n += 1; } else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === delimiter) { cells.push(cell); cell = ""; } else if (letter === "\n") end();
    else if (letter === "\r") { if (text[n + 1] !== "\n") end(); } else cell += letter;
  }
  if (quoted) return null;
  if (cell || cells.length) end();
  const [head, ...rest] = rows;
  return { delimiter, header: (head?.cells ?? []).map((name) => name.trim()), rows: rest };
}

// The one that the first line has most of, quotes aside
function delimiterOf(text) {
  const counts = new Map(DELIMITERS.map((one) => [one, 0]));
  let quoted = false;
  for (const letter of text) {
    if (letter === '"') quoted = !quoted;
    else if (!quoted && (letter === "\n" || letter === "\r")) break;
    else if (!quoted && counts.has(letter)) counts.set(letter, counts.get(letter) + 1);
  }
  return DELIMITERS.reduce((best, one) => (counts.get(one) > counts.get(best) ? one : best));
}

// Rows of cells -> CSV, with the mark by which spreadsheets know UTF-8
export function written(rows) {
  return `\ufeff${rows.map((cells) => cells.map(escaped).join(",")).join("\r\n")}\r\n`;
}

function escaped(cell) {
  if (cell === null || cell === undefined) return "";
  if (typeof cell !== "string") return String(cell);
  const plain = cell.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
  const safe = FORMULA.test(cell) && !PLAIN_NUMBER.test(cell) ? `'${plain}` : plain;
  return /[",;\t\r\n|]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
