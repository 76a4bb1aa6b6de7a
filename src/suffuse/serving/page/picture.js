// A picture: chosen, dropped, pasted or taken with the camera.

import { h } from "./dom.js";
import { chooser } from "./files.js";
import { held } from "./held.js";
import { number, say } from "./language.js";

const READ = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"]; // by the server
const SMALL = 128; // pixels up to which a picture is shown larger than it is
const touch = matchMedia("(pointer: coarse)");

export function picture({ column, id, labelled, limits, changed }) {
  const view = h("img", { class: "preview", label: "preview", args: { name: column.name }, hidden: true });
  const size = h("span", {});
  view.addEventListener("load", () => {
    const [width, height] = [view.naturalWidth, view.naturalHeight];
    view.classList.toggle("small", Math.max(width, height) <= SMALL);
    say(size, "pixels", { width, height });
  });
  view.addEventListener("error", () => { view.hidden = true; }); // what only the server can read is sent unseen
  const buttons = (take) => [
    chooser({ word: "choose_picture", accept: "image/*", id, labelled, take }),
    touch.matches ? chooser({ word: "take_photo", accept: "image/*", capture: "environment", labelled, take }) : "",
    h("span", { class: "soft hint", word: "drop_picture" })];
  const most = { word: "up_to_pixels", args: { count: number(limits.pixels / 1e6, 3), myriads: number(limits.pixels / 1e4, 4) } };
  return held({
    view, wrap: "seen", labelled, changed, read, choices: buttons, refusal: "error.not_a_picture", told: () => size,
    note: limits.pixels ? h("p", { class: "soft", ...most }) : "", takes: (file) => file.type.startsWith("image/"),
  });
}

// The file, if the server reads its format; else as PNG, if the browser can show it.
async function read(file) {
  if (READ.includes(file.type)) return { file };
  const url = URL.createObjectURL(file);
  const seen = h("img", { src: url });
  await seen.decode().finally(() => URL.revokeObjectURL(url));
  const canvas = h("canvas", { width: seen.naturalWidth, height: seen.naturalHeight });
  canvas.getContext("2d").drawImage(seen, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const name = `${file.name.replace(/\.\w+$/, "")}.png`;
  return { file: new File([blob], name, { type: "image/png" }), format: "PNG" };
}
