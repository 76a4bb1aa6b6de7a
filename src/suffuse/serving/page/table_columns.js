// Columns of predicted rows: those on the page, and those of the file, which are named as `suffuse predict --keep all` names them.

const OWN = ["line", "problem", "absent", "used", "confidence", "abstained"];
const INPUTS = 4; // columns of the table that are shown after the answers
const LONG = 60; // characters of a cell on the page

// A column of the page is {name or word, text(row, language), figure}; figures stand to the right.
export function answers(model) {
  return model.targets.flatMap((target) => {
    const answer = (row) => row.prediction?.answers[target.name];
    const value = { name: target.name, figure: target.kind === "number", text: (row, { number, t }) => said(answer(row), number, t) };
    const confidence = (row, { percent }) => (answer(row)?.confidence == null ? "" : percent(answer(row).confidence));
    return target.kind === "number" ? [value] : [value, { word: "sure", figure: true, text: confidence }];
  });
}

export function inputs(columns) {
  return columns.slice(0, INPUTS).map(({ name, place }) => ({ name, text: (row) => cut(row.cells[place] ?? "") }));
}

function cut(text) {
  const letters = [...text];
  return letters.length > LONG ? `${letters.slice(0, LONG - 1).join("")}…` : text;
}

function said(answer, number, t) {
  if (!answer) return "";
  if (answer.abstained) return t("abstained");
  if (typeof answer.value === "number") return number(answer.value, 5);
  return Array.isArray(answer.value) ? answer.value.join(", ") || t("no_labels") : String(answer.value);
}

export function head(model, header, threshold) {
  const several = model.targets.length > 1;
  const own = (name, target) => (several ? `${name}(${target.name})` : name);
  const named = (target) => target.kind !== "number";
  const values = model.targets.flatMap((target) => [OWN.includes(target.name) ? `answer(${target.name})` : target.name,
    ...(named(target) ? [own("confidence", target), ...(threshold ? [own("abstained", target)] : [])] : [])]);
  const shares = model.targets.filter(named)
    .flatMap((target) => target.classes.map((label) => `p(${several ? `${target.name}=` : ""}${label})`));
  const taken = new Set([...OWN, ...values, ...shares]);
  return ["line", ...values, ...header.map((name) => (taken.has(name) ? `table(${name})` : name)), ...shares, "absent", "used", "problem"];
}

export function line(model, row, threshold, remark) {
  const found = model.targets.map((target) => [target, row.prediction?.answers[target.name]]);
  const values = found.flatMap(([target, answer]) => {
    const value = Array.isArray(answer?.value) ? answer.value.join("; ") : answer?.value ?? null;
    if (target.kind === "number") return [value];
    return [answer?.abstained ? null : value, answer?.confidence ?? null, ...(threshold ? [answer ? String(answer.abstained) : null] : [])];
  });
  const shares = found.filter(([target]) => target.kind !== "number")
    .flatMap(([target, answer]) => target.classes.map((label) => answer?.probabilities[label] ?? null));
  return [row.line, ...values, ...row.cells, ...shares, row.prediction ? remark : null,
    row.prediction?.used.join("; ") ?? null, row.prediction ? null : remark];
}
