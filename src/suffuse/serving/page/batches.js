// Rows of a table -> records -> predictions: a few rows a request, one request at a time.

import { Refused, packed, predictAll } from "./api.js";
import { t } from "./language.js";
import { steps } from "./series.js";

const ROWS = 64; // of a request
const CHARACTERS = 4e6; // of a request, from which it takes no further row
const SPLIT = [400, 413, 422, 504]; // refusals that may be one row's: the rows are asked for in halves
const BUSY = [429, 503];
const TRIES = 5;
const MEDIA = ["image", "audio"];
const FILE_STARTS = /^(?:iVBO|\/9j\/|R0lG|UklG|SUkq|TU0A|T2dn|Zkxh|SUQz)[A-Za-z0-9+/\s]{56,}=*$/; // in Base64

// A server's model and a table's header -> {columns: [{name, type, most, place}], ignored, missing}
export function matched(model, header) {
  const all = new Map(model.inputs.flatMap((input) => input.columns).map((column) => [column.name, column]));
  const columns = [...all.values()].filter(({ name }) => header.includes(name))
    .map((column) => ({ ...column, place: header.indexOf(column.name) }));
  const there = new Set(columns.map(({ name }) => name));
  return { columns, ignored: header.filter((name) => !there.has(name)), missing: [...all.keys()].filter((name) => !there.has(name)) };
}

// Names of files that the table's cells give
export function named(columns, rows) {
  const found = new Set();
  for (const column of columns.filter(({ type }) => MEDIA.includes(type))) {
    for (const { cells } of rows) {
      for (const one of listed(column, cells[column.place] ?? "")) if (isPath(one)) found.add(one);
    }
  }
  return found;
}

// The file that a cell names: by its whole path where a folder was chosen, else by its name; null: none, or several
export function fileOf(files, path) {
  const wanted = path.trim().replaceAll("\\", "/").replace(/^(?:\.?\/)+/, "");
  const full = (file) => file.webkitRelativePath || file.name;
  const found = files.filter((file) => wanted === full(file) || wanted.endsWith(`/${full(file)}`) || full(file).endsWith(`/${wanted}`));
  return found.length === 1 ? found[0] : null;
}

// Fills in ``prediction`` or ``problem`` of each row, and ``notes``: functions that say it in the page's language. told(count)
// is called after each request. Raises what stops it all.
export async function ask(model, columns, rows, files, threshold, signal, told) {
  const most = Math.min(model.limits?.records ?? ROWS, ROWS);
  for (let at = 0; at < rows.length;) {
    const batch = [];
    for (let size = 0; at < rows.length && batch.length < most && size < CHARACTERS; at += 1) {
      if (rows[at].problem) continue;
      rows[at].notes = [];
      rows[at].record = await record(columns, rows[at], files);
      size += JSON.stringify(rows[at].record).length;
      batch.push(rows[at]);
    }
    await send(model.name, batch, threshold, signal);
    for (const row of batch) delete row.record;
    told(at);
  }
}

async function send(name, batch, threshold, signal) {
  if (!batch.length) return;
  let found;
  try {
    found = await patiently(() => predictAll(name, batch.map((row) => row.record), threshold, signal), signal);
  } catch (error) {
    if (!(error instanceof Refused) || !SPLIT.includes(error.status)) throw error;
    if (batch.length === 1) {
      batch[0].problem = () => [error.told || t(error.word), error.hint].filter(Boolean).join(": ").replace(/^row 1:? /, "");
      return;
    }
    const half = Math.ceil(batch.length / 2);
    await send(name, batch.slice(0, half), threshold, signal);
    await send(name, batch.slice(half), threshold, signal);
    return;
  }
  batch.forEach((row, n) => { row.prediction = found[n]; });
}

async function patiently(request, signal) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await request();
    } catch (error) {
      if (tried === TRIES || !BUSY.includes(error.status) || signal.aborted) throw error;
      await new Promise((done) => { setTimeout(done, 1000 * tried); });
    }
  }
}

async function record(columns, row, files) {
  const cells = await Promise.all(columns.map(async (column) => {
    const text = row.cells[column.place] ?? "";
    if (!text.trim()) return null;
    if (column.type === "series") return steps(text) ?? note(row, column, () => t("not_numbers"));
    if (!MEDIA.includes(column.type)) return text;
    const found = (await Promise.all(listed(column, text).map((one) => media(one, row, column, files)))).filter(Boolean);
    return column.most > 1 ? found : found[0] ?? null;
  }));
  return Object.fromEntries(columns.map(({ name }, n) => [name, cells[n]]));
}

async function media(text, row, column, files) {
  if (text.startsWith("data:")) return text;
  if (!isPath(text)) return { base64: text.replace(/\s/g, "") };
  const file = fileOf(files, text);
  return file ? packed(file) : note(row, column, () => t("no_such_file", { name: text }));
}

function note(row, column, text) {
  row.notes.push(() => `${column.name}: ${text()}`);
  return null;
}

// The pictures that a cell holds: a list in JSON where the model takes several
function listed(column, text) {
  if (column.most > 1 && text.trim().startsWith("[")) {
    try {
      return JSON.parse(text).map(String);
    } catch {
      return [text];
    }
  }
  return text.trim() ? [text.trim()] : [];
}

function isPath(text) {
  return !text.startsWith("data:") && !FILE_STARTS.test(text);
}
