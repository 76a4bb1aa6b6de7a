// A picture: chosen, dropped, pasted or taken with the camera.

import { packed } from "./api.js";
import { h } from "./dom.js";
import { chooser, droppable } from "./files.js";
import { number, say } from "./language.js";

const READ = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/tiff"];
const touch = matchMedia("(pointer: coarse)");

export function picture({ column, id, labelled, limits, changed }) {
  let file = null;
  const image = h("img", { class: "preview", label: "preview", args: { name: column.name }, hidden: true });
  const told = h("span", { class: "soft" });
  const remove = h("button", { type: "button", class: "quiet", word: "remove", hidden: true, on: { click: clear } });
  const error = h("p", { class: "wrong", role: "alert", hidden: true });
  const choices = h("div", { class: "row" },
    chooser({ word: "choose_picture", accept: "image/*", id, labelled, take }),
    touch.matches ? chooser({ word: "take_photo", accept: "image/*", capture: "environment", labelled, take }) : null,
    h("span", { class: "soft", word: "drop_picture" }));
  const most = limits.pixels
    ? h("p", { class: "soft", word: "up_to_pixels", args: { count: number(limits.pixels / 1e6, 3) } }) : null;
  const element = h("div", { class: "drop", role: "group", "aria-labelledby": labelled },
    h("div", { class: "seen" }, image, h("div", {}, told, remove)), choices, most, error);
  droppable(element, take);

  async function take(chosen) {
    error.hidden = true;
    try {
      const [ready, converted] = await readable(chosen);
      show(ready, converted);
    } catch {
      clear();
      say(error, "error.not_a_picture");
      error.hidden = false;
    }
  }

  function show(ready, converted) {
    forget();
    file = ready;
    image.src = URL.createObjectURL(file);
    image.hidden = remove.hidden = false;
    const size = { width: 0, height: 0 };
    image.onload = () => {
      Object.assign(size, { width: image.naturalWidth, height: image.naturalHeight });
      image.classList.toggle("small", Math.max(size.width, size.height) <= 128);
      const converts = converted ? [" · ", h("span", { word: "converted", args: { format: "PNG" } })] : [];
      told.replaceChildren(h("b", {}, file.name), h("br"), h("span", { word: "pixels", args: size }), ...converts);
    };
    told.replaceChildren(h("b", {}, file.name));
    changed();
  }

  function forget() {
    if (image.src) URL.revokeObjectURL(image.src);
    image.removeAttribute("src");
    file = null;
  }

  function clear() {
    forget();
    image.hidden = remove.hidden = true;
    told.replaceChildren();
    error.hidden = true;
    changed();
  }

  const takes = (other) => other.type.startsWith("image/");
  return { element, has: () => file !== null, value: () => packed(file), spoken: () => `@${file.name}`, clear, take, takes };
}

// The file, if the server reads its format; else as PNG, if the browser can show it. TIFF only the server reads.
async function readable(file) {
  if (READ.includes(file.type)) return [file, false];
  const seen = await createImageBitmap(file);
  const canvas = h("canvas", { width: seen.width, height: seen.height });
  canvas.getContext("2d").drawImage(seen, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  return [new File([blob], file.name.replace(/\.\w+$/, "") + ".png", { type: "image/png" }), true];
}
