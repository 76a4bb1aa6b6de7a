// A table that was dropped or chosen: its rows are predicted, shown, and written to a file with their answers.

import { ENCODINGS, decoded, parsed, written } from "./csv.js";
import { ask, fileOf, matched, named } from "./batches.js";
import { byId, h } from "./dom.js";
import { chooser } from "./files.js";
import { knows, number, percent, t } from "./language.js";
import { answers, head, inputs, line } from "./table_columns.js";

const MOST_BYTES = 20 * 2 ** 20; // of a table
const MOST_ROWS = 5000;
const AT_ONCE = 100; // rows that are shown, until more are asked for
const LONG = 16; // characters of a cell from which it gets more room
const NAMES = 8; // of columns or files that are listed
const TABLE = /\.(csv|tsv|txt)$/i;
const DELIMITERS = { ",": "comma", ";": "semicolon", "\t": "tab", "|": "bar" };

let state = null; // {model, threshold, file, files, sheet, columns, ignored, missing, asking, done, more, onlyBad}

export function isTable(file) {
  return TABLE.test(file.name) || file.type === "text/csv";
}

// What stands on the page before a table is there: how to bring one, and the limits
export function begin(context) {
  state?.asking?.abort();
  state = { ...context, files: [] };
  const most = { rows: number(MOST_ROWS, 6), size: number(MOST_BYTES / 2 ** 20) };
  const accept = ".csv,.tsv,.txt";
  const choose = chooser({ word: "choose_table", accept, labelled: "many", take: (file) => open(file, []) });
  byId("table").replaceChildren(
    h("h2", { id: "many", word: "many" }),
    h("p", { class: "soft" }, h("span", { word: "many_lead", args: most }), h("span", { word: "many_more" })),
    h("div", { class: "row" }, choose, h("span", { class: "soft hint", word: "drop_table" })),
    h("div", { id: "table-said", "aria-live": "polite" }), h("div", { id: "table-rows" }));
}

export async function open(file, files, encoding = null) {
  state.asking?.abort();
  const context = { model: state.model, threshold: state.threshold };
  state = { ...context, file, files, more: AT_ONCE };
  const mine = state;
  byId("table-rows").replaceChildren();
  if (file.size > MOST_BYTES) return refuse("table_too_large", { size: number(MOST_BYTES / 2 ** 20) });
  const text = decoded(new Uint8Array(await file.arrayBuffer()), encoding);
  if (state !== mine) return undefined;
  if (text === null) return askForEncoding(encoding);
  const sheet = parsed(text);
  if (!sheet) return refuse("table_quote");
  if (!sheet.rows.length) return refuse("table_empty");
  const counts = { rows: number(sheet.rows.length, 9), most: number(MOST_ROWS, 6) };
  if (sheet.rows.length > MOST_ROWS) return refuse("table_too_long", counts);
  const twice = sheet.header.find((name, n) => sheet.header.indexOf(name) < n);
  if (twice !== undefined) return refuse("column_twice", { name: twice });
  Object.assign(state, matched(state.model, sheet.header), { sheet });
  if (!state.columns.length) return refuse("no_columns", { names: names(state.missing) });
  for (const row of sheet.rows) {
    const [count, expected] = [row.cells.length, sheet.header.length];
    if (count !== expected) row.problem = () => t("wrong_cells", { count, expected });
    if (count > expected) row.cells.push(row.cells.splice(expected - 1).join(sheet.delimiter)); // none is lost in the file
    while (row.cells.length < expected) row.cells.push("");
  }
  return lacking().length ? say() : start();
}

// Files that the table names and nobody has chosen yet
function lacking() {
  return [...named(state.columns, state.sheet.rows)].filter((path) => !fileOf(state.files, path));
}

async function start() {
  const mine = state;
  const asking = new AbortController();
  Object.assign(mine, { asking, done: 0, error: null, least: mine.threshold() });
  render();
  const told = (done) => {
    mine.done = done;
    if (state === mine) say();
  };
  try {
    await ask(mine.model, mine.columns, mine.sheet.rows, mine.files, mine.least, asking.signal, told);
  } catch (error) {
    if (error.name !== "AbortError") mine.error = error;
  }
  mine.asking = null;
  if (state === mine) render();
}

// After the language was changed
export function render() {
  if (!state?.sheet) return;
  say();
  const finished = !state.asking && state.done !== undefined;
  byId("table-rows").replaceChildren(...(finished ? results() : []));
}

function say() {
  const { sheet, columns, ignored, missing, file, asking, done } = state;
  const facts = { name: file.name, rows: number(sheet.rows.length, 6), delimiter: t(DELIMITERS[sheet.delimiter]) };
  const lines = [h("p", {}, h("b", {}, file.name), " · ", h("span", { word: "table_facts", args: facts })),
    fact("columns_read", columns.map((c) => c.name)), fact("columns_kept", ignored), fact("columns_missing", missing)];
  if (asking) {
    const bar = h("progress", { max: sheet.rows.length, value: done, label: "table_progress" });
    const args = { done: number(done, 6), rows: facts.rows };
    const stop = h("button", { type: "button", word: "stop_table", on: { click: () => asking.abort() } });
    lines.push(h("div", { class: "row" }, bar, h("span", { class: "soft", word: "table_done", args }), stop));
  } else if (done === undefined) {
    lines.push(...needed(lacking()));
  }
  byId("table-said").replaceChildren(...lines.filter(Boolean));
}

function fact(word, list) {
  return list.length ? h("p", { class: "soft small", word, args: { names: names(list) } }) : null;
}

function names(list) {
  const rest = list.length > NAMES ? t("names_more", { count: list.length - NAMES }) : "";
  return list.slice(0, NAMES).join(", ") + rest;
}

function needed(paths) {
  const choose = chooser({ word: "choose_files", several: true, labelled: "many", take: (...files) => {
    state.files.push(...files);
    return lacking().length ? say() : start();
  } });
  return [h("p", { class: "note", word: "files_needed", args: { count: paths.length, names: names(paths) } }),
    h("div", { class: "row" }, choose, h("button", { type: "button", word: "without_files", on: { click: start } }))];
}

function askForEncoding(tried) {
  const change = (event) => open(state.file, state.files, event.target.value);
  const pick = h("select", { id: "encoding", label: "encoding", on: { change } },
    h("option", { value: "", word: "choose_encoding" }), ...ENCODINGS.map((value) => h("option", { value }, value)));
  const word = tried ? "not_that_encoding" : "not_utf8";
  byId("table-said").replaceChildren(h("p", { class: "alert", word, args: { encoding: tried ?? "" } }), pick);
}

function refuse(word, args = {}) {
  byId("table-said").replaceChildren(h("p", { class: "alert", word, args }));
}

function results() {
  const { sheet, error } = state;
  const bad = sheet.rows.filter((row) => !row.prediction);
  const remarked = sheet.rows.filter((row) => row.prediction && remarks(row));
  const counts = { answered: sheet.rows.length - bad.length, bad: bad.length, remarked: remarked.length };
  const args = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, number(count, 6)]));
  const rows = state.onlyBad ? sheet.rows.filter((row) => remarks(row)) : sheet.rows;
  const only = switched("onlyBad", (box) => box.checked, { tag: "input", type: "checkbox", checked: Boolean(state.onlyBad) }, "change");
  const rest = { word: "more_rows", args: { count: number(rows.length - state.more, 6) } };
  const more = rows.length > state.more ? switched("more", () => Infinity, { tag: "button", type: "button", ...rest }, "click") : null;
  return [
    error ? h("p", { class: "alert", word: error.word ?? "error.other" }) : null,
    h("p", { role: "status", word: "table_result", args }),
    h("div", { class: "row" }, h("button", { type: "button", class: "main", word: "download", on: { click: download } }),
      bad.length + remarked.length ? h("label", { class: "check" }, only, " ", h("span", { word: "only_bad" })) : null),
    grid(rows.slice(0, state.more)), more].filter(Boolean);
}

// An element that changes how the rows are shown
function switched(key, value, { tag, ...attributes }, event) {
  const made = h(tag, attributes);
  made.addEventListener(event, () => {
    state[key] = value(made);
    render();
  });
  return made;
}

function grid(rows) {
  const remark = { word: "remarks", text: remarks, remark: true };
  const columns = [...answers(state.model), remark, ...inputs(state.columns)];
  const heads = [h("th", { scope: "col", class: "figure", word: "line" }), ...columns.map(({ word, name }) => (
    word ? h("th", { scope: "col", word }) : h("th", { scope: "col" }, name)))];
  const lines = rows.map((row) => h("tr", { class: row.prediction ? "" : "bad" },
    h("th", { scope: "row", class: "figure" }, String(row.line)), ...columns.map((column) => cell(column, row))));
  return h("div", { class: "sheet", tabindex: "0", role: "region", "aria-labelledby": "many" },
    h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...lines)));
}

function cell({ text, figure, remark }, row) {
  const found = text(row, { number, percent, t });
  return h("td", { class: figure ? "figure" : remark ? "remark" : found.length > LONG ? "long" : "" }, found);
}

// Why a row has no answer, or what its answer doesn't rest on
function remarks(row) {
  if (row.problem) return row.problem();
  if (!row.prediction) return t("not_asked");
  const { absent = {}, partly = {} } = row.prediction;
  const told = Object.entries({ ...absent, ...partly }).filter(([, reason]) => !knows(`reason.${reason}`));
  return [...row.notes.map((text) => text()), ...told.map(([name, reason]) => `${name}: ${reason}`)].join("; ");
}

function download() {
  const { model, sheet, file } = state;
  const threshold = state.least !== null;
  const lines = sheet.rows.map((row) => line(model, row, threshold, remarks(row)));
  const text = written([head(model, sheet.header, threshold), ...lines]);
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  h("a", { href: url, download: file.name.replace(/(\.\w+)?$/, "-predictions.csv") }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
