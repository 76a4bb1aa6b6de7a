// A place for one file, of pictures and of sounds: shown (or played), removed, and refused where it can't be read.

import { packed } from "./api.js";
import { h } from "./dom.js";
import { file as fileOf } from "./examples.js";
import { droppable } from "./files.js";
import { say } from "./language.js";

// view: what shows it, an <img> or <audio>; read(file) -> {file, format} or raises; told(file) -> what is said beside it.
// choices(take, refuse) -> buttons.
export function held({ view, wrap, labelled, changed, choices, note, read, told, refusal, takes, stopped = () => {} }) {
  let file = null;
  const beside = h("span", { class: "soft" });
  const remove = h("button", { type: "button", class: "quiet", word: "remove", hidden: true, on: { click: clear } });
  const error = h("p", { class: "wrong", role: "alert", hidden: true });
  const shown = h("div", { class: wrap }, view, h("div", {}, beside, remove));
  const row = h("div", { class: "row" }, ...choices(take, refuse));
  const element = h("div", { class: "drop", role: "group", "aria-labelledby": labelled }, shown, row, note, error);
  droppable(element, take);

  function take(chosen) {
    error.hidden = true;
    return read(chosen).then(show).catch(() => refuse(refusal));
  }

  function show(found) {
    empty();
    file = found.file;
    view.src = URL.createObjectURL(file);
    view.hidden = remove.hidden = false;
    beside.replaceChildren(h("b", {}, file.name), h("br"), told(found), ...converted(found));
    changed();
  }

  function empty() {
    if (file) URL.revokeObjectURL(view.src);
    view.removeAttribute("src");
    view.hidden = remove.hidden = true;
    beside.replaceChildren();
    file = null;
  }

  function clear() {
    stopped();
    empty();
    error.hidden = true;
    changed();
  }

  function refuse(word) {
    clear();
    say(error, word);
    error.hidden = false;
  }

  const fill = (value, name) => take(fileOf(value, name));
  return { element, fill, has: () => file !== null, value: () => packed(file), spoken: () => `@${file.name}`, clear, take, takes };
}

function converted({ format }) {
  return format ? [" · ", h("span", { word: "converted", args: { format } })] : [];
}
