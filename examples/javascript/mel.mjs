// Log-mel power as suffuse (and librosa) computes it: Slaney's scale, Hann window, centred frames, zeros at the ends.

const LEAST = 1e-10; // power that is taken for silence

// Samples -> frames of (mels) numbers: log(max(power, 1e-10))
export function logMel(samples, rate, mels, window, hop) {
  const size = transform(rate, mels, window);
  const bands = filters(rate, mels, size);
  const left = Math.floor((size - window) / 2);
  const shape = new Float64Array(size);
  for (let n = 0; n < window; n += 1) shape[left + n] = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / window);
  const around = new Float64Array(samples.length + 2 * Math.floor(size / 2));
  around.set(samples, Math.floor(size / 2));
  const frames = [];
  for (let start = 0; start + size <= around.length; start += hop) {
    const real = shape.map((weight, n) => weight * around[start + n]);
    const imaginary = new Float64Array(size);
    fourier(real, imaginary);
    frames.push(bands.map(({ from, weights }) => {
      const power = weights.reduce((sum, w, n) => sum + w * (real[from + n] ** 2 + imaginary[from + n] ** 2), 0);
      return Math.log(Math.max(power, LEAST));
    }));
  }
  return frames;
}

// Without what is quieter at both ends than the loudest window by so many decibels
export function trimmed(samples, decibels, window, hop) {
  const around = new Float64Array(samples.length + 2 * Math.floor(window / 2));
  around.set(samples, Math.floor(window / 2));
  const power = new Float64Array(around.length + 1);
  around.forEach((x, n) => { power[n + 1] = power[n] + x * x; });
  const loud = [];
  for (let at = 0; at + window <= around.length; at += hop) loud.push(power[at + window] - power[at]);
  const least = loud.reduce((a, b) => Math.max(a, b)) * 10 ** (-decibels / 10);
  const first = loud.findIndex((x) => x > least);
  const last = loud.findLastIndex((x) => x > least);
  return samples.subarray(first * hop, Math.min((last + 1) * hop, samples.length));
}

// Length of the transform: the least power of two that holds the window and leaves no band empty
export function transform(rate, mels, window) {
  let size = 2 ** Math.ceil(Math.log2(window));
  while (filters(rate, mels, size).some(({ weights }) => !weights.length)) size *= 2;
  return size;
}

// Triangles of equal area: of each band, the first line that it takes and what each of its lines weighs
function filters(rate, mels, size) {
  const top = mel(rate / 2);
  const edges = Array.from({ length: mels + 2 }, (_, n) => hertz((top * n) / (mels + 1)));
  return Array.from({ length: mels }, (_, band) => {
    const [low, middle, high] = edges.slice(band, band + 3);
    const lines = [];
    for (let n = 0; n <= size / 2; n += 1) {
      const at = (n * rate) / size;
      const weight = Math.min((at - low) / (middle - low), (high - at) / (high - middle)) * (2 / (high - low));
      if (weight > 0) lines.push([n, weight]);
    }
    return { from: lines[0]?.[0] ?? 0, weights: lines.map(([, weight]) => weight) };
  });
}

function mel(hz) {
  const low = (hz * 3) / 200;
  return low < 15 ? low : 15 + (27 * Math.log(low / 15)) / Math.log(6.4);
}

function hertz(value) {
  return value < 15 ? (value * 200) / 3 : 1000 * Math.exp((Math.log(6.4) * (value - 15)) / 27);
}

// The discrete Fourier transform in place (Cooley and Tukey 1965); the length is a power of two
function fourier(real, imaginary) {
  const size = real.length;
  for (let n = 1, m = 0; n < size; n += 1) {
    let bit = size >> 1;
    for (; m & bit; bit >>= 1) m ^= bit;
    m ^= bit;
    if (n < m) {
      [real[n], real[m]] = [real[m], real[n]];
      [imaginary[n], imaginary[m]] = [imaginary[m], imaginary[n]];
    }
  }
  for (let length = 2; length <= size; length *= 2) {
    for (let k = 0; k < length / 2; k += 1) {
      const [c, s] = [Math.cos((-2 * Math.PI * k) / length), Math.sin((-2 * Math.PI * k) / length)];
      for (let at = k; at < size; at += length) {
        const other = at + length / 2;
        const [a, b] = [real[other] * c - imaginary[other] * s, real[other] * s + imaginary[other] * c];
        [real[other], imaginary[other]] = [real[at] - a, imaginary[at] - b];
        [real[at], imaginary[at]] = [real[at] + a, imaginary[at] + b];
      }
    }
  }
}
