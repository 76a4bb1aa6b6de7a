// An export folder: what signature.json says, and only files that are the exported ones.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";

import { Refused } from "./refused.mjs";

// -> {signature, file(name)}. Raises Refused where it is no export, or a file isn't the one that was exported.
export async function open(folder) {
  const signature = JSON.parse((await read(folder, "signature.json")).toString("utf-8"));
  if (signature.version > 1) throw new Refused(`signature.json has version ${signature.version}, expected 1`);
  const file = async (name) => {
    const wanted = signature.files?.[name];
    if (!wanted || basename(name) !== name) throw new Refused(`signature.json names no file ${name}`);
    const found = await read(folder, name);
    if (createHash("sha256").update(found).digest("hex") !== wanted) throw new Refused(`${name} is not the exported file`);
    return found;
  };
  return { signature, file };
}

async function read(folder, name) {
  try {
    return await readFile(join(folder, name));
  } catch (error) {
    throw new Refused(`${folder} is no export: ${name}: ${error.code}`);
  }
}

// The network's file; "form" is the one that the export calls its own.
export function network(signature) {
  return signature.forms?.[signature.form]?.file ?? "model.onnx";
}

// Names of the present modalities, in the model's order -> target -> temperature
export function temperatures(signature, present) {
  const subset = signature.modalities.map((m) => m.name).filter((_, n) => present[n]).join("+") || "nothing";
  return signature.temperatures?.[subset] ?? {};
}
