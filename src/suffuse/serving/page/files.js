// What picture, sound and series have in common: choosing a file, dropping one, taking it away again.

import { h } from "./dom.js";

// A button that opens the file dialogue; the input itself is what a keyboard and a screen reader meet.
export function chooser({ word, accept, capture, labelled, id, several = false, take }) {
  const input = h("input", { type: "file", accept, capture, id, multiple: several, class: "file", "aria-describedby": labelled });
  input.addEventListener("change", () => {
    if (input.files.length) take(...input.files);
    input.value = ""; // the same file may be chosen again
  });
  return h("label", { class: "button" }, input, h("span", { word }));
}

// Calls take(file) for what is dropped on an element.
export function droppable(element, take) {
  const over = (on) => element.classList.toggle("over", on);
  element.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(true);
  });
  element.addEventListener("dragleave", () => over(false));
  element.addEventListener("drop", (event) => {
    over(false);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    take(event.dataTransfer.files[0]);
  });
}

export function carriesFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}

// "@cat.png", quoted for a shell
export function quoted(text) {
  return `'${String(text).replaceAll("'", `'\\''`)}'`;
}
