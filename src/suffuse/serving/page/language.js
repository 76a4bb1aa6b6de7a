// Which language the page speaks, and everything that changes with it.

import { WORDS } from "./words.js";

const KEY = "suffuse.language";
let language = remembered() ?? (navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en");

function remembered() {
  try {
    const found = localStorage.getItem(KEY);
    return found in WORDS ? found : null;
  } catch {
    return null; // a browser may forbid it
  }
}

export function current() {
  return language;
}

export function choose(wanted) {
  language = wanted;
  try {
    localStorage.setItem(KEY, wanted);
  } catch {
    // it isn't remembered, then
  }
  translate(document);
}

// A text in the page's language; {name} stands for an argument.
export function t(word, args = {}) {
  const text = WORDS[language][word] ?? WORDS.en[word] ?? word;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in args ? String(args[name]) : whole));
}

export function knows(word) {
  return word in WORDS.en;
}

// Sets a text (or an attribute) that follows the language.
export function say(element, word, args = {}, attribute = "") {
  const name = attribute ? `word${attribute.replace(/\W/g, "")}` : "word";
  element.dataset[name] = word;
  element.dataset[`${name}args`] = JSON.stringify(args);
  const text = t(word, args);
  if (attribute) element.setAttribute(attribute, text);
  else element.textContent = text;
}

function translate(root) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const e of root.querySelectorAll("[data-word]")) say(e, e.dataset.word, JSON.parse(e.dataset.wordargs ?? "{}"));
  for (const attribute of ["aria-label", "placeholder"]) {
    const name = `word${attribute.replace(/\W/g, "")}`;
    for (const e of root.querySelectorAll(`[data-${name}]`)) {
      say(e, e.dataset[name], JSON.parse(e.dataset[`${name}args`]), attribute);
    }
  }
}

// 0.9731 -> 97.3 %; what isn't certain never reads as if it were
export function percent(share) {
  const options = { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const format = (value) => new Intl.NumberFormat(document.documentElement.lang, options).format(value);
  if (share > 0.9995 && share < 1) return `> ${format(0.999)}`;
  return share > 0 && share < 0.0005 ? `< ${format(0.001)}` : format(share);
}

export function number(value, digits = 4) {
  return new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: digits }).format(value);
}

// +12.3 points of a probability, or a number with its sign
export function change(value, share) {
  const digits = share ? { minimumFractionDigits: 1, maximumFractionDigits: 1 } : { maximumSignificantDigits: 3 };
  const options = { signDisplay: "exceptZero", ...digits };
  return new Intl.NumberFormat(document.documentElement.lang, options).format(share ? 100 * value : value);
}
