// Several pictures of one column: an empty place after those that are filled, up to as many as the model takes.

import { h } from "./dom.js";
import { picture } from "./picture.js";

export function pictures(context) {
  const element = h("div", { class: "places" });
  const places = Array.from({ length: context.column.most }, (_, place) => picture({
    ...context, id: place ? undefined : context.id, changed: () => { arrange(); context.changed(); },
  }));
  element.append(...places.map((p) => p.element));
  const filled = () => places.filter((p) => p.has());

  function arrange() {
    const next = places.find((p) => !p.has());
    for (const place of places) place.element.hidden = !place.has() && place !== next;
  }

  arrange();
  return {
    element,
    has: () => filled().length > 0,
    value: () => Promise.all(filled().map((p) => p.value())),
    spoken: () => filled().map((p) => p.spoken()),
    clear: () => places.forEach((p) => p.clear()),
    take: (file) => (places.find((p) => !p.has()) ?? places[0]).take(file),
    fill: (value, name) => Promise.all([value].flat().map((one, place) => places[place].fill(one, name))),
    takes: places[0].takes,
    full: () => filled().length === places.length,
  };
}
