// An export: what signature.json says, and only files that are the exported ones.

import { Refused } from "./refused.mjs";

// read(name, its hash) -> a promise of a file's bytes; signature.json has no hash. -> {signature, file(name)}. Raises Refused
// where it is no export, or a file isn't the one that was exported.
export async function open(read) {
  const signature = JSON.parse(text(await read("signature.json")));
  if (signature.version > 1) throw new Refused(`signature.json has version ${signature.version}, expected 1`);
  const file = async (name) => {
    const wanted = signature.files?.[name];
    if (!wanted || /[\\/]/.test(name)) throw new Refused(`signature.json names no file ${name}`);
    const found = await read(name, wanted);
    if (await sha256(found) !== wanted) throw new Refused(`${name} is not the exported file`);
    return found;
  };
  return { signature, file };
}

export function text(bytes) {
  return new TextDecoder().decode(bytes);
}

async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) throw new Refused("files can't be checked: a browser does that at https or localhost alone");
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
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
