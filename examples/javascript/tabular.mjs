// Columns of numbers, dates and categories -> one float32 row: numbers, 1 where one is missing, category codes.

import { isEmpty, pieces, wellFormed } from "./cell.mjs";
import { parts } from "./dates.mjs";
import { Absent, Refused, Unreadable } from "./refused.mjs";

const MISSING = 0, UNKNOWN = 1;
const LONGEST = 1000; // characters of a cell
const NUMBER = /^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/;
const WHOLE = /^[+-]?(?:0|[1-9][0-9]*)\.0+$/; // 1.0 is 1: a column with gaps turns codes into fractions

export function tabular({ settings, statistics }) {
  const formatted = statistics.columns.find((column) => column.format);
  if (formatted) throw new Refused(`${formatted.name}: numbers with separators or a unit are not read here`);
  const several = Array.isArray(settings.column);
  const columns = [settings.column].flat();
  const width = 2 * statistics.numbers + statistics.categories.length;
  const load = (value) => {
    const cells = several ? columns.map((column) => cell(value[column])) : [cell(value)];
    if (cells.every((one) => one === "")) throw new Absent(several ? "all its columns are empty" : "empty cell");
    if (cells.every((one) => one === "" || one === null)) throw new Unreadable("cells that can't be read");
    return row(statistics, cells);
  };
  const blank = row(statistics, columns.map(() => "")).item;
  const batch = (items, Tensor) => {
    const all = new Float32Array(items.length * width);
    items.forEach((item, n) => all.set(item ?? blank, n * width));
    return new Tensor("float32", all, [items.length, width]);
  };
  return { columns, several, load, batch };
}

// A value as text; "" where there is none, null where it can't be read
function cell(value) {
  if (isEmpty(value)) return "";
  if (typeof value === "object") return null;
  const given = typeof value === "boolean" ? (value ? "True" : "False") : String(value);
  if ([...given].length > LONGEST) return null;
  const folded = pieces(wellFormed(given.replace(/[\0-\x1f]/g, " ").normalize("NFC"))).join(" ");
  return WHOLE.test(folded) ? folded.split(".")[0] : folded;
}

function row(statistics, cells) {
  const numbers = [], missing = [], codes = [], wrong = [];
  statistics.columns.forEach((column, n) => {
    if (cells[n] === null) wrong.push(`${column.name}: can't be read`);
    if (column.type === "category") {
      codes.push(code(column, cells[n]));
      return;
    }
    const found = read(column, cells[n] ?? "");
    if (cells[n] && !found) wrong.push(`${column.name}: not a ${column.type}: '${cells[n].slice(0, 40)}'`);
    column.mean.forEach((mean, part) => {
      const clipped = found && Math.min(Math.max(found[part], column.low[part]), column.high[part]);
      numbers.push(found ? clipped / column.std[part] - mean / column.std[part] : 0);
      missing.push(found ? 0 : 1);
    });
  });
  return { item: Float32Array.from([...numbers, ...missing, ...codes]), partly: wrong.join("; ") || undefined };
}

// One number, the five of a date, or null
function read(column, given) {
  if (column.type === "date") return parts(given, column.day_first);
  const value = NUMBER.test(given) ? Number(given) : NaN;
  return Number.isFinite(value) ? [value] : null;
}

function code(column, given) {
  if (!given) return MISSING;
  const place = column.names.indexOf(given);
  return place < 0 ? UNKNOWN : place + UNKNOWN + 1;
}
