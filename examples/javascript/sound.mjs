// Sound: WAV at the model's own rate -> log-mel power, float32 (rows, frames, mels + 1), the last is 1 where one is real.
//
// Another rate is refused: resampling that doesn't hear what training heard would give other answers.

import { bytes, isEmpty } from "./cell.mjs";
import { logMel, trimmed } from "./mel.mjs";
import { Absent, Refused, Unreadable } from "./refused.mjs";
import { tensor } from "./sequence.mjs";
import { wav } from "./wav.mjs";

const LOUDEST = 16; // a sample beyond this is not on the scale of -1 to 1

export function sound({ name, settings, statistics }, { limits }) {
  if (settings.form === "embedding") throw new Refused(`${name}: the speech embedding is not computed here`);
  const [window, hop] = [settings.window, settings.hop].map((ms) => Math.max(Math.round((settings.rate * ms) / 1000), 1));
  const load = (value, read) => {
    if (isEmpty(value)) throw new Absent("empty cell");
    const { rate, samples: whole } = wav(bytes(value, read, limits));
    if (rate !== settings.rate) throw new Unreadable(`${rate} Hz, expected ${settings.rate}: nothing is resampled here`);
    if (whole.length / rate > (limits.seconds ?? Infinity)) throw new Unreadable(`longer than ${limits.seconds} s`);
    check(whole);
    const kept = settings.trim === null ? whole : trimmed(whole, settings.trim, window, hop);
    const most = Math.max(Math.round(settings.seconds * settings.rate), 1);
    const samples = kept.subarray(0, most);
    const frames = settings.form === "wave"
      ? Array.from(samples, (x) => [half(x)])
      : logMel(samples, settings.rate, settings.mels, window, hop).map((frame) => frame.map(half));
    const partly = kept.length > most ? `cut: the first ${settings.seconds} s are kept` : undefined;
    return { item: frames.slice(0, statistics.length), partly };
  };
  return { columns: [settings.column].flat(), several: false, load, batch: (items, T) => tensor(items, statistics.features, T) };
}

function check(samples) {
  if (!samples.length) throw new Unreadable("no samples");
  let [low, high] = [Infinity, -Infinity];
  for (const one of samples) {
    if (!Number.isFinite(one)) throw new Unreadable("NaN or infinite samples");
    if (one < low) low = one;
    if (one > high) high = one;
  }
  if (Math.max(-low, high) > LOUDEST) throw new Unreadable("samples beyond -1 to 1");
  if (low === high) throw new Unreadable("silent: all samples are the same");
}

// To the nearest number of 16 bits, halves to the even one: entries are kept so
export function half(value) {
  const size = Math.abs(value);
  if (size >= 65520) return Math.sign(value) * Infinity;
  const step = 2 ** (Math.max(Math.floor(Math.log2(size || 1e-30)), -14) - 10);
  const scaled = value / step, low = Math.floor(scaled);
  if (scaled - low !== 0.5) return Math.round(scaled) * step;
  return (low % 2 ? low + 1 : low) * step;
}
