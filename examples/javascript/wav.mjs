// WAV -> mono samples of -1 to 1: PCM of 8, 16, 24 and 32 bits and floats of 32.

import { Unreadable } from "./refused.mjs";

const READERS = {
  "1/8": [1, (b, at) => (b.getUint8(at) - 128) / 128],
  "1/16": [2, (b, at) => b.getInt16(at, true) / 32768],
  "1/24": [3, (b, at) => (b.getUint16(at, true) + 65536 * b.getInt8(at + 2)) / 8388608],
  "1/32": [4, (b, at) => b.getInt32(at, true) / 2147483648],
  "3/32": [4, (b, at) => b.getFloat32(at, true)],
};

// -> {rate, samples: Float32Array}, channels averaged
export function wav(bytes) {
  const content = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (name(0) !== "RIFF" || name(8) !== "WAVE") {
    throw new Unreadable("not a WAV file, the only format that is read here");
  }
  let form = null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const size = content.getUint32(at + 4, true);
    if (name(at) === "fmt ") form = new DataView(bytes.buffer, bytes.byteOffset + at + 8, Math.min(size, bytes.length - at - 8));
    if (name(at) === "data" && form) return samplesOf(form, content, at + 8, size);
    at += 8 + size + (size % 2);
  }
  throw new Unreadable("cut off: no samples after the header");
}

function samplesOf(form, content, start, size) {
  if (form.byteLength < 16) throw new Unreadable("cut off: no whole header");
  const [tag, channels, bits] = [0, 2, 14].map((at) => form.getUint16(at, true));
  const rate = form.getUint32(4, true);
  const kind = tag === 0xfffe && form.byteLength >= 26 ? form.getUint16(24, true) : tag; // "extensible" says it further on
  const reader = READERS[`${kind}/${bits}`];
  if (!reader || !channels) throw new Unreadable(`a WAV file of kind ${kind} with ${bits} bits is not read here`);
  if (start + size > content.byteLength) throw new Unreadable(`cut off: the header says ${size} bytes`);
  const [width, read] = reader;
  const samples = new Float32Array(Math.floor(size / (width * channels)));
  for (let n = 0; n < samples.length; n += 1) {
    let sum = 0;
    for (let c = 0; c < channels; c += 1) sum += Math.fround(read(content, start + (n * channels + c) * width));
    samples[n] = sum / channels;
  }
  return { rate, samples };
}
