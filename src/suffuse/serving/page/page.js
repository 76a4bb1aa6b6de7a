// The page: from what the server says of a model to its inputs, and from these to its answer.

import { Refused, address, describe, examples, models, predict } from "./api.js";
import { answered, summary } from "./answer.js";
import { byId, h } from "./dom.js";
import { command } from "./command.js";
import { carriesFiles } from "./files.js";
import { release, show as offer, told } from "./examples.js";
import { card, clear, fill, problem, spoken, take, values } from "./inputs.js";
import { choose, current, say, t } from "./language.js";
import * as table from "./table.js";

// example: the one whose cells are in the form, while nobody has changed them
const state = { name: "", model: null, cards: [], last: null, asking: null, example: null, filling: false };

async function begin() {
  choose(current());
  say(byId("language"), "other_language");
  byId("language").lang = current() === "en" ? "zh-CN" : "en";
  listen();
  try {
    const names = await models();
    if (!names.length) throw new Refused("no_models");
    const wanted = new URLSearchParams(location.search).get("model");
    const select = byId("models");
    select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    select.value = names.includes(wanted) ? wanted : names[0];
    byId("which").hidden = names.length < 2;
    await open(select.value);
  } catch (error) {
    byId("title").hidden = true;
    refused(error);
  }
}

async function open(name) {
  state.asking?.abort();
  state.model = await describe(name);
  state.name = name;
  state.last = null;
  state.cards = state.model.inputs.map((input) => card(input, state.model.limits ?? {}, changed));
  document.title = `${name} · suffuse`;
  const title = byId("title");
  delete title.dataset.word;
  title.textContent = name;
  title.hidden = byId("lead").hidden = byId("form").hidden = false;
  byId("inputs").replaceChildren(...state.cards.map((c) => c.element));
  byId("answer").hidden = true;
  table.begin({ model: state.model, threshold: () => (badThreshold() ? null : threshold()) });
  state.example = null;
  offer(await examples(name), state.model, tryExample);
}

async function tryExample(example) {
  state.filling = true;
  await fill(state.cards, example.record);
  state.filling = false;
  state.example = example;
  await ask();
}

function changed() {
  if (state.filling || !state.example) return;
  state.example = null;
  release();
}

// A table, with the files that it names, or files for the cards
function dropped(files) {
  const sheet = files.find(table.isTable);
  if (sheet) table.open(sheet, files.filter((file) => file !== sheet)).catch(refused);
  return sheet ? byId("table").scrollIntoView({ block: "nearest" }) : files.forEach((file) => take(state.cards, file));
}

function listen() {
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  byId("clear").addEventListener("click", () => {
    state.asking?.abort();
    state.cards.forEach(clear);
    byId("answer").hidden = true;
    state.last = null;
  });
  byId("models").addEventListener("change", async (event) => {
    history.replaceState(null, "", `?model=${encodeURIComponent(event.target.value)}`);
    try {
      await open(event.target.value);
    } catch (error) {
      refused(error);
    }
  });
  byId("language").addEventListener("click", () => {
    choose(current() === "en" ? "zh" : "en");
    byId("language").lang = current() === "en" ? "zh-CN" : "en";
    if (state.last) show(state.last);
    table.render();
  });
  document.addEventListener("paste", (event) => {
    for (const file of event.clipboardData?.files ?? []) if (take(state.cards, file)) event.preventDefault();
  });
  document.addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => { // beside the cards: whichever takes such a file
    if (!carriesFiles(event)) return;
    event.preventDefault();
    dropped([...event.dataTransfer.files]);
  });
}

async function ask() {
  const wrong = state.cards.map(problem).find(Boolean) ?? badThreshold();
  if (wrong) {
    wrong.closest("details")?.setAttribute("open", "");
    wrong.focus();
    return;
  }
  state.asking?.abort();
  const asking = new AbortController();
  state.asking = asking;
  busy(true);
  try {
    const { name } = state;
    const record = Object.assign({}, ...(await Promise.all(state.cards.map(values))));
    const given = Object.keys(record).length > 0;
    const empty = [[state.model.inputs[0].columns[0].name, null]]; // a record has a column, if only an empty one
    const start = performance.now();
    const prediction = await predict(name, given ? record : Object.fromEntries(empty), threshold(), asking.signal);
    if (state.asking !== asking) return;
    const took = performance.now() - start;
    const line = command(address(name), given ? state.cards.flatMap(spoken) : empty, threshold());
    const facts = { took, command: line, given, known: state.example && told(state.example) };
    show({ model: state.model, prediction, facts });
    arrive();
  } catch (error) {
    if (error.name !== "AbortError") refused(error);
  } finally {
    if (state.asking === asking) busy(false);
  }
}

// A number from 0 to 1, or null
function threshold() {
  const typed = byId("threshold").value.trim();
  return typed === "" ? null : Number(typed) / 100;
}

function badThreshold() {
  const bad = threshold() !== null && !(threshold() >= 0 && threshold() <= 1);
  byId("threshold").setAttribute("aria-invalid", String(bad));
  if (bad) announce("alert", t("not_a_percentage"));
  return bad ? byId("threshold") : null;
}

function busy(on) {
  say(byId("ask"), on ? "asking" : "ask");
  byId("answer").setAttribute("aria-busy", String(on));
}

function show(last) {
  state.last = last;
  byId("answer").hidden = false;
  byId("answer").classList.remove("failed");
  say(byId("answered"), "answer");
  byId("said").replaceChildren(...answered(last.model, last.prediction, last.facts).filter(Boolean));
  announce("status", summary(last.prediction));
}

function refused(error) {
  if (!(error instanceof Refused)) {
    console.error(error);
    error = new Refused("other", String(error));
  }
  state.last = null;
  byId("answer").hidden = false;
  byId("answer").classList.add("failed");
  say(byId("answered"), "error.title");
  const told = [error.told, error.hint].filter(Boolean).map((text) => h("p", { class: "told" }, text));
  byId("said").replaceChildren(h("p", { class: "alert", word: error.word }), ...told);
  announce("alert", [t(error.word), error.told].filter(Boolean).join(" "));
  arrive();
}

// On a phone the answer stands below the form: bring it into sight, without moving the focus out of the field.
function arrive() {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const box = byId("answer").getBoundingClientRect();
  if (box.top > innerHeight * 0.7 || box.bottom < 80) {
    byId("answer").scrollIntoView({ behavior: still ? "auto" : "smooth", block: "start" });
  }
}

function announce(id, text) {
  byId("status").textContent = byId("alert").textContent = "";
  byId(id).textContent = text;
}

begin();
