// What is typed or chosen: texts, numbers, categories, dates.

import { h } from "./dom.js";
import { say } from "./language.js";

const MANY = 40; // choices from which they are offered while one types

// A text of any length. Enter asks, unless it ends a word that is being composed (Chinese, Japanese, Korean).
export function text({ id, labelled, limits, changed }) {
  const field = h("textarea", { id, rows: 2, "aria-labelledby": labelled, spellcheck: "false", autocomplete: "off" });
  say(field, "type_text", {}, "placeholder");
  const count = h("span", { class: "wrong", role: "status", hidden: true });
  const over = () => Boolean(limits.characters) && [...field.value].length > limits.characters;
  field.addEventListener("input", () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
    count.hidden = !over();
    if (over()) say(count, "too_long", { count: [...field.value].length, most: limits.characters });
    field.setAttribute("aria-invalid", String(over()));
    changed();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    field.form.requestSubmit();
  });
  return { ...typed(field, changed), element: h("div", {}, field, count), problem: () => (over() ? field : null) };
}

// One line, of a type that this page doesn't know
export function line({ id, labelled, changed }) {
  return typed(input({ id, "aria-labelledby": labelled }, changed), changed);
}

export function date({ id, labelled, changed }) {
  const field = input({ id, type: "date", "aria-labelledby": labelled }, changed);
  const made = typed(field, changed);
  const fill = (value) => {
    field.type = /^\d{4}-\d\d-\d\d$/.test(value) ? "date" : "text"; // a calendar holds no other form, and no time
    made.fill(value);
  };
  const clear = () => {
    field.type = "date";
    made.clear();
  };
  return { ...made, fill, clear };
}

export function number({ id, labelled, changed }) {
  const error = h("span", { class: "wrong", id: `${id}-error`, hidden: true, word: "not_a_number" });
  const field = input({ id, inputmode: "decimal", "aria-labelledby": labelled, "aria-describedby": `${id}-error` }, changed);
  const wrong = () => field.value.trim() !== "" && !Number.isFinite(Number(field.value));
  const check = () => {
    error.hidden = !wrong();
    field.setAttribute("aria-invalid", String(wrong()));
  };
  field.addEventListener("change", check);
  const problem = () => {
    check();
    return wrong() ? field : null;
  };
  const made = typed(field, () => { check(); changed(); });
  return { ...made, element: h("div", {}, field, error), value: async () => Number(field.value), problem };
}

// A list to choose from; where it is long, a field that proposes. A value that the model never saw may be typed there.
export function category({ column, id, labelled, changed }) {
  const choices = (column.choices ?? []).map(String);
  if (choices.length > MANY || !choices.length) {
    const list = h("datalist", { id: `${id}-list` }, ...choices.map((value) => h("option", { value })));
    const made = typed(input({ id, list: `${id}-list`, "aria-labelledby": labelled }, changed), changed);
    return { ...made, element: h("div", {}, made.element, list) };
  }
  const options = choices.map((value) => h("option", { value }, value));
  const field = h("select", { id, "aria-labelledby": labelled, on: { change: changed } },
    h("option", { value: "", word: "nothing" }), ...options);
  const made = typed(field, changed);
  const fill = (value) => { // one that the model doesn't know is offered too
    if (!choices.includes(String(value))) field.append(h("option", { value: String(value) }, String(value)));
    made.fill(value);
  };
  return { ...made, fill };
}

function input(attributes, changed) {
  return h("input", { type: "text", autocomplete: "off", ...attributes, on: { input: changed } });
}

function typed(field, changed) {
  const clear = () => {
    field.value = "";
    field.style.height = "";
    changed();
  };
  const fill = (value) => {
    field.value = String(value);
    field.dispatchEvent(new Event("input"));
    changed();
  };
  const has = () => field.value.trim() !== "";
  return { element: field, has, value: async () => field.value, spoken: () => field.value, clear, fill };
}
