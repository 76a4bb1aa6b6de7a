// An exported student: records in, answers out, as suffuse's own Predictor gives them. It runs in Node and in a browser.

import { answers } from "./answers.mjs";
import { picture } from "./picture.mjs";
import { Absent, Refused, Unreadable } from "./refused.mjs";
import { sequence } from "./sequence.mjs";
import { network, open, temperatures, text as utf8 } from "./signature.mjs";
import { sound } from "./sound.mjs";
import { tabular } from "./tabular.mjs";
import { text } from "./text.mjs";

// A modality is {columns, load(value, read) -> item, batch(items) -> tensor}; an item that is null is a blank.
const KINDS = { image: picture, text, tabular, audio: sound, sequence };

export class Student {
  // ort: onnxruntime-node or onnxruntime-web; read(name) -> a promise of the bytes of an exported file; options: of the session
  static async open(ort, read, options) {
    const { signature, file } = await open(read);
    if (signature.derive) throw new Refused("columns that are derived from others are not made here");
    const inputs = [];
    for (const facts of signature.modalities) {
      const make = KINDS[facts.kind];
      if (!make) throw new Refused(`${facts.name}: ${facts.kind} is not read here`);
      const tokenizer = facts.tokenizer && JSON.parse(utf8(await file(facts.tokenizer)));
      inputs.push({ name: facts.name, ...make(facts, { tokenizer, limits: signature.limits ?? {} }) });
    }
    const session = await ort.InferenceSession.create(await file(network(signature)), options);
    return Object.assign(new this(), { Tensor: ort.Tensor, signature, inputs, session });
  }

  // Records (column, or modality -> value) -> predictions. read(path, most) -> bytes of a file that a cell names; without it
  // none is read.
  async predict(records, read = null) {
    if (!records.length) return [];
    records.forEach((record) => this.#check(record));
    const missing = new Set(this.signature.table?.missing_values ?? []);
    const filled = records.map((record) => withoutMissing(record, missing));
    const rows = filled.map((record) => this.inputs.map((input) => attempt(input, record, read)));
    const feeds = {};
    this.inputs.forEach((input, m) => { feeds[input.name] = input.batch(rows.map((row) => row[m].item ?? null), this.Tensor); });
    const present = rows.flatMap((row) => row.map(({ absent }) => (absent === undefined ? 1 : 0)));
    feeds.present = new this.Tensor("bool", Uint8Array.from(present), [rows.length, this.inputs.length]);
    const { logits } = await this.session.run(feeds);
    return rows.map((row, n) => this.#said(row, logits.data.subarray(n * logits.dims[1], (n + 1) * logits.dims[1])));
  }

  #said(row, logits) {
    const there = row.map(({ absent }) => absent === undefined);
    const absent = {}, partly = {};
    this.inputs.forEach(({ name }, m) => {
      if (!there[m]) absent[name] = row[m].absent;
      if (row[m].partly) partly[name] = row[m].partly;
    });
    const used = this.inputs.map(({ name }) => name).filter((_, m) => there[m]);
    return { answers: answers(this.signature.heads, logits, temperatures(this.signature, there)), used, absent, partly };
  }

  #check(record) {
    const known = this.inputs.flatMap(({ name, columns }) => [name, ...columns]);
    for (const key of Object.keys(record)) {
      if (!known.includes(key)) throw new Refused(`this model has no input '${key}': it has ${known.join(", ")}`);
    }
  }
}

// Texts that stand for missing values are empty cells
function withoutMissing(record, missing) {
  const empty = (value) => typeof value === "string" && missing.has(value.trim());
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, empty(value) ? null : value]));
}

// {item, partly}, or {absent: why}
function attempt(input, record, read) {
  try {
    const own = input.columns.some((column) => column in record);
    if (!own && input.name in record) return input.load(record[input.name], read);
    return input.load(input.several ? record : record[input.columns[0]], read);
  } catch (error) {
    if (error instanceof Absent || error instanceof Unreadable) return { absent: error.message };
    throw error;
  }
}
