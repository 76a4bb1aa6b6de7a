// What the server is asked. Addresses are relative: the page may stand behind a proxy's prefix.

import { knows } from "./language.js";

export class Refused extends Error {
  // code: the API's, or "offline", or "odd" where something else than this server answered
  constructor(code, message = "", hint = "", status = 0) {
    super(message || code);
    Object.assign(this, { code, hint, status, told: message });
  }

  get word() {
    const codes = [`error.${this.code}`, `error.${this.status}`, "error.other"];
    return codes.find(knows);
  }
}

async function ask(path, options = {}) {
  let reply;
  try {
    reply = await fetch(new URL(path, document.baseURI), { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("offline");
  }
  let body;
  try {
    body = await reply.json();
  } catch {
    throw new Refused(reply.ok ? "odd" : "other", "", "", reply.status);
  }
  if (reply.ok) return body;
  const { code = "other", message = "", hint = "" } = body?.error ?? {};
  throw new Refused(code, message, hint ?? "", reply.status);
}

export async function models() {
  return (await ask("v1/models")).models;
}

export function describe(name) {
  return ask(`v1/models/${encodeURIComponent(name)}`);
}

export async function examples(name) {
  return (await ask(`v1/models/${encodeURIComponent(name)}/examples`)).examples;
}

// Records -> their predictions; a cell that can't be read is left out, and its prediction has the reason
export async function predictAll(name, records, threshold, signal) {
  const body = { records, on_unreadable: "absent", ...(threshold == null ? {} : { threshold }) };
  const headers = { "Content-Type": "application/json" };
  const options = { method: "POST", headers, body: JSON.stringify(body), signal };
  const { predictions } = await ask(`v1/models/${encodeURIComponent(name)}/predict`, options);
  if (predictions?.length !== records.length) throw new Refused("odd");
  return predictions;
}

export function address(name) {
  return new URL(`v1/models/${encodeURIComponent(name)}/predict`, document.baseURI).href;
}

// One record -> its prediction; without contributions where it has too many modalities to share an answer out
export async function predict(name, record, threshold, signal, contributions = true) {
  const body = { records: [record], contributions, ...(threshold == null ? {} : { threshold }) };
  const headers = { "Content-Type": "application/json" };
  const options = { method: "POST", headers, body: JSON.stringify(body), signal };
  let reply;
  try {
    reply = await ask(`v1/models/${encodeURIComponent(name)}/predict`, options);
  } catch (error) {
    if (error.code !== "too_many_modalities") throw error;
    return predict(name, record, threshold, signal, false);
  }
  if (!reply.predictions?.length) throw new Refused("odd");
  return reply.predictions[0];
}

// Bytes -> {"base64": ...}, without a call stack as deep as a file is long
export async function packed(blob) {
  const url = await new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Refused("unreadable_file"));
    reader.readAsDataURL(blob);
  });
  return { base64: url.slice(url.indexOf(",") + 1) };
}
