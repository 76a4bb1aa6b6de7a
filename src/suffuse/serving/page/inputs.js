// One card for each of a model's inputs: what is given, and what is left out.

import { picture } from "./picture.js";
import { pictures } from "./pictures.js";
import { sound } from "./sound.js";
import { category, date, line, number, text } from "./fields.js";
import { series } from "./series.js";
import { h, unique } from "./dom.js";
import { say } from "./language.js";

// A widget is {element, has(), value(), spoken(), clear(), fill(value, name)};
// problem(), take(file) and takes(file) where there is such a thing.
const WIDGETS = { image: picture, text, audio: sound, number, category, date, series };

function widget(column) {
  if (column.type === "image" && column.most > 1) return pictures;
  return WIDGETS[column.format] ?? WIDGETS[column.type] ?? line;
}

export function card(input, limits, changed) {
  const title = unique("input");
  const chip = h("span", { class: "chip" });
  const mute = h("button", { type: "button", class: "quiet mute" });
  const alone = input.columns.length === 1;
  const update = () => { refresh(self, chip, mute, changed); };
  const parts = input.columns.map((column) => part(column, alone, { title, limits, changed: update }));
  const head = h("div", { class: "card-head" },
    h("h2", { id: title }, input.name),
    input.name === input.kind ? null : h("span", { class: "kind", word: `kind.${input.kind}` }), chip, mute);
  const body = h("div", { class: alone ? "card-body" : "card-body several" }, ...parts.map((p) => p.element));
  const element = h("section", { class: "card", "aria-labelledby": title, "data-kind": input.kind }, head, body);
  const self = { element, body, name: input.name, parts, muted: false };
  mute.addEventListener("click", () => { self.muted = !self.muted; update(); });
  refresh(self, chip, mute, () => {});
  return self;
}

function part(column, alone, context) {
  const id = unique("column");
  const made = widget(column)({ ...context, column, id, labelled: alone ? context.title : `${id}-name` });
  const derived = column.derived_from
    ? h("p", { class: "soft small", word: "derived", args: { name: column.derived_from } }) : null;
  const name = alone ? null : h("label", { id: `${id}-name`, for: id }, column.name);
  const element = name || derived ? h("div", { class: "field" }, name, made.element, derived) : made.element;
  return { ...made, element, column: column.name };
}

function refresh(self, chip, mute, changed) {
  const filled = self.parts.some((p) => p.has());
  if (!filled) self.muted = false;
  const given = filled && !self.muted;
  self.element.dataset.state = given ? "given" : "out";
  self.body.classList.toggle("muted", self.muted);
  say(chip, given ? "given" : "left_out");
  mute.hidden = !filled;
  say(mute, self.muted ? "use_again" : "leave_out");
  say(mute, self.muted ? "use_again_name" : "leave_out_name", { name: self.name }, "aria-label");
  changed();
}

// What of this card belongs into the record: column -> value
export async function values(self) {
  if (self.muted) return {};
  const found = self.parts.filter((p) => p.has());
  return Object.fromEntries(await Promise.all(found.map(async (p) => [p.column, await p.value()])));
}

// [column, how a command line would say it] of all that is given; of several pictures one each
export function spoken(self) {
  if (self.muted) return [];
  const found = self.parts.filter((p) => p.has());
  return found.flatMap((p) => (p.full ? p.spoken().map((one) => [p.column, one]) : [[p.column, p.spoken()]]));
}

// The first field whose content can't be sent, or null
export function problem(self) {
  if (self.muted) return null;
  return self.parts.map((p) => p.problem?.()).find(Boolean) ?? null;
}

export function clear(self) {
  self.muted = false;
  for (const p of self.parts) p.clear();
}

// A record's cells into their fields, and nothing else
export async function fill(cards, record) {
  cards.forEach(clear);
  const parts = cards.flatMap((c) => c.parts).filter((p) => record[p.column] != null);
  await Promise.all(parts.map((p) => p.fill(record[p.column], p.column)));
}

// Whether one of the cards took a file that was dropped or pasted anywhere; empty places first.
export function take(cards, file) {
  const parts = cards.flatMap((c) => c.parts).filter((p) => p.take && p.takes(file));
  const free = parts.find((p) => (p.full ? !p.full() : !p.has())) ?? parts[0];
  free?.take(file);
  return Boolean(free);
}
