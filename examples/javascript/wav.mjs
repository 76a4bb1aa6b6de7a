// WAV -> mono samples of -1 to 1: PCM of 8, 16, 24 and 32 bits and floats of 32.

import { Unreadable } from "./refused.mjs";

const READERS = {
  "1/8": [1, (b, at) => (b.readUInt8(at) - 128) / 128],
  "1/16": [2, (b, at) => b.readInt16LE(at) / 32768],
  "1/24": [3, (b, at) => b.readIntLE(at, 3) / 8388608],
  "1/32": [4, (b, at) => b.readInt32LE(at) / 2147483648],
  "3/32": [4, (b, at) => b.readFloatLE(at)],
};

// -> {rate, samples: Float32Array}, channels averaged
export function wav(content) {
  if (content.toString("latin1", 0, 4) !== "RIFF" || content.toString("latin1", 8, 12) !== "WAVE") {
    throw new Unreadable("not a WAV file, the only format that is read here");
  }
  let form = null;
  for (let at = 12; at + 8 <= content.length;) {
    const [name, size] = [content.toString("latin1", at, at + 4), content.readUInt32LE(at + 4)];
    if (name === "fmt ") form = content.subarray(at + 8, at + 8 + size);
    if (name === "data" && form) return samplesOf(form, content, at + 8, size);
    at += 8 + size + (size % 2);
  }
  throw new Unreadable("cut off: no samples after the header");
}

function samplesOf(form, content, start, size) {
  const [tag, channels, rate, bits] = [form.readUInt16LE(0), form.readUInt16LE(2), form.readUInt32LE(4), form.readUInt16LE(14)];
  const kind = tag === 0xfffe && form.length >= 26 ? form.readUInt16LE(24) : tag; // "extensible" says it further on
  const reader = READERS[`${kind}/${bits}`];
  if (!reader || !channels) throw new Unreadable(`a WAV file of kind ${kind} with ${bits} bits is not read here`);
  if (start + size > content.length) throw new Unreadable(`cut off: the header says ${size} bytes`);
  const [width, read] = reader;
  const samples = new Float32Array(Math.floor(size / (width * channels)));
  for (let n = 0; n < samples.length; n += 1) {
    let sum = 0;
    for (let c = 0; c < channels; c += 1) sum += Math.fround(read(content, start + (n * channels + c) * width));
    samples[n] = sum / channels;
  }
  return { rate, samples };
}
