// A sound: recorded, chosen or dropped; it can be heard before it is sent.

import { h } from "./dom.js";
import { chooser } from "./files.js";
import { held } from "./held.js";
import { number, say } from "./language.js";
import { recording } from "./recorder.js";
import { decoded, wav } from "./wav.js";

const READ = /\.(wav|flac|ogg|oga|opus|mp3)$/i; // by the server
const LONG = 3600; // seconds from which a limit is nobody's concern

export function sound({ id, labelled, limits, changed }) {
  const view = h("audio", { controls: true, hidden: true, "aria-labelledby": labelled });
  let record = null;
  const buttons = (take, refuse) => {
    record = recorder(take, refuse);
    return [record.element,
      chooser({ word: "choose_sound", accept: "audio/*,.wav,.flac,.ogg,.oga,.opus,.mp3", id, labelled, take }),
      h("span", { class: "soft hint", word: "drop_sound" })];
  };
  const most = { word: "up_to_seconds", args: { count: number(limits.seconds ?? 0) } };
  return held({
    view, wrap: "heard", labelled, changed, read, choices: buttons, refusal: "error.not_a_sound",
    told: ({ seconds }) => (seconds ? h("span", { word: "seconds", args: { count: number(seconds, 3) } }) : ""),
    note: limits.seconds && limits.seconds < LONG ? h("p", { class: "soft", ...most }) : "",
    takes: (file) => file.type.startsWith("audio/") || READ.test(file.name),
    stopped: () => record.cancel(),
  });
}

// As it is, if the server reads its format; else (a phone's m4a, a browser's webm) as WAV.
async function read(chosen) {
  const whole = READ.test(chosen.name);
  let heard = null;
  try {
    heard = await decoded(chosen);
  } catch (error) {
    if (!whole) throw error; // the server may read what this browser can't
  }
  if (whole) return { file: chosen, seconds: heard?.duration };
  const name = `${chosen.name.replace(/\.\w+$/, "")}.wav`;
  return { file: new File([wav(heard)], name, { type: "audio/wav" }), seconds: heard.duration, format: "WAV" };
}

// The record button, which becomes the stop button
function recorder(take, refuse) {
  if (!recording.possible()) return { element: h("span", { class: "soft", word: "no_microphone" }), cancel: () => {} };
  const button = h("button", { type: "button", class: "record", word: "record" });
  let running = null;
  const idle = () => {
    running = null;
    button.classList.remove("on");
    say(button, "record");
  };
  const begin = async () => {
    try {
      running = await recording.start((seconds) => say(button, "stop", { seconds }));
      button.classList.add("on");
    } catch {
      idle();
      refuse("microphone_refused");
    }
  };
  const end = async () => {
    const stopped = running;
    idle();
    take(await stopped.stop());
  };
  button.addEventListener("click", () => (running ? end() : begin()));
  return { element: button, cancel: () => { running?.cancel(); idle(); } };
}
