// A sound: recorded, chosen or dropped; it can be heard before it is sent.

import { packed } from "./api.js";
import { h } from "./dom.js";
import { chooser, droppable } from "./files.js";
import { number, say } from "./language.js";
import { recording } from "./recorder.js";
import { decoded, wav } from "./wav.js";

const READ = /\.(wav|flac|ogg|oga|opus|mp3)$/i;

export function sound({ id, labelled, limits, changed }) {
  let file = null;
  const player = h("audio", { controls: true, hidden: true, "aria-labelledby": labelled });
  const told = h("span", { class: "soft" });
  const remove = h("button", { type: "button", class: "quiet", word: "remove", hidden: true, on: { click: clear } });
  const error = h("p", { class: "wrong", role: "alert", hidden: true });
  const record = recorder(take, refuse);
  const most = limits.seconds
    ? h("p", { class: "soft", word: "up_to_seconds", args: { count: number(limits.seconds) } }) : null;
  const choices = h("div", { class: "row" }, record.element,
    chooser({ word: "choose_sound", accept: "audio/*,.wav,.flac,.ogg,.oga,.opus,.mp3", id, labelled, take }),
    h("span", { class: "soft", word: "drop_sound" }));
  const element = h("div", { class: "drop", role: "group", "aria-labelledby": labelled },
    h("div", { class: "heard" }, player, h("div", {}, told, remove)), choices, most, error);
  droppable(element, take);

  async function take(chosen) {
    error.hidden = true;
    try {
      const { file: ready, seconds, converted } = await readable(chosen);
      show(ready, seconds, converted);
    } catch {
      refuse("error.not_a_sound");
    }
  }

  function show(ready, seconds, converted) {
    forget();
    file = ready;
    player.src = URL.createObjectURL(file);
    player.hidden = remove.hidden = false;
    const length = seconds ? [h("br"), h("span", { word: "seconds", args: { count: number(seconds, 3) } })] : [];
    const converts = converted ? [" · ", h("span", { word: "converted", args: { format: "WAV" } })] : [];
    told.replaceChildren(h("b", {}, file.name), ...length, ...converts);
    changed();
  }

  function refuse(word) {
    clear();
    say(error, word);
    error.hidden = false;
  }

  function forget() {
    if (player.src) URL.revokeObjectURL(player.src);
    player.removeAttribute("src");
    file = null;
  }

  function clear() {
    record.cancel();
    forget();
    player.hidden = remove.hidden = true;
    told.replaceChildren();
    error.hidden = true;
    changed();
  }

  const takes = (other) => other.type.startsWith("audio/") || READ.test(other.name);
  return { element, has: () => file !== null, value: () => packed(file), spoken: () => `@${file.name}`, clear, take, takes };
}

// As it is, if the server reads its format; else (a phone's m4a, a browser's webm) as WAV.
async function readable(chosen) {
  const whole = READ.test(chosen.name);
  let heard = null;
  try {
    heard = await decoded(chosen);
  } catch (error) {
    if (!whole) throw error; // the server may read what this browser can't
  }
  if (whole) return { file: chosen, seconds: heard?.duration, converted: false };
  const name = chosen.name.replace(/\.\w+$/, "") + ".wav";
  return { file: new File([wav(heard)], name, { type: "audio/wav" }), seconds: heard.duration, converted: true };
}

// The record button, which becomes the stop button
function recorder(take, refuse) {
  const button = h("button", { type: "button", class: "record", word: "record" });
  if (!recording.possible()) {
    return { element: h("span", { class: "soft", word: "no_microphone" }), cancel: () => {} };
  }
  let running = null;
  const idle = () => {
    running = null;
    button.classList.remove("on");
    say(button, "record");
  };
  button.addEventListener("click", async () => {
    if (running) {
      const stopped = running;
      idle();
      return take(await stopped.stop());
    }
    try {
      running = await recording.start((seconds) => say(button, "stop", { seconds }));
      button.classList.add("on");
    } catch {
      idle();
      refuse("microphone_refused");
    }
  });
  return { element: button, cancel: () => { running?.cancel(); idle(); } };
}
