// Steps of numbers, as lists -> float32 (rows, length, features + 1), the last is 1 where a step is real.

import { isEmpty } from "./cell.mjs";
import { Absent, Refused, Unreadable } from "./refused.mjs";

export function sequence({ name, settings, statistics }) {
  if (Array.isArray(settings.column)) throw new Refused(`${name}: steps from several columns are not read here`);
  const { features } = statistics;
  const load = (value) => {
    if (isEmpty(value)) throw new Absent("empty cell");
    const given = typeof value === "number" ? [value] : value;
    if (!Array.isArray(given)) throw new Unreadable("expected a list of steps; .npy files are not read here");
    const flat = given.every((one) => !Array.isArray(one));
    const steps = flat ? (features === 1 ? given.map((one) => [one]) : [given]) : given;
    if (steps.some((step) => step.length !== features)) throw new Unreadable(`expected steps of ${features} numbers`);
    const rounded = steps.map((step) => step.map((one) => (typeof one === "number" ? Math.fround(one) : NaN)));
    const wrong = rounded.findIndex((step) => step.some((one) => !Number.isFinite(one)));
    if (wrong >= 0) throw new Unreadable(`NaN or infinite numbers: first in step ${wrong}`);
    const partly = steps.length > settings.length ? `cut: the first ${settings.length} steps are kept` : undefined;
    return { item: rounded.slice(0, Math.min(settings.length, statistics.length)), partly };
  };
  return { columns: [settings.column], several: false, load, batch: (items, Tensor) => tensor(items, features, Tensor) };
}

// Rows of steps, of different lengths -> one tensor; a blank is one step of zeros
export function tensor(items, features, Tensor) {
  const rows = items.map((item) => item ?? [new Array(features).fill(0)]);
  const length = Math.max(...rows.map((row) => row.length));
  const all = new Float32Array(rows.length * length * (features + 1));
  rows.forEach((row, n) => row.forEach((step, at) => all.set([...step, 1], (n * length + at) * (features + 1))));
  return new Tensor("float32", all, [rows.length, length, features + 1]);
}
