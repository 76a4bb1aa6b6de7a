// Logits of one row -> an answer for each target.

const THRESHOLD = 0.5; // a label's probability from which it is said

// heads: signature.heads; logits: (C,) of all heads, in their order; temperatures: target -> T
export function answers(heads, logits, temperatures) {
  const found = {};
  let at = 0;
  for (const head of heads) {
    const width = head.classes.length || 1;
    const part = Array.from(logits.subarray(at, at + width), (z) => z / (temperatures[head.name] ?? 1));
    at += width;
    found[head.name] = { classes, labels, number }[head.kind](head, part);
  }
  return found;
}

function classes(head, logits) {
  const largest = Math.max(...logits);
  const each = logits.map((z) => Math.exp(z - largest));
  const sum = each.reduce((total, value) => total + value, 0);
  const probabilities = each.map((value) => value / sum);
  const confidence = Math.max(...probabilities);
  return { value: head.classes[probabilities.indexOf(confidence)], confidence, probabilities: named(head, probabilities) };
}

function labels(head, logits) {
  const probabilities = logits.map((z) => 1 / (1 + Math.exp(-z)));
  const value = head.classes.filter((_, n) => probabilities[n] > THRESHOLD);
  const confidence = Math.min(...probabilities.map((p) => Math.max(p, 1 - p)));
  return { value, confidence, probabilities: named(head, probabilities) };
}

function number(head, [z]) {
  return { value: z * head.std + head.mean, confidence: null, probabilities: {} };
}

function named(head, values) {
  return Object.fromEntries(head.classes.map((name, n) => [name, values[n]]));
}
