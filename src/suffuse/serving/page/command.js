// The same request as a line for a shell: a form where that can hold it, else JSON.

import { quoted } from "./files.js";

// fields: [[column, said]], where said is a text, "@file", steps of numbers or null
export function command(address, fields, threshold) {
  if (fields.some(([, said]) => typeof said === "object")) return asJson(address, fields, threshold);
  const options = threshold === null ? [] : [["_threshold", String(threshold)]];
  const all = [...fields, ...options, ["_contributions", "true"]];
  return [`curl ${quoted(address)}`, ...all.map(([name, said]) => `  -F ${quoted(`${name}=${said}`)}`)].join(" \\\n");
}

function asJson(address, fields, threshold) {
  const files = [];
  const record = {};
  for (const [name, said] of fields) {
    const value = typeof said === "string" && said.startsWith("@") ? { base64: `<${files.push(said.slice(1)) - 1}>` } : said;
    if (!(name in record)) record[name] = value;
    else record[name] = [record[name], value].flat();
  }
  const body = { records: [record], ...(threshold === null ? {} : { threshold }), contributions: true };
  const text = quoted(JSON.stringify(body)).replace(/<(\d+)>/g, (_, n) => `'"$(base64 -w0 ${quoted(files[n])})"'`);
  return [`curl ${quoted(address)}`, "  -H 'Content-Type: application/json'", `  -d ${text}`].join(" \\\n");
}
