// Rows that the export carries: a click fills them in and asks.

import { byId, h } from "./dom.js";
import { number } from "./language.js";

const LONG = 70; // characters of a row that are shown
let addresses = [];

// examples: [{record, targets}]; chosen(example) is called with the one that was clicked
export function show(examples, model, chosen) {
  addresses.forEach((one) => URL.revokeObjectURL(one));
  addresses = [];
  byId("examples").hidden = !examples.length;
  const buttons = examples.map((example) => {
    const button = h("button", { type: "button", class: "example", "aria-pressed": "false", on: { click: () => press(button) } },
      ...pictures(example.record), h("span", {}, summary(example.record, model)));
    const press = () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      chosen(example);
    };
    return button;
  });
  byId("strip").replaceChildren(...buttons);
}

// Nothing that is filled in is an example's any more
export function release() {
  for (const button of byId("strip").children) button.setAttribute("aria-pressed", "false");
}

// What the table says of the targets, in one line
export function told(example) {
  return Object.entries(example.targets).map(([name, value]) => {
    const said = typeof value === "number" ? number(value, 5) : [value].flat().join(", ");
    return Object.keys(example.targets).length > 1 ? `${name}: ${said}` : said;
  }).join("; ");
}

// {base64} -> a file, named after its column
export function file({ base64 }, name) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const type = base64.startsWith("iVBO") ? "png" : "wav";
  return new File([bytes], `${name}.${type}`, { type: type === "png" ? "image/png" : "audio/wav" });
}

function pictures(record) {
  const found = Object.entries(record).flatMap(([name, cell]) => [cell].flat().map((one) => [name, one]))
    .filter(([, one]) => one?.base64?.startsWith("iVBO"));
  return found.slice(0, 2).map(([name, one]) => {
    const address = URL.createObjectURL(file(one, name));
    addresses.push(address);
    return h("img", { src: address, alt: name, class: "thumb" });
  });
}

function summary(record, model) {
  const columns = model.inputs.flatMap((input) => input.columns.map((column) => [column.name, column.type]));
  const texts = columns.filter(([name]) => ["string", "number", "boolean"].includes(typeof record[name]))
    .map(([name, type]) => (type === "text" ? record[name] : `${name} ${record[name]}`));
  const others = columns.filter(([name, type]) => ["audio", "series"].includes(type) && name in record).map(([name]) => name);
  const letters = [...[...texts, ...others].join(" · ")];
  return letters.length > LONG ? `${letters.slice(0, LONG - 1).join("")}…` : letters.join("");
}
