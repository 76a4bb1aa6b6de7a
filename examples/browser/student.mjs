// A student in the browser: onnxruntime-web, and an export that is fetched or was chosen as a folder.

import * as ort from "onnxruntime-web";

import { Refused } from "../javascript/refused.mjs";
import { Student } from "../javascript/student.mjs";

// One thread: more need a page that is cross-origin isolated (the headers COOP and COEP).
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", import.meta.url).href;

// read(name) -> a promise of an exported file's bytes. -> a student; its predict(records) takes files as Uint8Array.
export function load(read) {
  return Student.open(ort, read, { executionProviders: ["wasm"] });
}

// Files below an address. A file's hash is in its address, so that the browser keeps it and never takes another export's.
export function fetched(address) {
  const base = new URL(address.endsWith("/") ? address : `${address}/`, document.baseURI);
  return async (name, hash = "") => {
    const place = new URL(`${encodeURIComponent(name)}${hash && `?${hash}`}`, base);
    const reply = await fetch(place, hash ? {} : { cache: "no-store" });
    if (!reply.ok) throw new Refused(`${base.href} is no export: ${name}: ${reply.status}`);
    return new Uint8Array(await reply.arrayBuffer());
  };
}

// Files of a folder that was chosen; those of folders within it aren't the export's
export function chosen(files) {
  const known = new Map([...files].filter((file) => file.webkitRelativePath.split("/").length <= 2).map((file) => [file.name, file]));
  return async (name) => {
    if (!known.has(name)) throw new Refused(`this folder is no export: there is no ${name}`);
    return new Uint8Array(await known.get(name).arrayBuffer());
  };
}
