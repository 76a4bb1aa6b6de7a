// What the model said, and what it rests on.

import { h } from "./dom.js";
import { change, knows, number, percent, t } from "./language.js";

const MOST = 6; // probabilities that are shown at once

// A prediction -> elements. given: columns were sent; known: what the table says; took: milliseconds; command: the same
// from a shell
export function answered(model, prediction, { took, command, given, known }) {
  const nothing = given ? null : h("p", { class: "note", word: "knows_nothing" });
  const targets = model.targets.filter((target) => target.name in prediction.answers);
  return [
    nothing,
    known ? h("p", { class: "note", word: "known", args: { answer: known } }) : null,
    ...targets.map((target) => one(target, prediction, targets.length > 1)),
    rests(model, prediction),
    h("details", {}, h("summary", { word: "program" }), h("pre", { tabindex: "0" }, command)),
    h("p", { class: "soft small", word: "took", args: { count: Math.round(took) } }),
  ];
}

// The answers in one line, for who doesn't see the page
export function summary(prediction) {
  const said = Object.entries(prediction.answers).map(([name, answer]) => {
    const what = answer.abstained ? t("summary_abstained") : `${shown(answer.value)}${sure(answer)}`;
    return Object.keys(prediction.answers).length > 1 ? `${name}: ${what}` : what;
  });
  return t("summary", { answers: said.join("; ") });
}

function sure(answer) {
  return answer.confidence == null ? "" : `, ${t("confidence", { share: percent(answer.confidence) })}`;
}

function shown(value) {
  if (typeof value === "number") return number(value, 5);
  if (Array.isArray(value)) return value.length ? value.join(", ") : t("no_labels");
  return String(value) || t("no_words");
}

function one(target, prediction, named) {
  const answer = prediction.answers[target.name];
  const contributions = prediction.contributions?.[target.name];
  return h("article", { class: answer.abstained ? "target abstained" : "target", "data-target": target.name },
    named ? h("h3", {}, target.name) : null,
    answer.abstained ? h("p", { class: "note", word: "would_say" }) : null,
    value(target, answer),
    confidence(target, answer),
    chances(target, answer),
    contributions && prediction.used.length ? moved(target, answer, contributions, prediction.used) : null);
}

function value(target, answer) {
  const chips = Array.isArray(answer.value) && answer.value.length;
  if (!chips && target.kind === "labels") return h("p", { class: "value", word: "no_labels" });
  if (answer.words?.length) return transcript(answer.words);
  if (target.kind === "tokens" && !answer.value) return h("p", { class: "value", word: "no_words" });
  if (!chips) return h("p", { class: "value" }, shown(answer.value));
  return h("p", { class: "value labels" }, ...answer.value.map((label) => h("span", { class: "label" }, label)));
}

// Each word with the time when it was said, and how sure the model is of it
function transcript(words) {
  return h("p", { class: "value words" }, ...words.map((spoken) => h("span", { class: "spoken" }, spoken.text,
    h("small", { class: "soft" }, `${number(spoken.start, 3)}–${number(spoken.end, 3)}, ${percent(spoken.confidence)}`))));
}

function confidence(target, answer) {
  if (answer.confidence == null) return null;
  const word = target.kind === "labels" ? "least_sure" : "confidence";
  return h("p", { class: "soft", word, args: { share: percent(answer.confidence) } });
}

function chances(target, answer) {
  const all = Object.entries(answer.probabilities ?? {}).sort((a, b) => b[1] - a[1]);
  if (!all.length) return null;
  const said = new Set([answer.value].flat().map(String));
  const bars = (some) => h("ul", { class: "bars" }, ...some.map(([name, share]) => bar(name, share, said.has(name))));
  const more = all.slice(MOST);
  const rest = more.length
    ? h("details", {}, h("summary", { word: "rest", args: { count: more.length } }), bars(more)) : null;
  return h("div", { class: "block" }, h("h4", { word: "probabilities" }), bars(all.slice(0, MOST)), rest);
}

function bar(name, share, said) {
  const fill = h("i", {});
  fill.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return h("li", { class: said ? "said" : "" },
    h("span", { class: "name" }, name), h("span", { class: "share" }, percent(share)),
    h("span", { class: "track", "aria-hidden": "true" }, fill));
}

// Shapley values: they add up to what the answer has gained over the one that knows nothing.
function moved(target, answer, contributions, present) {
  const share = target.kind !== "number";
  const total = Object.values(contributions).reduce((sum, x) => sum + x, 0);
  const end = share ? reached(target, answer) : answer.value;
  const format = share ? percent : (x) => number(x, 6);
  const word = { number: "contributed_number", labels: "contributed_labels" }[target.kind] ?? "contributed_share";
  const most = Math.max(...Object.values(contributions).map(Math.abs), 1e-12);
  const rows = Object.entries(contributions).filter(([name]) => present.includes(name));
  return h("div", { class: "block" }, h("h4", { word: "contributions" }),
    h("p", { class: "soft small", word, args: { start: format(end - total), end: format(end) } }),
    h("ul", { class: "shifts" }, ...rows.map(([name, x]) => shift(name, x, x / most, share))));
}

// Of labels: the mean of the decisions' probabilities
function reached(target, answer) {
  if (target.kind !== "labels") return answer.confidence;
  const said = new Set(answer.value);
  const each = Object.entries(answer.probabilities).map(([name, p]) => (said.has(name) ? p : 1 - p));
  return each.reduce((sum, p) => sum + p, 0) / Math.max(each.length, 1);
}

function shift(name, amount, part, share) {
  const fill = h("i", { class: amount < 0 ? "less" : "more" });
  fill.style.width = `${50 * Math.abs(part)}%`;
  return h("li", {}, h("span", { class: "name" }, name), h("span", { class: "share" }, change(amount, share)),
    h("span", { class: "track both", "aria-hidden": "true" }, fill));
}

function rests(model, prediction) {
  const rows = model.inputs.map(({ name }) => {
    const absent = prediction.absent?.[name];
    const partly = prediction.partly?.[name];
    const state = absent != null ? "absent" : partly ? "partly" : "used";
    const args = { reason: reason(absent ?? partly ?? "") };
    return h("li", { class: state, "data-input": name }, h("b", {}, name), " ", h("span", { word: state, args }));
  });
  return h("div", { class: "block" }, h("h4", { word: "inputs" }), h("ul", { class: "rests" }, ...rows));
}

function reason(text) {
  return knows(`reason.${text}`) ? t(`reason.${text}`) : text;
}
