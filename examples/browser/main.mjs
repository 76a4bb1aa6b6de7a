// The page: a field for each column that the export names, and its answers. Nothing of it is made for one data set.

import { Refused } from "../javascript/refused.mjs";
import { chosen, fetched, load } from "./student.mjs";

const MOST = 5; // probabilities that are shown
const HINTS = { sequence: "Steps as JSON: [[1, 2], [3, 4]]" };
const ACCEPT = { image: "image/png", audio: ".wav,audio/wav" };
const byId = (id) => document.getElementById(id);
let student = null;

function h(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

async function open(read) {
  byId("error").textContent = "";
  byId("form").hidden = true;
  student = await load(read);
  byId("title").textContent = student.signature.name ?? "A student in the browser";
  byId("fields").replaceChildren(...student.signature.modalities.map((modality, n) => (
    h("fieldset", {}, h("legend", {}, `${modality.name} (${modality.kind})`),
      ...student.inputs[n].columns.map((column) => h("label", {}, column, field(modality, column)))))));
  byId("answer").replaceChildren();
  byId("form").hidden = false;
}

function field({ kind, statistics }, column) {
  const shared = { name: column };
  if (kind in ACCEPT) return h("input", { ...shared, type: "file", accept: ACCEPT[kind], multiple: (statistics.places ?? 1) > 1 });
  if (kind === "tabular") return h("input", { ...shared, type: "text", autocomplete: "off" });
  return h("textarea", { ...shared, rows: 2, placeholder: HINTS[kind] ?? "" });
}

// What is filled in: column -> text, number lists or bytes. An empty field is a missing value.
async function record() {
  const found = {};
  for (const input of byId("fields").querySelectorAll("input, textarea")) {
    const { kind } = student.signature.modalities[[...byId("fields").children].indexOf(input.closest("fieldset"))];
    if (input.type === "file") {
      const files = await Promise.all([...input.files].map(async (file) => new Uint8Array(await file.arrayBuffer())));
      if (files.length) found[input.name] = input.multiple ? files : files[0];
    } else if (input.value.trim()) found[input.name] = kind === "sequence" ? parsed(input.value) : input.value;
  }
  return found;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused("a sequence is a list of numbers in JSON");
  }
}

function show({ answers, absent, partly }) {
  const lines = Object.entries(answers).flatMap(([target, { value, confidence, probabilities }]) => [
    h("dt", {}, target),
    h("dd", {}, h("strong", { className: "value" }, [value].flat().join(", ") || "none"),
      confidence === null ? "" : ` (${(100 * confidence).toFixed(1)} %)`, ...bars(probabilities))]);
  const notes = Object.entries({ ...absent, ...partly }).map(([name, reason]) => h("li", {}, `${name}: ${reason}`));
  byId("answer").replaceChildren(h("dl", {}, ...lines), h("ul", {}, ...notes));
}

function bars(probabilities) {
  const most = Object.entries(probabilities).sort((a, b) => b[1] - a[1]).slice(0, MOST);
  return most.map(([name, share]) => h("div", {}, h("meter", { value: share }), ` ${name} ${(100 * share).toFixed(1)} %`));
}

// Anything that goes wrong is said on the page.
function guarded(act) {
  return async (event) => {
    event?.preventDefault();
    byId("error").textContent = "";
    try {
      await act(event);
    } catch (error) {
      if (!(error instanceof Refused)) console.error(error);
      byId("error").textContent = error.message;
    }
  };
}

byId("folder").addEventListener("change", guarded(() => open(chosen(byId("folder").files))));
byId("form").addEventListener("submit", guarded(async () => show((await student.predict([await record()]))[0])));
const address = new URLSearchParams(location.search).get("export");
if (address) guarded(() => open(fetched(address)))();
