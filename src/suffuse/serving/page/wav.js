// Sounds of any format that the browser plays, as 16-bit WAV, which the server reads.

// A file -> AudioBuffer. Raises where it is no sound.
export async function decoded(file) {
  const context = new AudioContext();
  try {
    return await context.decodeAudioData(await file.arrayBuffer());
  } finally {
    context.close();
  }
}

// Channels averaged, as the server would do; {numberOfChannels, length, sampleRate, getChannelData(n)} -> Blob
export function wav(heard) {
  const channels = Array.from({ length: heard.numberOfChannels }, (_, n) => heard.getChannelData(n));
  const bytes = new DataView(new ArrayBuffer(44 + 2 * heard.length));
  const ascii = (at, text) => [...text].forEach((letter, n) => bytes.setUint8(at + n, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  bytes.setUint32(4, 36 + 2 * heard.length, true);
  ascii(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // one channel
  bytes.setUint32(24, heard.sampleRate, true);
  bytes.setUint32(28, 2 * heard.sampleRate, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  ascii(36, "data");
  bytes.setUint32(40, 2 * heard.length, true);
  for (let n = 0; n < heard.length; n += 1) {
    const mean = channels.reduce((sum, channel) => sum + channel[n], 0) / channels.length;
    bytes.setInt16(44 + 2 * n, Math.round(Math.max(-1, Math.min(1, mean)) * 32767), true);
  }
  return new Blob([bytes.buffer], { type: "audio/wav" });
}
