// Elements in one line. Texts are set as text, never as markup.

import { say } from "./language.js";

// h("p", {class: "lead", word: "lead", on: {click: f}}, "text", child)
export function h(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  const { word, args, label, on, ...attributes } = options;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  for (const [name, act] of Object.entries(on ?? {})) made.addEventListener(name, act);
  if (word) say(made, word, args);
  if (label) say(made, label, args, "aria-label");
  made.append(...children.filter((c) => c != null));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

let count = 0;

// An id that no other element has.
export function unique(name) {
  count += 1;
  return `${name}-${count}`;
}
