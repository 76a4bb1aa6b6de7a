// Steps of numbers: typed, or a .npy file.

import { packed } from "./api.js";
import { h } from "./dom.js";
import { chooser, droppable } from "./files.js";
import { say } from "./language.js";

export function series({ id, labelled, changed }) {
  let file = null;
  const field = h("textarea", { id, rows: 3, "aria-labelledby": labelled, autocomplete: "off", spellcheck: "false" });
  say(field, "series_hint", {}, "placeholder");
  const error = h("span", { class: "wrong", word: "not_numbers", hidden: true });
  const told = h("b", {});
  const remove = h("button", { type: "button", class: "quiet", word: "remove", hidden: true, on: { click: clear } });
  const wrong = () => file === null && field.value.trim() !== "" && steps(field.value) === null;
  field.addEventListener("input", changed);
  field.addEventListener("change", problem);
  const choose = chooser({ word: "choose_file", accept: ".npy", labelled, take });
  const element = h("div", { class: "drop" }, field, h("div", { class: "row" }, choose, told, remove), error);
  droppable(element, take);

  function take(chosen) {
    file = chosen;
    show();
  }

  function clear() {
    file = null;
    field.value = "";
    show();
  }

  function show() {
    told.textContent = file?.name ?? "";
    remove.hidden = file === null;
    field.hidden = file !== null;
    problem();
    changed();
  }

  function problem() {
    error.hidden = !wrong();
    field.setAttribute("aria-invalid", String(wrong()));
    return wrong() ? field : null;
  }

  const has = () => file !== null || field.value.trim() !== "";
  const value = async () => (file ? packed(file) : steps(field.value));
  const fill = (value) => {
    clear();
    field.value = value.map((step) => [step].flat().join(", ")).join("\n");
    changed();
  };
  const spoken = () => (file ? `@${file.name}` : steps(field.value));
  return { element, has, value, spoken, clear, fill, problem, take, takes: (other) => /\.npy$/i.test(other.name) };
}

// "1, 2\n3, 4" -> [[1, 2], [3, 4]]; one line, or one number a line -> a flat list; JSON as it is; null: not numbers
export function steps(text) {
  if (text.trim().startsWith("[")) {
    try {
      return JSON.parse(text);
    } catch {
      return null;
    }
  }
  const lines = text.trim().split(/\n/).map((l) => l.trim().split(/[\s,;]+/).filter(Boolean).map(Number));
  if (lines.flat().some((value) => !Number.isFinite(value))) return null;
  return lines.length === 1 || lines.every((l) => l.length === 1) ? lines.flat() : lines;
}
