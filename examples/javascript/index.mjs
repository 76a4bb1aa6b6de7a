#!/usr/bin/env node
// node index.mjs EXPORT rows.jsonl [ROOT] > answers.jsonl
// One record a line in, one answer a line out, in the same order. Paths of files start from ROOT, which is the rows' own
// folder where it isn't said, and lead nowhere out of it.

import { createReadStream } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";

import { Refused } from "./refused.mjs";
import { Student } from "./node.mjs";

const BATCH = 64; // rows that are answered at once

async function main([folder, rows, root = dirname(rows ?? ".")]) {
  if (!folder || !rows) throw new Refused("usage: node index.mjs EXPORT rows.jsonl [ROOT]");
  const student = await Student.load(folder);
  let records = [];
  const answer = async () => {
    for (const found of await student.predict(records, root)) process.stdout.write(`${JSON.stringify(found)}\n`);
    records = [];
  };
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(rows), crlfDelay: Infinity })) {
    number += 1;
    if (!line.trim()) continue;
    records.push(parsed(line, number));
    if (records.length === BATCH) await answer();
  }
  await answer();
}

function parsed(line, number) {
  try {
    const record = JSON.parse(line);
    if (record && typeof record === "object" && !Array.isArray(record)) return record;
  } catch {
    // said below
  }
  throw new Refused(`line ${number}: expected a JSON object`);
}

main(process.argv.slice(2)).catch((error) => {
  const told = error instanceof Refused || error.code ? error.message : error.stack;
  process.stderr.write(`${told}\n`);
  process.exitCode = 1;
});
