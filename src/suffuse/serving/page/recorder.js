// The microphone, as a file.

export const recording = { possible, start };

function possible() {
  return Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
}

// Begins; tick(seconds) is called every second. stop() gives the file, cancel() throws it away.
async function start(tick) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  let seconds = 0;
  tick(seconds);
  const timer = setInterval(() => tick((seconds += 1)), 1000);
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.start();
  const end = () => {
    clearInterval(timer);
    for (const track of stream.getTracks()) track.stop();
  };
  const stop = async () => {
    const done = new Promise((over) => recorder.addEventListener("stop", over, { once: true }));
    recorder.stop();
    await done;
    end();
    const type = recorder.mimeType || "audio/webm";
    return new File(pieces, "recording.webm", { type });
  };
  return { stop, cancel: () => { if (recorder.state !== "inactive") recorder.stop(); end(); } };
}
